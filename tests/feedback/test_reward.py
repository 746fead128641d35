"""A feedback source rewards GRPO's completions as it judges ours."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from rrtf_trl.assets import model_path
from rrtf_trl.errors import FeedbackError
from rrtf_trl.feedback import UnitTests, as_reward_func
from rrtf_trl.problems.exercises import exercises
from rrtf_trl.records import Candidate, Judgement, Problem, to_json

CASES = json.dumps({"kind": "cases", "cases": [{"args": [n], "expected": 2 * n} for n in range(4)]})
HEAD = "def f(x):\n"
UNIT_TESTS = UnitTests(timeout=1, memory_mb=128, workers=2)


def columns(rows: int, **more: Any) -> dict[str, Any]:
    return {"tests": [CASES] * rows, "entry_point": ["f"] * rows, **more}


@pytest.mark.slow
def test_the_reward_is_the_share_of_tests_passed_in_the_order_of_the_completions() -> None:
    reward = as_reward_func(UNIT_TESTS)
    bodies = ["    return (x\n", "    return 2 * x\n", "    return x * x\n", "    while True: pass\n"]
    assert reward(prompts=[HEAD] * 4, completions=bodies, **columns(4)) == [0.0, 1.0, 0.5, 0.0]
    assert reward.__name__ == "unit_tests"


def test_chat_answers_are_judged_by_their_code() -> None:
    prompts = [[{"role": "user", "content": "Write f, which doubles."}]] * 2
    answers = [
        [{"role": "assistant", "content": "Sure!\n```python\ndef f(x):\n    return x + x\n```\nDone."}],
        [{"role": "assistant", "content": None, "tool_calls": []}],
    ]
    assert as_reward_func(UNIT_TESTS)(prompts=prompts, completions=answers, **columns(2)) == [1.0, 0.0]


def test_tests_may_be_objects_with_nulls_where_arrow_put_them() -> None:
    objects = [
        {**json.loads(CASES), "asserts": None, "setup": None},
        {"kind": "asserts", "asserts": ["assert f(1) == 2"]},
    ]
    rows = {"tests": objects, "entry_point": ["f", None], "task_id": [7, None], "reference": [None, None]}
    answers = ["    return 2 * x\n"] * 2
    assert as_reward_func(UNIT_TESTS)(prompts=[HEAD] * 2, completions=answers, **rows) == [1.0, 1.0]


def test_rows_without_tests_have_no_reward() -> None:
    rows = {"tests": [None, CASES], "entry_point": [None, "f"]}
    answers = ["    return 2 * x\n"] * 2
    assert as_reward_func(UNIT_TESTS)(prompts=[HEAD] * 2, completions=answers, **rows) == [None, 1.0]


def test_the_finder_of_the_program_can_be_chosen() -> None:
    reward = as_reward_func(UNIT_TESTS, extract=lambda response, prompt, entry_point: response.split("|")[1])
    assert reward(prompts=[HEAD], completions=["x|def f(x): return 2 * x"], **columns(1)) == [1.0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "no column 'tests', which unit_tests needs"),
        ({"tests": ["{"]}, "Row 0 of the batch cannot be judged"),
        ({"tests": ['{"kind": "poem"}']}, r"Row 0 of the batch cannot be judged: .*tests\.kind"),
        ({"tests": [CASES]}, "entry_point"),
        ({"tests": ['{"kind": "pytest", "files": {}}']}, "field tests.files: expected an object of files"),
    ],
)
def test_rows_that_cannot_be_judged_are_refused(rows: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_reward_func(UNIT_TESTS)(prompts=[HEAD], completions=["    pass\n"], **rows)


class Failing:
    """A source that judges some candidates and then fails."""

    name = "failing"

    def __init__(self, judged: int) -> None:
        self.judged = judged

    def identity(self) -> dict[str, Any]:
        return {}

    def check(self, problem: Problem) -> None:
        pass

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        for count, (_, candidate) in enumerate(items):
            if count == self.judged:
                raise FeedbackError("out of order")
            yield Judgement(candidate.candidate_id, self.name, None, 0.5)


def test_a_source_that_fails_on_the_way_leaves_the_rest_without_reward(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        rewards = as_reward_func(Failing(1))(prompts=[HEAD] * 3, completions=["    pass\n"] * 3, **columns(3))
    assert rewards == [0.5, None, None]
    assert "2 of 3 completions have no reward: out of order" in caplog.text


def test_a_source_that_judges_nothing_stops_the_training() -> None:
    with pytest.raises(FeedbackError, match="out of order"):
        as_reward_func(Failing(0))(prompts=[HEAD], completions=["    pass\n"], **columns(1))


@pytest.mark.slow
def test_grpo_trains_on_the_exercises(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    rows = [
        {
            "prompt": problem.prompt,
            "tests": json.dumps(to_json(problem.tests)),
            "entry_point": problem.entry_point,
            "task_id": problem.task_id,
        }
        for problem in exercises("train", limit=8)
    ]
    args = GRPOConfig(
        output_dir=str(tmp_path),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=1,
        max_steps=2,
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=48,
        learning_rate=1e-4,
    )
    trainer = GRPOTrainer(
        model=model_path("embedded"),
        args=args,
        train_dataset=Dataset.from_list(rows),
        reward_funcs=as_reward_func(UnitTests(timeout=2, memory_mb=256, workers=2)),
    )
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    rewards = [entry["rewards/unit_tests/mean"] for entry in trainer.state.log_history if "reward" in entry]
    assert len(rewards) == 2
    assert 0 < max(rewards) <= 1  # the embedded policy solves some
    assert any(not torch.equal(weight, before[name]) for name, weight in trainer.model.named_parameters())
