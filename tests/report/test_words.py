import pytest

from rrtf_trl.report.words import counts, duration, goal, headline, progress, without_secrets


@pytest.mark.parametrize(
    ("before", "after", "gain", "expected"),
    [
        (0.5, 0.4, (-0.1, -0.15, -0.05), "fell from 50.0% to 40.0%: −10.0 points (95% interval −15.0 to −5.0)."),
        (0.5, 0.52, (0.02, -0.03, 0.07), "went from 50.0% to 52.0%: +2.0 points, but the 95% interval (−3.0 to +7.0)"),
        (0.5, 0.5, (0.0, 0.0, 0.0), "stayed at 50.0%; the 95% interval (+0.0 to +0.0) includes zero"),
        (0.5, 0.6, (0.1, 0.0, 0.2), "does not show that training changed it."),
    ],
)
def test_the_sentence_claims_no_more_than_the_interval(before, after, gain, expected):
    row = {"problems": 10, "base": {"value": before}, "trained": {"value": after}}
    row["gain"] = dict(zip(("value", "low", "high"), gain, strict=True))
    assert expected in headline({"greedy pass@1": row})


def test_what_was_asked_is_told_as_far_as_it_is_known():
    assert goal({}, {}) == "Train the policy on candidates, ranked."
    assert "the policy “coder”" in goal({}, {"model": {"path": "/home/me/coder"}})
    assert "with the loss “rrhf”" in goal({}, {"trainer": {"loss_type": "rrhf"}, "feedback": None})


def test_a_run_without_results_says_how_far_it_came():
    assert progress({}) == "No stage of this run has finished yet."
    stages = {"problems": {}, "sample": {}, "rank": {"groups": 3, "responses": 12}}
    assert "the stage “rank”, with 12 ranked candidates of 3 problems" in progress(stages)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.01, "under 0.1 s"), (29.04, "29.0 s"), (75, "1 min 15 s"), (3599.9, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_durations(seconds, expected):
    assert duration(seconds) == expected


def test_what_a_stage_did():
    facts = {"seconds": 1.5, "key": "ab", "unit_tests": {"judged": 1262, "reused": 0}, "no_order": 1}
    assert counts(facts) == "unit_tests: 1,262 judged, 1 no order"


def test_secrets_are_hidden():
    text = "api_key: 'my key'\nmax_new_tokens: 128\nhub_token: null\nhf_token=abc next"
    assert without_secrets(text) == "api_key: (hidden)\nmax_new_tokens: 128\nhub_token: null\nhf_token=(hidden) next"
