"""From rankings to scores, against published figures and by hand."""

import numpy as np
import pytest

from rrtf_trl.labeling.aggregate import aggregate, borda, bradley_terry, strengths
from rrtf_trl.labeling.labels import Label
from support.labelling import TEXTS, make_item, make_label


def by_text(scores: dict[str, float]) -> list[float]:
    item = make_item()
    ids = {answer.text: answer.answer_id for answer in item.answers}
    return [scores[ids[text]] for text in TEXTS if ids[text] in scores]


def test_borda_is_the_share_of_rivals_beaten_with_ties_as_halves() -> None:
    assert by_text(borda([make_label([1, 2, 3, 4])])) == [1.0, 0.6667, 0.3333, 0.0]
    assert by_text(borda([make_label([1, 2, 2, 3])])) == [1.0, 0.5, 0.5, 0.0]
    assert by_text(borda([make_label([1, 1, 1, 1])])) == [0.5] * 4
    # Two who disagree on the first two, and agree on the rest.
    both = [make_label([1, 2, 3, 4]), make_label([2, 1, 3, 4], "bob")]
    assert by_text(borda(both)) == [0.8333, 0.8333, 0.3333, 0.0]


def test_bradley_terry_gives_the_published_strengths() -> None:
    """American League East, 1987: Agresti, Categorical Data Analysis (2002), table 10.10 and section 10.6."""
    wins = [
        [0, 7, 9, 7, 7, 9, 11],  # Milwaukee
        [6, 0, 7, 5, 11, 9, 9],  # Detroit
        [4, 6, 0, 7, 7, 8, 12],  # Toronto
        [6, 8, 6, 0, 6, 7, 10],  # New York
        [6, 2, 6, 7, 0, 7, 12],  # Boston
        [4, 4, 5, 6, 6, 0, 6],  # Cleveland
        [2, 4, 1, 3, 1, 7, 0],  # Baltimore
    ]
    found = strengths(np.array(wins, dtype=float))
    assert found - found[-1] == pytest.approx([1.581, 1.436, 1.294, 1.248, 1.108, 0.684, 0.0], abs=0.001)


def test_bradley_terry_keeps_ties_and_is_finite_for_who_always_wins() -> None:
    assert by_text(bradley_terry([make_label([1, 1, 1, 1])])) == [0.5] * 4
    first, second, third, last = by_text(bradley_terry([make_label([1, 2, 2, 3])] * 3))
    assert 1 > first > second == third > last > 0
    assert by_text(bradley_terry([make_label([1, 2]), make_label([2, 1], "bob")])) == [0.5, 0.5]


def test_bradley_terry_allows_for_whom_an_answer_was_compared_with() -> None:
    """The third beat only the worst, so Borda, which counts shares, puts it level with the best."""
    labels = [make_label([1, 2, None, 3]), make_label([1, None, 2, 3]), make_label([None, 1, 2, None])]
    pairs = [make_label([1, 2, None, None]), make_label([None, 1, None, 2]), make_label([None, None, 1, 2])]
    assert by_text(borda(pairs))[0] == by_text(borda(pairs))[2] == 1.0
    scores = by_text(bradley_terry(pairs + labels))
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[2]


@pytest.mark.parametrize("method", ["borda", "bradley_terry"])
def test_labels_of_one_prompt_go_together_whichever_item_they_are_of(method: str) -> None:
    labels = [make_label([1, 2, 3, 4]), make_label([1, 2, None, None], "bob"), make_label([2, 1], "carol")]
    other = Label(make_item(["x", "y"], prompt="another"), "alice", {})
    for answer, rank in zip(other.item.answers, (1, 2), strict=True):
        other.ranks[answer.answer_id] = rank
    opinions = aggregate([*labels, other], method)  # type: ignore[arg-type]
    assert len(opinions) == 6
    scores = by_text({key: opinion.score for key, opinion in opinions.items()})
    assert scores == sorted(scores, reverse=True)
    top = max((o for o in opinions.values() if o.answer_id in labels[0].ranks), key=lambda opinion: opinion.score)
    assert top.votes == [
        {"annotator": "alice", "rank": 1, "of": 4},
        {"annotator": "bob", "rank": 1, "of": 2},
        {"annotator": "carol", "rank": 2, "of": 2},
    ]
    # Of its pair with the second, alice and bob say the same, and carol another; its other pairs are alice's alone.
    assert top.agreement == pytest.approx(1 / 3, abs=1e-4)
    assert all(0 <= opinion.score <= 1 for opinion in opinions.values())


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="aggregation must be one of borda, bradley_terry, got 'mean'"):
        aggregate([], "mean")  # type: ignore[arg-type]
