"""What is built in keeps the contracts that plugins are held to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rrtf_trl.plugins import plugins
from rrtf_trl.records import Problem
from rrtf_trl.testing import (
    ExecutorContract,
    FeedbackContract,
    LossContract,
    ProblemReaderContract,
    SamplerContract,
    build_choice,
)

pytest_plugins = ["rrtf_trl.testing"]


@pytest.mark.slow
class TestTransformers(SamplerContract):
    choice = "transformers"
    options = {"n": 2, "max_new_tokens": 8, "batch_size": 2}  # noqa: RUF012
    wrong_options = ({"n": 0}, {"temperatures": [-1.0]}, {"batch_size": 0})


class TestReference(SamplerContract):
    choice = "reference"


class TestReplay(SamplerContract):
    choice = "replay"
    wrong_options = ({"n": 0}, {"source": "nobody"})

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path, problems: list[Problem]) -> None:
        rows = ({"task_id": p.task_id, "completion": f"    return {i}\n"} for p in problems[:3] for i in range(2))
        path = tmp_path / "answers.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.options = {"path": str(path)}


@pytest.mark.slow
class TestUnitTests(FeedbackContract):
    choice = "unit_tests"
    options = {"workers": 2}  # noqa: RUF012


class TestLocal(ExecutorContract):
    choice = "local"


class TestRRTF(LossContract):
    loss_type = "rrtf"


class TestRRHF(LossContract):
    loss_type = "rrhf"


class TestListMLE(LossContract):
    loss_type = "list_mle"


class TestLiPO(LossContract):
    loss_type = "lipo"


class TestDPO(LossContract):
    loss_type = "dpo_pl"
    options = {"loss_kwargs": {"beta": 0.3}}  # noqa: RUF012


class TestSimPO(LossContract):
    loss_type = "simpo"


class TestAsymRE(LossContract):
    loss_type = "asymre"


class TestTOPR(LossContract):
    loss_type = "topr"
    options = {"rank_min_score": 2.0}  # noqa: RUF012


class TestNFT(LossContract):
    loss_type = "nft"
    options = {"rank_min_score": 2.0}  # noqa: RUF012


class TestREAL(LossContract):
    loss_type = "real"
    options = {"rank_min_score": 2.0}  # noqa: RUF012


class TestTreeCredit(LossContract):
    loss_type = "tree_credit"
    options = {"sft_min_score": 2.0}  # noqa: RUF012


class TestHumanEval(ProblemReaderContract):
    reader = "humaneval"
    field = "test"
    row = {  # noqa: RUF012
        "task_id": "HumanEval/x",
        "prompt": "def inc(x):\n",
        "entry_point": "inc",
        "canonical_solution": "    return x + 1\n",
        "test": "def check(candidate):\n    assert candidate(1) == 2\n",
    }


class TestMBPP(ProblemReaderContract):
    reader = "mbpp"
    field = "code"
    row = {  # noqa: RUF012
        "task_id": 1,
        "text": "Write a function to add one.",
        "code": "def inc(x):\n    return x + 1\n",
        "test_list": ["assert inc(1) == 2"],
    }


@pytest.mark.parametrize(
    ("group", "name"),
    [(kind, name) for kind in ("ranking", "executor") for name in plugins().registered(kind)]
    + [("sampler", "openai"), ("sampler", "teacher"), ("feedback", "teacher")],
)
def test_what_is_registered_is_what_its_file_builds(group: str, name: str) -> None:
    needed = {
        ("sampler", "openai"): {"client.model": "m", "client.base_url": "http://localhost:1/v1"},
        ("feedback", "teacher"): {"client.model": "m", "client.base_url": "http://localhost:1/v1"},
        ("sampler", "teacher"): {"model": "embedded"},
    }
    build_choice(group, name, **needed.get((group, name), {}))
