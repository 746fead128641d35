"""One plugin with every hook, in one run: what each hook is called with, and what becomes of what it returns."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rrtf_trl.plugins import contract, hookspecs

ROOT = Path(__file__).parents[2]
Install = Callable[..., None]
Rrtf = Callable[..., tuple[int, str, str]]

PLUGIN = """
import json
from pathlib import Path

import pytest
from rrtf_trl.plugins.hookspecs import Command

@hookimpl
def rrtf_samplers():
    return {"every_one": "rrtf_every.parts:Sampler"}

@hookimpl
def rrtf_feedback():
    return {"short": "rrtf_every.parts:Short"}

@hookimpl
def rrtf_rankings():
    return {"backwards": "rrtf_every.parts:Backwards"}

@hookimpl
def rrtf_executors():
    return {"counting": "rrtf_every.parts:Counting"}

@hookimpl
def rrtf_losses():
    return {"doubled": "rrtf_every.parts:doubled"}

@hookimpl
def rrtf_problem_readers():
    return {"quiz": "rrtf_every.parts:from_quiz"}

@hookimpl
def rrtf_report_sections():
    return {"mine": "rrtf_every.parts:section", "bad": "rrtf_every.parts:bad_section"}

@hookimpl
def rrtf_commands():
    return {"every": Command("nothing", "rrtf_every.parts:command")}

@hookimpl
def rrtf_config_paths():
    return ["pkg://rrtf_every.conf"]

@hookimpl
def rrtf_trainer_callbacks(run, config, console, progress):
    from rrtf_every.parts import callback
    return [callback(run, console, progress)]

def note(text):
    with Path("told.txt").open("a") as file:
        print(text, file=file)

@hookimpl
def rrtf_stage_started(stage, run, config):
    note(f"{stage} started, seed {config['seed']}, {run.path.name[:3]}")

@hookimpl
def rrtf_stage_ended(stage, run, config, facts, error):
    note(f"{stage} ended, {sorted(facts)[:2]}, {error}")
"""
PARTS = '''
from rrtf_trl.pipeline.executor import LocalExecutor
from rrtf_trl.ranking import Ranking
from rrtf_trl.records import Judgement, Problem, RecordError
from rrtf_trl.report import Section
from rrtf_trl.samplers import ReferenceSampler
from rrtf_trl.training import rrtf_loss


class Sampler(ReferenceSampler):
    def identity(self):
        return {"sampler": "every_one"}


class Short:
    name = "short"

    def identity(self):
        return {"feedback": "short"}

    def check(self, problem):
        pass

    def judge(self, items):
        for _, candidate in items:
            yield Judgement(candidate.candidate_id, "short", None, -float(len(candidate.code)), {})


class Backwards(Ranking):
    """Nothing of its own."""


class Counting(LocalExecutor):
    judged = 0

    def judge(self, source, items):
        for judgement in source.judge(items):
            self.judged += 1
            yield judgement

    def close(self):
        open("judged.txt", "a").write(f"{self.judged}\\n")


def doubled(logps, lengths, scores, group_ids, config, from_teacher):
    found = rrtf_loss(logps, lengths, scores, group_ids, config, from_teacher=from_teacher)
    found.rank_loss = 2 * found.rank_loss
    return found


def from_quiz(row):
    if "quiz" not in row:
        return None
    if row["quiz"] == "bad":
        raise RecordError("field quiz: bad")
    if row["quiz"] == "crash":
        raise ZeroDivisionError("crash")
    cases = [{"args": [[1, 2]], "expected": 3}, {"args": [[5]], "expected": 5}]
    return Problem.from_json({
        "task_id": row["quiz"], "prompt": row["prompt"], "entry_point": "solve",
        "tests": {"kind": "cases", "cases": cases}, "reference": row["prompt"] + "    return sum(xs)\\n",
    })


def section(run):
    return Section("My section", f"<b>{run.path.name}</b>")


def bad_section(run):
    raise KeyError("figures")


def callback(run, console, progress):
    from transformers import TrainerCallback

    class Mine(TrainerCallback):
        def on_train_end(self, args, state, control, **kwargs):
            console.print(f"trained {state.global_step} steps")
            run.write_json("mine.json", state.global_step)

    return Mine()


def command(arguments):
    print("every", arguments)
    return 0
'''
GONE = """
@hookimpl
def rrtf_report_sections():
    return {"gone": "rrtf_nowhere:section"}

@hookimpl
def rrtf_problem_readers():
    return {"gone": "rrtf_nowhere:reader"}

@hookimpl
def rrtf_trainer_callbacks():
    from transformers import PrinterCallback
    return PrinterCallback()
"""
FILES = {
    "parts.py": PARTS,
    "conf/sampler/every_one.yaml": "# @package sampler.every_one\n_target_: rrtf_every.parts.Sampler\n",
    "conf/feedback/short.yaml": "# @package feedback.short\n_target_: rrtf_every.parts.Short\n",
    "conf/ranking/backwards.yaml": "defaults: [ordinal]\n_target_: rrtf_every.parts.Backwards\n",
    "conf/executor/counting.yaml": "_target_: rrtf_every.parts.Counting\n",
}
SMALL = [
    "problems.heldout.limit=2", "sampler.transformers.n=4", "evaluation.n=1", "evaluation.ks=[1]",
    "trainer.num_train_epochs=1", "trainer.per_device_train_batch_size=4", "problems.train.limit=6",
]  # fmt: skip


@pytest.mark.slow
def test_every_hook_in_one_run(install: Install, rrtf: Rrtf, tmp_path: Path) -> None:
    install("every", PLUGIN, FILES)
    status, output, told = rrtf(
        "run", *SMALL, "sampler=[transformers,every_one]", "feedback=[unit_tests,short]", "ranking=backwards",
        "executor=counting", "trainer.loss_type=doubled",
    )  # fmt: skip
    assert status == 0, output + told
    (run,) = (path.parent for path in tmp_path.glob("runs/*/run.json"))
    stages = ["problems", "evaluate_base", "sample", "feedback", "rank", "train", "evaluate_trained", "report"]
    lines = (tmp_path / "told.txt").read_text().splitlines()
    assert lines[0] == "run started, seed 0, qui"
    assert lines[-1] == "run ended, [], None"
    assert [line.split()[0] for line in lines if " started" in line] == ["run", *stages]
    assert "sample ended, ['candidates', 'every_one'], None" in lines
    assert json.loads((run / "mine.json").read_text()) > 0
    assert "trained" in output
    judgements = [json.loads(line) for line in (run / "judgements.jsonl").read_text().splitlines()]
    assert {row["feedback"] for row in judgements} == {"unit_tests", "short"}
    judged = int((tmp_path / "judged.txt").read_text())
    assert judged == sum(json.loads((run / "run.json").read_text())["stages"]["feedback"][name]["judged"] for name in
                         ("unit_tests", "short")) + _judged_in(output)  # fmt: skip
    page = (run / "report.html").read_text()
    assert f"<h2>My section</h2>\n&lt;b&gt;{run.name}" in page
    assert "Plugin every (rrtf-every 1.2): report section bad raised KeyError" in page
    assert "report section bad raised KeyError: 'figures'; see `rrtf plugins`" in told
    assert rrtf("every", "x")[:2] == (0, "every ['x']\n")
    # The same run elsewhere is the same run, and there is nothing left to do.
    status, output, told = rrtf(
        "run", *SMALL, "sampler=[transformers,every_one]", "feedback=[unit_tests,short]", "ranking=backwards",
        "executor=local", "trainer.loss_type=doubled", RRTF_STRICT_PLUGINS="0",
    )  # fmt: skip
    assert "train: nothing to do" in output
    assert run.name in output


@pytest.mark.slow
def test_a_plugin_whose_parts_are_broken_does_not_end_a_run(install: Install, rrtf: Rrtf, tmp_path: Path) -> None:
    install("gone", GONE)
    status, output, told = rrtf("run", *SMALL)
    assert status == 0, output + told
    no_module = "ModuleNotFoundError: No module named 'rrtf_nowhere'"
    assert f"rrtf: plugin gone (rrtf-gone 1.2): report section gone raised {no_module}; see `rrtf plugins`" in told
    no_list = "hook rrtf_trainer_callbacks raised TypeError: 'PrinterCallback' object is not iterable"
    assert f"rrtf: plugin gone (rrtf-gone 1.2): {no_list}; see `rrtf plugins`" in told
    (page,) = tmp_path.glob("runs/*/report.html")
    assert f"report section gone raised {no_module}".replace("'", "&#39;") in page.read_text()


def _judged_in(output: str) -> int:
    """Of the evaluations, what was judged."""
    found = re.findall(r"^evaluate \w+ \w+ ?\w*: (\d+) judgements in", output, re.MULTILINE)
    return sum(map(int, found))


@pytest.mark.slow
def test_a_reader_reads_rows_and_refuses_its_own(install: Install, rrtf: Rrtf, tmp_path: Path) -> None:
    install("every", PLUGIN, FILES)
    for name, quiz in (("good", "q/1"), ("heldout", "q/2"), ("bad", "bad"), ("crash", "crash")):
        prompt = f'"""{name}: return the sum of xs."""\ndef solve(xs):\n'
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"quiz": quiz, "prompt": prompt}) + "\n")
    common = ["sample", "problems=files", "problems.heldout.path=heldout.jsonl", "sampler=[every_one]"]
    status, output, told = rrtf(*common, "problems.train.path=good.jsonl")
    assert status == 0, output + told
    assert "problems: 1 to train on, 1 held out" in output
    status, output, told = rrtf(*common, "problems.train.path=bad.jsonl")
    assert (status, told) == (1, "rrtf: bad.jsonl:1: field quiz: bad\n")
    install("gone", GONE)
    status, output, told = rrtf(*common, "problems.train.path=crash.jsonl")
    assert status == 1
    assert "problem reader quiz raised ZeroDivisionError: crash; see `rrtf plugins`" in told
    assert "problem reader gone raised ModuleNotFoundError: No module named 'rrtf_nowhere'; see" in told
    assert "crash.jsonl:1: field tests: missing" in told


def test_every_hook_is_documented_used_and_tested() -> None:
    docs = (ROOT / "docs" / "plugins.md").read_text()
    used = "".join(
        path.read_text()
        for path in [
            ROOT / "src/rrtf_trl/plugins/builtin.py",
            *ROOT.glob("examples/*.py"),
            *ROOT.glob("plugins/*/src/**/*.py"),
        ]
    )
    for hook in contract.HOOKS:
        assert inspect.getdoc(getattr(hookspecs, hook)), hook
        assert f"`{hook}`" in docs, hook
        assert f"def {hook}(" in used, hook
        assert f"def {hook}(" in PLUGIN, hook
