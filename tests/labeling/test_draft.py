import pytest

from rrtf_trl.labeling.draft import Draft, LabelRefused, dense_ranks


def press(draft: Draft, keys: str) -> Draft:
    for key in keys:
        if key == "=":
            draft.toggle_tie()
        elif key == "0":
            draft.rest()
        elif key in draft.left:
            draft.rank(key)
        else:
            draft.unrank(key)
    return draft


@pytest.mark.parametrize(
    ("keys", "ranks"),
    [
        ("312", {"3": 1, "1": 2, "2": 3}),
        ("31", {"3": 1, "1": 2, "2": 3}),  # a single one that is left comes last
        ("3=1", {"3": 1, "1": 1, "2": 2}),
        ("31=", {"3": 1, "1": 2, "2": 2}),  # … or ties, if that was asked for
        ("3=1=2", {"1": 1, "2": 1, "3": 1}),
        ("20", {"2": 1, "1": 2, "3": 2}),
        ("2=0", {"1": 1, "2": 1, "3": 1}),
        ("0", {"1": 1, "2": 1, "3": 1}),
        ("1231", {"2": 1, "3": 2, "1": 3}),  # pressed again, it loses its rank
        ("1=22=3", {"1": 1, "3": 1, "2": 2}),
        ("1==2", {"1": 1, "2": 2, "3": 3}),
    ],
)
def test_keys_make_a_ranking(keys: str, ranks: dict[str, int]) -> None:
    assert press(Draft(["1", "2", "3"]), keys).ranks() == ranks


@pytest.mark.parametrize(
    ("keys", "message"),
    [("=", "Rank one candidate first"), ("123=", "All candidates are ranked"), ("1230", "All candidates are ranked")],
)
def test_what_cannot_be_done_says_what_can(keys: str, message: str) -> None:
    with pytest.raises(LabelRefused, match=message):
        press(Draft(["1", "2", "3"]), keys)


def test_two_without_a_rank_are_not_guessed() -> None:
    with pytest.raises(LabelRefused, match="2 candidates have no rank yet: rank them, or press 0"):
        press(Draft(["1", "2", "3"]), "1").ranks()


def test_looking_at_the_ranks_changes_nothing() -> None:
    draft = press(Draft(["1", "2"]), "1")
    draft.ranks()
    assert draft.groups == [["1"]]
    assert draft.left == ["2"]


def test_numbers_become_ranks() -> None:
    assert dense_ranks({"a": 4.5, "b": -1, "c": 4.5}) == {"a": 2, "b": 1, "c": 2}
