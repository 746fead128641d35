from typing import Any

import pytest

from rrtf_trl.ranking import Ranking
from rrtf_trl.records import Candidate, CaseTests, Judgement, Problem

PROBLEM = Problem("t", "def f(x):\n", CaseTests([{"args": [1], "expected": 1}]), "f")
RLTF = {"compile_error": -1.0, "runtime_error": -0.6, "partial": -0.3, "passed": 1.0}


def judged(*rows: tuple[Any, ...]) -> list[tuple[Candidate, Judgement]]:
    """Build (candidate, judgement) from (state, ratio, source, body, finish_reason), the last four optional."""
    result = []
    for index, row in enumerate(rows):
        state, ratio, source, body, finish = (*row, *(0.5, "student", f"    return {index}\n", "stop")[len(row) - 1 :])
        candidate = Candidate(f"c{index}", "t", body, "def f(x):\n" + body, source, "m", {}, finish)
        result.append((candidate, Judgement(f"c{index}", "unit_tests", state, ratio)))
    return result


def test_states_are_ranked_in_the_papers_order() -> None:
    group, dropped = Ranking().rank(PROBLEM, judged(("passed",), ("compile_error",), ("partial",), ("runtime_error",)))
    assert group is not None
    assert group.scores == [3.0, 0.0, 2.0, 1.0]
    assert group.responses == [f"    return {i}\n" for i in range(4)]
    assert group.candidate_ids == ["c0", "c1", "c2", "c3"]
    assert dropped == []


def test_timeout_memory_and_refused_count_as_runtime_errors_unless_given() -> None:
    rows = judged(("passed",), ("timeout",), ("memory",), ("refused",), ("runtime_error",))
    group, _ = Ranking().rank(PROBLEM, rows)
    assert group is not None
    assert group.scores == [3.0, 1.0, 1.0, 1.0, 1.0]
    group, _ = Ranking(scores={**Ranking().scores, "timeout": 1.5}).rank(PROBLEM, rows)
    assert group is not None
    assert group.scores[1] == 1.5


def test_rltf_scores_partial_passes_by_their_ratio() -> None:
    ranking = Ranking(scores=RLTF, partial_slope=1.3)
    group, _ = ranking.rank(
        PROBLEM, judged(("partial", 0.0), ("partial", 0.5), ("passed", 1.0), ("compile_error", 0.0))
    )
    assert group is not None
    assert group.scores == pytest.approx([-0.3, 0.35, 1.0, -1.0])


def test_a_teacher_stands_above_the_student_in_the_same_state() -> None:
    group, _ = Ranking().rank(PROBLEM, judged(("passed", 1, "student"), ("passed", 1, "teacher"), ("partial",)))
    assert group is not None
    assert group.scores == [3.0, 3.5, 2.0]
    assert group.sources == ["student", "teacher", "student"]


def test_a_teachers_bonus_never_reaches_the_state_above() -> None:
    ranking = Ranking(scores=RLTF, partial_slope=1.3, teacher_bonus=0.5, drop_teacher_below=False)
    rows = judged(("partial", 0.9), ("partial", 0.2, "teacher"), ("passed", 1.0))
    group, _ = ranking.rank(PROBLEM, rows)
    assert group is not None
    student, teacher, passed = group.scores
    assert student < teacher < passed


def test_a_problem_is_dropped_where_the_teacher_is_below() -> None:
    rows = judged(("passed", 1, "student"), ("partial", 0.5, "teacher"))
    group, dropped = Ranking().rank(PROBLEM, rows)
    assert group is None
    assert [(item.reason, item.candidate_ids) for item in dropped] == [("teacher_below", ["c0", "c1"])]
    group, _ = Ranking(drop_teacher_below=False).rank(PROBLEM, rows)
    assert group is not None


def test_a_problem_without_order_is_dropped() -> None:
    group, dropped = Ranking().rank(PROBLEM, judged(("partial",), ("partial",)))
    assert group is None
    assert [item.reason for item in dropped] == ["no_order"]


def test_repeats_are_left_out_and_a_teachers_copy_is_the_one_kept() -> None:
    same = "    return x\n"
    rows = judged(("passed", 1, "student", same), ("partial",), ("passed", 1, "reference", same))
    group, dropped = Ranking().rank(PROBLEM, rows)
    assert group is not None
    assert group.sources == ["reference", "student"]
    assert [(item.reason, item.candidate_ids) for item in dropped] == [("repeated", ["c0"])]


def test_answers_that_were_cut_off_never_become_training_text() -> None:
    rows = judged(("passed", 1), ("partial",), ("compile_error", 0, "student", "    return (", "length"))
    group, dropped = Ranking().rank(PROBLEM, rows)
    assert group is not None
    assert group.candidate_ids == ["c0", "c1"]
    assert [(item.reason, item.candidate_ids) for item in dropped] == [("truncated", ["c2"])]


def test_one_answer_alone_is_too_few() -> None:
    group, dropped = Ranking().rank(PROBLEM, judged(("passed",)))
    assert group is None
    assert [item.reason for item in dropped] == ["too_few"]


def test_chat_answers_are_trained_on_as_whole_programs() -> None:
    chat = Problem("t", [{"role": "user", "content": "Write f."}], PROBLEM.tests, "f")
    group, _ = Ranking().rank(chat, judged(("passed",), ("partial",)))
    assert group is not None
    assert group.responses[0] == "def f(x):\n    return 0\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scores": {"passed": 1.0}}, r"missing \['compile_error', 'runtime_error', 'partial'\]"),
        ({"scores": {**RLTF, "pased": 1.0}}, r"unknown \['pased'\]"),
        ({"scores": {**RLTF, "partial": 2.0}}, "must not fall"),
        ({"scores": RLTF, "partial_slope": 1.4}, "would score a partial pass above a full one"),
        ({"teacher_bonus": -1.0}, "must not be negative"),
    ],
)
def test_scores_out_of_the_papers_order_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ranking(**options)
