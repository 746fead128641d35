"""The verbs of the package: in memory, durable with a folder, and with the command line's defaults."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rrtf_trl
from rrtf_trl import Candidates, RRTFConfig, evaluate, judge, rank, read_problems, sample
from rrtf_trl.errors import InputError, UserError
from rrtf_trl.feedback import UnitTests
from rrtf_trl.files.folder import json_line
from rrtf_trl.plugins.folders import config_dir
from rrtf_trl.problems.exercises import exercises
from rrtf_trl.records import Candidate, CaseTests, Judgement, Problem, to_json
from rrtf_trl.samplers import ReferenceSampler
from rrtf_trl.training.prepare import use_passing_score

PROBLEM = Problem("p", "def f(x):\n", CaseTests([{"args": [2], "expected": 3}]), "f")


class Counting(UnitTests):
    """Counts what it was asked to judge."""

    judged = 0

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        for judgement in super().judge(items):
            type(self).judged += 1
            yield judgement


class People:
    """People who like short answers."""

    name = "people"

    def identity(self) -> dict[str, Any]:
        return {"feedback": self.name}

    def check(self, problem: Problem) -> None: ...

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        for _, candidate in items:
            yield Judgement(candidate.candidate_id, self.name, None, 1 / len(candidate.code), {})


def answers(*bodies: str) -> list[Candidates]:
    drawn = [
        Candidate.create(
            task_id="p",
            response=body,
            code=f"def f(x):\n    {body}\n",
            source="student",
            model="m",
            sampling={"index": index},
            finish_reason="stop",
        )
        for index, body in enumerate(bodies)
    ]
    return [Candidates(PROBLEM, drawn)]


@pytest.mark.slow
def test_the_whole_job_in_memory(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("".join(json_line(to_json(problem)) for problem in exercises("train", 6)))
    problems = read_problems(tmp_path / "p.jsonl")
    drawn = sample(problems, "embedded", n=4, max_new_tokens=96, progress=False)
    assert [len(item.candidates) for item in drawn] == [4] * 6
    judged = judge(drawn, progress=False)
    assert all(row["unit_tests"].state for item in judged for row in item.judgements)
    rows = rank(judged)
    assert set(rows.column_names) >= {"prompt", "responses", "scores", "sources", "passing_score"}
    figures = evaluate("embedded", problems, max_new_tokens=96, progress=False)
    assert set(figures) == {"greedy pass@1", "sampled pass@1", "sampled pass@4"}
    assert "pass@1, greedy" in str(figures)
    assert list(tmp_path.iterdir()) == [tmp_path / "p.jsonl"], "nothing is left behind"


def test_with_a_folder_nothing_is_done_twice(tmp_path: Path) -> None:
    drawn = answers("return x + 1", "return x")
    Counting.judged = 0
    first = judge(drawn, [Counting()], folder=tmp_path, progress=False)
    assert judge(drawn, [Counting()], folder=tmp_path, progress=False) == first
    assert Counting.judged == 2


def test_the_state_of_each_answer_and_the_rows_of_the_trainer() -> None:
    judged = judge(answers("return x + 1", "return x", "return y"), progress=False)
    assert [row["unit_tests"].state for row in judged[0].judgements] == ["passed", "partial", "runtime_error"]
    (row,) = rank(judged)
    assert row["scores"] == [3.0, 2.0, 1.0]
    assert row["passing_score"] == 3.0
    config = RRTFConfig("out", use_cpu=True, bf16=False)
    use_passing_score(rank(judged), config)
    assert (config.sft_min_score, config.rank_min_score) == (3.0, 3.0)
    kept = RRTFConfig("out", use_cpu=True, bf16=False, sft_min_score=float("-inf"), rank_min_score=1.0)
    use_passing_score(rank(judged), kept)
    assert (kept.sft_min_score, kept.rank_min_score) == (float("-inf"), 1.0)


def test_judgements_of_several_calls_add_up_and_people_alone_rank() -> None:
    drawn = answers("return x + 1", "return x")
    both = judge(judge(drawn, progress=False), [People()], progress=False)
    assert [set(row) for row in both[0].judgements] == [{"unit_tests", "people"}] * 2
    (row,) = rank(judge(drawn, [People()], progress=False))
    assert row["scores"][1] > row["scores"][0], "the shorter one"
    assert row["passing_score"] is None, "nobody said what passes"


def test_samplers_stand_in_for_a_model() -> None:
    problem = Problem("p", "def f(x):\n", PROBLEM.tests, "f", reference="def f(x):\n    return x + 1\n")
    (item,) = sample([problem], ReferenceSampler(), progress=False)
    assert item.candidates[0].source == "reference"


def test_what_a_user_gets_wrong_is_said() -> None:
    with pytest.raises(UserError, match="there is no feedback source 'tests'; there are unit_tests"):
        judge(answers("return x"), ["tests"])
    with pytest.raises(UserError, match="'human' needs options"):
        judge(answers("return x"), ["human"])
    with pytest.raises(UserError, match="call judge\\(candidates\\) before rank"):
        rank(answers("return x"))
    with pytest.raises(UserError, match="no problem to train on: too_few 1"):
        rank(judge(answers("return x"), progress=False))
    odd = Problem("odd", "x", CaseTests([]), "f")
    with pytest.raises(InputError, match="odd: "):
        judge([Candidates(odd, [])])


def test_defaults_are_those_of_the_command_line() -> None:
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose("config")
    ours = {name: one.default for name, one in inspect.signature(sample).parameters.items()}
    node = config.sampler.transformers
    assert [ours["temperature"]] == node.temperatures
    assert [ours["top_p"]] == node.top_ps
    assert (ours["n"], ours["max_new_tokens"], ours["batch_size"]) == (node.n, node.max_new_tokens, node.batch_size)
    tests = UnitTests()
    assert (tests.timeout, tests.memory_mb) == (
        config.feedback.unit_tests.timeout,
        config.feedback.unit_tests.memory_mb,
    )
    measured = rrtf_trl.pipeline.api.DEFAULT_MEASUREMENTS
    assert {name: (one.n, one.temperature, list(one.ks)) for name, one in measured.items()} == {
        name: (one.n, one.temperature, list(one.ks)) for name, one in config.evaluation.measurements.items()
    }


@pytest.mark.slow
def test_it_needs_neither_hydra_nor_plugins() -> None:
    code = (
        "import sys\n"
        "from rrtf_trl import RRTFConfig, RRTFTrainer, evaluate, judge, rank, read_problems, sample\n"
        "from rrtf_trl.problems.exercises import exercises\n"
        "rows = rank(judge(sample(list(exercises('train', 16)), 'embedded', n=4, max_new_tokens=96)))\n"
        "options = RRTFConfig('out', use_cpu=True, bf16=False, max_steps=1)\n"
        "RRTFTrainer('embedded', train_dataset=rows, args=options)\n"
        "loaded = {name.split('.')[0] for name in sys.modules} | {name for name in sys.modules if 'rrtf' in name}\n"
        "print(*sorted(loaded & {'hydra', 'omegaconf', 'rrtf_trl.plugins'}), 'loaded')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["loaded"], done.stdout + done.stderr
