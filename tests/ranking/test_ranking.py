import dataclasses
from typing import Any

import pytest

from rrtf_trl.errors import UserError
from rrtf_trl.pipeline.api import Candidates, rank
from rrtf_trl.ranking import Ranking
from rrtf_trl.ranking.trainable import JudgedByAll, TrainOn, trainable
from rrtf_trl.records import Candidate, CaseTests, Judgement, Problem

PROBLEM = Problem("t", "def f(x):\n", CaseTests([{"args": [1], "expected": 1}]), "f")
CHAT = [{"role": "user", "content": "Write f."}]
RLTF = {"compile_error": -1.0, "runtime_error": -0.6, "partial": -0.3, "passed": 1.0}


def judged(*rows: tuple[Any, ...], **opinions: list[float | None]) -> list[JudgedByAll]:
    """Build candidates from (state, ratio, source, body, finish_reason), the last four optional, and opinions."""
    result = []
    for index, row in enumerate(rows):
        state, ratio, source, body, finish = (*row, *(0.5, "student", f"    return {index}\n", "stop")[len(row) - 1 :])
        candidate = Candidate(f"c{index}", "t", body, "def f(x):\n" + body, source, "m", {}, finish)
        judgements = {"unit_tests": Judgement(f"c{index}", "unit_tests", state, ratio)}
        for name, scores in opinions.items():
            judgements[name] = Judgement(f"c{index}", name, None, scores[index])
        result.append((candidate, judgements))
    return result


def scores_of(ranking: Ranking, rows: list[JudgedByAll]) -> list[float]:
    group = ranking.rank(PROBLEM, rows).group
    assert group is not None
    return group.scores


def test_states_are_ranked_in_the_papers_order() -> None:
    ranked = Ranking().rank(PROBLEM, judged(("passed",), ("compile_error",), ("partial",), ("runtime_error",)))
    group, dropped = ranked.group, ranked.dropped
    assert group is not None
    assert group.scores == [3.0, 0.0, 2.0, 1.0]
    assert group.responses == [f"    return {i}\n" for i in range(4)]
    assert group.candidate_ids == ["c0", "c1", "c2", "c3"]
    assert dropped == []


def test_timeout_memory_and_refused_count_as_runtime_errors_unless_given() -> None:
    rows = judged(("passed",), ("timeout",), ("memory",), ("refused",), ("runtime_error",))
    group = Ranking().rank(PROBLEM, rows).group
    assert group is not None
    assert group.scores == [3.0, 1.0, 1.0, 1.0, 1.0]
    group = Ranking(scores={**Ranking().scores, "timeout": 1.5}).rank(PROBLEM, rows).group
    assert group is not None
    assert group.scores[1] == 1.5


def test_rltf_scores_partial_passes_by_their_ratio() -> None:
    ranking = Ranking(scores=RLTF, partial_slope=1.3)
    rows = judged(("partial", 0.0), ("partial", 0.5), ("passed", 1.0), ("compile_error", 0.0))
    assert scores_of(ranking, rows) == pytest.approx([-0.3, 0.35, 1.0, -1.0])


def test_a_teacher_stands_above_the_student_in_the_same_state() -> None:
    group = Ranking().rank(PROBLEM, judged(("passed", 1, "student"), ("passed", 1, "teacher"), ("partial",))).group
    assert group is not None
    assert group.scores == [3.0, 3.5, 2.0]
    assert group.sources == ["student", "teacher", "student"]


@pytest.mark.parametrize("combine", ["paper", "lexicographic"])
def test_whose_sample_it_is_never_reaches_the_state_above(combine: Any) -> None:
    rows = judged(("partial", 0.5), ("partial", 0.5, "teacher"), ("passed", 1.0), ("runtime_error", 0))
    ranking = Ranking(scores=RLTF, partial_slope=1.3, tie_break=5.0, drop_teacher_below=False, combine=combine)
    student, teacher, passed, _ = scores_of(ranking, rows)
    assert student < teacher < passed


def test_in_the_papers_order_whose_sample_it_is_goes_before_the_ratio_of_tests() -> None:
    ranking = Ranking(scores=RLTF, partial_slope=1.3, tie_break=0.5, drop_teacher_below=False, combine="paper")
    rows = judged(("partial", 0.9), ("partial", 0.2, "teacher"), ("passed", 1.0))
    group = ranking.rank(PROBLEM, rows).group
    assert group is not None
    student, teacher, passed = group.scores
    assert student < teacher < passed


def test_a_problem_is_dropped_where_the_teacher_is_below() -> None:
    rows = judged(("passed", 1, "student"), ("partial", 0.5, "teacher"))
    ranked = Ranking().rank(PROBLEM, rows)
    group, dropped = ranked.group, ranked.dropped
    assert group is None
    assert [(item.reason, item.candidate_ids) for item in dropped] == [("teacher_below", ["c0", "c1"])]
    group = Ranking(drop_teacher_below=False).rank(PROBLEM, rows).group
    assert group is not None


def test_a_problem_without_order_is_dropped() -> None:
    ranked = Ranking().rank(PROBLEM, judged(("partial",), ("partial",)))
    group, dropped = ranked.group, ranked.dropped
    assert group is None
    assert [item.reason for item in dropped] == ["no_order"]


def test_repeats_are_left_out_and_a_teachers_copy_is_the_one_kept() -> None:
    same = "    return x\n"
    rows = judged(("passed", 1, "student", same), ("partial",), ("passed", 1, "reference", same))
    ranked = Ranking().rank(PROBLEM, rows)
    group, dropped = ranked.group, ranked.dropped
    assert group is not None
    assert group.sources == ["reference", "student"]
    assert [(item.reason, item.candidate_ids) for item in dropped] == [("repeated", ["c0"])]


def test_answers_that_were_cut_off_never_become_training_text() -> None:
    rows = judged(("passed", 1), ("partial",), ("compile_error", 0, "student", "    return (", "length"))
    ranked = Ranking().rank(PROBLEM, rows)
    group, dropped = ranked.group, ranked.dropped
    assert group is not None
    assert group.candidate_ids == ["c0", "c1"]
    assert [(item.reason, item.candidate_ids) for item in dropped] == [("truncated", ["c2"])]


def test_one_answer_alone_is_too_few() -> None:
    ranked = Ranking().rank(PROBLEM, judged(("passed",)))
    group, dropped = ranked.group, ranked.dropped
    assert group is None
    assert [item.reason for item in dropped] == ["too_few"]


@pytest.mark.parametrize(
    ("train_on", "prompt", "trained"),
    [
        ("auto", "def f(x):\n", "    return 0\n"),
        ("auto", CHAT, "Sure:\n```python\ndef f(x):\n    return 0\n```"),
        ("code", CHAT, "def f(x):\n    return 0\n"),
        ("response", "def f(x):\n", "Sure:\n```python\ndef f(x):\n    return 0\n```"),
    ],
)
def test_responses_to_chats_are_trained_on_as_they_came_and_continued_code_alone(
    train_on: TrainOn, prompt: Any, trained: str
) -> None:
    problem = dataclasses.replace(PROBLEM, prompt=prompt)
    one, other = judged(("passed",), ("partial",))
    drawn = dataclasses.replace(one[0], response="Sure:\n```python\ndef f(x):\n    return 0\n```", token_ids=[7, 8])
    group = Ranking(train_on=train_on).rank(problem, [(drawn, one[1]), other]).group
    assert group is not None
    assert group.responses[0] == trained
    # The ids that were drawn go with the text that was drawn, and with no other.
    assert group.token_ids == ([[7, 8], None] if trained == drawn.response else None)


@pytest.mark.parametrize(("train_on", "kept"), [("code", 2), ("auto", 1)])
def test_a_response_that_was_cut_off_after_its_program_is_trained_on_as_code_only(
    train_on: TrainOn, kept: int
) -> None:
    chat = dataclasses.replace(PROBLEM, prompt=CHAT)
    one, other = judged(("passed",), ("partial",))
    cut = dataclasses.replace(one[0], sampling={"cut_off": True})
    result, dropped = trainable(chat, [(cut, one[1]), other], train_on)
    assert len(result) == kept
    assert [item.reason for item in dropped] == ([] if kept == 2 else ["truncated"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scores": {"passed": 1.0}}, r"missing \['compile_error', 'runtime_error', 'partial'\]"),
        ({"scores": {**RLTF, "pased": 1.0}}, r"unknown \['pased'\]"),
        ({"scores": {**RLTF, "partial": 2.0}}, "must not fall"),
        ({"scores": RLTF, "partial_slope": 1.4}, "would score a partial pass above a full one"),
        ({"tie_break": -1.0}, "must not be negative"),
        ({"combine": "mean"}, "must be one of lexicographic, weighted, paper, got 'mean'"),
        ({"combine": "paper", "order": ["human"]}, "goes with ranking.combine=lexicographic only"),
        ({"combine": "weighted"}, "give both or neither"),
        ({"weights": {"human": 1.0}}, "give both or neither"),
        ({"combine": "weighted", "weights": {"human": -1.0}}, "must be numbers >= 0"),
        ({"combine": "weighted", "weights": {"human": 0.0}}, "one of them above"),
    ],
)
def test_options_that_make_no_order_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ranking(**options)


# -- Several sources -----------------------------------------------------------------------------------------


def test_people_break_the_ties_of_tests_and_a_teacher_those_of_people() -> None:
    rows = judged(
        ("passed",), ("passed",), ("passed",), ("partial",), ("partial",),
        human=[0.0, 1.0, 1.0, 0.5, 0.5], teacher=[1.0, 0.2, 0.9, 0.1, 0.1],
    )  # fmt: skip
    # Passed: c1 and c2 above c0 by people, c2 above c1 by the teacher. Partial: nobody tells them apart.
    assert scores_of(Ranking(), rows) == [3.0, 3.25, 3.5, 2.0, 2.0]


def test_no_word_of_people_or_teachers_lifts_an_answer_over_one_that_the_tests_find_better() -> None:
    rows = judged(("partial",), ("partial",), ("passed",), human=[0.0, 1.0, 0.0], teacher=[0.0, 1.0, 0.0])
    scores = scores_of(Ranking(tie_break=100.0), rows)
    assert scores == [2.0, 2.5, 3.0]


def test_whose_sample_it_is_counts_last() -> None:
    rows = judged(("passed", 1, "student"), ("passed", 1, "teacher"), ("partial",), human=[1.0, 0.0, 0.0])
    assert scores_of(Ranking(), rows) == [3.5, 3.0, 2.0]
    assert scores_of(Ranking(order=["sample", "human"]), rows) == [3.0, 3.5, 2.0]
    assert scores_of(Ranking(order=[]), rows) == [3.0, 3.0, 2.0]


def test_a_source_of_a_plugin_breaks_ties_after_people_and_teachers() -> None:
    rows = judged(("passed",), ("passed",), ("partial",), lint=[0.0, 1.0, 0.0], teacher=[1.0, 0.0, 0.0])
    assert scores_of(Ranking(), rows) == [3.5, 3.0, 2.0]
    rows = judged(("passed",), ("passed",), ("partial",), lint=[0.0, 1.0, 0.0], teacher=[1.0, 1.0, 0.0])
    assert scores_of(Ranking(), rows) == [3.0, 3.5, 2.0]


def test_an_abstention_is_neither_praise_nor_blame() -> None:
    rows = judged(("passed",), ("passed",), ("passed",), ("partial",), human=[0.9, None, 0.1, None])
    assert scores_of(Ranking(), rows) == [3.5, 3.25, 3.0, 2.0]
    rows = judged(("passed",), ("passed",), ("partial",), human=[None, None, None], teacher=[0.1, 0.4, None])
    assert scores_of(Ranking(), rows) == [3.0, 3.5, 2.0]


def test_weights_mix_what_every_source_says() -> None:
    ranking = Ranking(combine="weighted", weights={"unit_tests": 2.0, "human": 1.0})
    rows = judged(("passed",), ("partial",), ("compile_error",), human=[0.0, 1.0, None], teacher=[0.0, 1.0, 1.0])
    # By the tests 1, 2/3 and 0. Nobody labelled the last: it is the tests' alone. The teacher has no weight.
    assert scores_of(ranking, rows) == pytest.approx([2 / 3, (2 * 2 / 3 + 1) / 3, 0.0])


def test_who_said_nothing_counts_for_nothing_with_weights_too() -> None:
    rows = judged(("passed",), ("passed",), ("passed",), human=[None, 0.2, 0.0])
    assert scores_of(Ranking(combine="weighted", weights={"human": 1.0}), rows) == pytest.approx([0.1, 0.2, 0.0])


def test_a_timeout_is_a_runtime_error_to_the_paper() -> None:
    rows = judged(("runtime_error", 0, "student"), ("timeout", 0, "teacher"), ("compile_error",))
    assert scores_of(Ranking(combine="paper"), rows) == [1.0, 1.5, 0.0]


def test_in_the_papers_order_nobody_else_has_a_say() -> None:
    rows = judged(("passed", 1, "student"), ("passed", 1, "teacher"), ("partial",), human=[1.0, 0.0, 1.0])
    assert scores_of(Ranking(combine="paper"), rows) == [3.0, 3.5, 2.0]


def test_a_problem_is_not_dropped_for_what_people_say_of_a_teachers_answer() -> None:
    rows = judged(("passed", 1, "student"), ("passed", 1, "teacher"), human=[1.0, 0.0])
    assert scores_of(Ranking(), rows) == [3.5, 3.0]


def test_every_answer_keeps_what_was_said_of_it() -> None:
    ranked = Ranking().rank(PROBLEM, judged(("passed",), ("partial", 0.5, "teacher"), human=[None, 0.5]))
    assert ranked.group is None  # the teacher's is below
    assert [(row.candidate_id, row.score, row.opinions) for row in ranked.standings] == [
        ("c0", 3.0, {"unit_tests": 3.0, "human": None, "sample": 0.0}),
        ("c1", 2.0, {"unit_tests": 2.0, "human": 0.5, "sample": 1.0}),
    ]


def test_sources_in_conflict_are_found_pair_by_pair() -> None:
    rows = judged(("passed",), ("partial",), ("partial",), human=[0.2, 0.9, None], teacher=[0.5, 0.1, 0.1])
    found = {conflict.sources: conflict for conflict in Ranking().rank(PROBLEM, rows).conflicts}
    # The tests put c0 before both; people put c1 before c0 and know nothing of c2; the teacher agrees with the tests.
    assert found["unit_tests", "human"].opposed == [("c0", "c1")]
    assert found["unit_tests", "human"].pairs == 1
    assert found["unit_tests", "teacher"].opposed == []
    assert found["unit_tests", "teacher"].pairs == 2
    assert found["human", "teacher"].opposed == [("c1", "c0")]
    assert len(found) == 3


def test_sources_that_order_no_pair_in_common_are_no_conflict() -> None:
    rows = judged(("passed",), ("partial",), ("partial",), human=[None, 0.9, 0.1])
    assert Ranking().rank(PROBLEM, rows).conflicts == []


@pytest.mark.parametrize("options", [{"order": ["people"]}, {"combine": "weighted", "weights": {"people": 1.0}}])
def test_a_source_that_the_run_does_not_have_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"people is no source of feedback of this run, which has unit_tests, human"):
        Ranking(**options).check(["unit_tests", "human"])
    Ranking(order=["human", "sample"]).check(["unit_tests", "human"])


# -- Without tests -------------------------------------------------------------------------------------------


def judged_without_tests(count: int, **opinions: list[float | None]) -> list[JudgedByAll]:
    """Build candidates that other sources than tests have judged; the last is a teacher's."""
    rows = judged(*[("passed", 1, "student")] * (count - 1), ("passed", 1, "teacher"), **opinions)
    return [(candidate, {n: j for n, j in judgements.items() if n != "unit_tests"}) for candidate, judgements in rows]


def test_people_alone_can_rank() -> None:
    rows = judged_without_tests(4, human=[0.2, 0.9, None, 0.2])
    # Two are level by people, of which the teacher's sample is above; who has no label stands in the middle.
    assert scores_of(Ranking(), rows) == pytest.approx([0.0, 1.0, 2 / 3, 1 / 3])
    assert scores_of(Ranking(order=["human"]), rows) == [0.0, 1.0, 0.5, 0.0]
    ranked = Ranking(order=["human"]).rank(PROBLEM, rows)
    assert ranked.standings[0].opinions == {"human": 0.2, "sample": 0.0}


def test_without_tests_people_go_before_the_teacher_and_their_conflicts_are_found() -> None:
    rows = judged_without_tests(3, teacher=[0.9, 0.1, 0.5], human=[0.5, 0.5, 1.0])
    assert scores_of(Ranking(), rows) == [0.5, 0.0, 1.0]
    assert [conflict.sources for conflict in Ranking().rank(PROBLEM, rows).conflicts] == [("teacher", "human")]


def test_without_tests_nobodys_word_drops_a_problem_but_one_without_order_is() -> None:
    rows = judged_without_tests(2, human=[1.0, 0.0])
    assert scores_of(Ranking(), rows) == [1.0, 0.0]
    level = judged_without_tests(2, human=[None, None])
    ranked = Ranking(order=["human"]).rank(PROBLEM, level)
    assert [item.reason for item in ranked.dropped] == ["no_order"]
    assert {row.score for row in ranked.standings} == {0.0}


def test_weights_go_without_tests_too() -> None:
    ranking = Ranking(combine="weighted", weights={"human": 3.0, "teacher": 1.0})
    rows = judged_without_tests(3, human=[1.0, 0.0, None], teacher=[0.0, 1.0, 0.5])
    assert scores_of(ranking, rows) == pytest.approx([0.75, 0.25, 0.5])


def test_the_papers_rule_needs_tests() -> None:
    ranking = Ranking(combine="paper")
    ranking.check(["unit_tests", "human"])
    with pytest.raises(UserError, match=r"ranks by the states of candidates in their tests: add unit_tests"):
        ranking.check(["human"])
    with pytest.raises(UserError, match="add unit_tests"):
        ranking.rank(PROBLEM, judged_without_tests(2, human=[0.0, 1.0]))


def test_tests_that_a_run_does_not_have_get_no_weight() -> None:
    with pytest.raises(UserError, match="unit_tests is no source of feedback of this run, which has human"):
        Ranking(combine="weighted", weights={"unit_tests": 1.0, "human": 1.0}).check(["human"])


@pytest.mark.parametrize(("sources", "passing"), [(["labels"], None), (["unit_tests", "labels"], 3.0)])
def test_only_tests_say_which_score_passes(sources: list[str], passing: float | None) -> None:
    rows = judged(("passed",), ("partial",), labels=[0.0, 1.0])
    named = [{name: judgements[name] for name in sources} for _, judgements in rows]
    dataset = rank([Candidates(PROBLEM, [candidate for candidate, _ in rows], named)])
    assert dataset["passing_score"][0] == passing
    assert dataset["scores"][0] == ([0.0, 1.0] if passing is None else [3.0, 2.0])
