"""What rrtf-trl itself brings, through the hooks that plugins have, and with no more rights.

Everything is named and nothing imported: a target is loaded when its name is first used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrtf_trl.errors import UserError
from rrtf_trl.hookspecs import CONTRACT, Command, Targets, hookimpl

if TYPE_CHECKING:
    from rich.console import Console
    from transformers import TrainerCallback

    from rrtf_trl.progress import Meter

RRTF_CONTRACT = CONTRACT


@hookimpl
def rrtf_samplers() -> Targets:
    """The sources of answers."""
    return {
        "transformers": "rrtf_trl.samplers:TransformersSampler",
        "teacher": "rrtf_trl.samplers:TransformersSampler",
        "openai": "rrtf_trl.samplers:OpenAISampler",
        "reference": "rrtf_trl.samplers:ReferenceSampler",
        "replay": "rrtf_trl.samplers:ReplaySampler",
    }


@hookimpl
def rrtf_feedback() -> Targets:
    """The sources of judgements."""
    return {
        "unit_tests": "rrtf_trl.feedback:UnitTests",
        "teacher": "rrtf_trl.feedback:Teacher",
        "human": "rrtf_trl.feedback:HumanLabels",
    }


@hookimpl
def rrtf_rankings() -> Targets:
    """The paper's rules, with one map of scores or another."""
    return dict.fromkeys(("ordinal", "coderl", "rltf", "pass_ratio"), "rrtf_trl.ranking:Ranking")


@hookimpl
def rrtf_executors() -> Targets:
    """Where work runs."""
    return {"local": "rrtf_trl.executors:LocalExecutor"}


@hookimpl
def rrtf_losses() -> Targets:
    """The paper's loss, and its predecessor's."""
    return dict.fromkeys(("rrtf", "rrhf"), "rrtf_trl.training.losses:rrtf_loss")


@hookimpl
def rrtf_problem_readers() -> Targets:
    """The forms of rows, in the order in which they are tried."""
    return {
        "rrtf": "rrtf_trl.problems.formats:from_ours",
        "evalplus": "rrtf_trl.problems.evalplus:from_evalplus",
        "livecodebench": "rrtf_trl.problems.contests:from_livecodebench",
        "apps": "rrtf_trl.problems.contests:from_apps",
        "humaneval": "rrtf_trl.problems.formats:from_humaneval",
        "mbpp": "rrtf_trl.problems.formats:from_mbpp",
    }


@hookimpl
def rrtf_report_sections() -> Targets:
    """The sections of a report, in their order."""
    names = ("training", "answers", "spread", "dropped", "judges", "ranked", "heldout", "how")
    return {name: f"rrtf_trl.report.sections:{name}" for name in names}


@hookimpl
def rrtf_commands() -> Mapping[str, Command]:
    """The sub-commands, in the order of the help."""
    stages = {
        "run": "the whole run: sample, judge, rank, train, evaluate, report",
        "sample": "draw answers for the problems",
        "feedback": "judge the answers",
        "rank": "put the answers in order",
        "train": "train the policy on the ranked answers",
        "evaluate": "measure the policy before and after on held-out problems; with benchmark=, any model",
        "report": "write the report of a run",
    }
    return {
        **{name: Command(text, f"rrtf_trl.stages:{name}") for name, text in stages.items()},
        "check": Command("judge a file of samples by unit tests, in the sandbox", "rrtf_trl.tools:check"),
        "evolve": Command(
            "make harder problems, with tests, of a file of tasks", "rrtf_trl.problems.evolution.command:evolve"
        ),
        "decontaminate": Command("leave out problems that are in a benchmark", "rrtf_trl.tools:decontaminate"),
        "compare": Command("compare two or three models on the same problems", "rrtf_trl.tools:compare"),
        "quantize": Command(
            "export a policy as people deploy it, and measure each form", "rrtf_trl.quantize:quantize_application"
        ),
        "explain": Command("tell why an answer stands where it does in the ranking", "rrtf_trl.tools:explain"),
        "label": Command("people rank answers on a page; import, export, agreement", "rrtf_trl.labeling.cli:main"),
        "trl-train": Command("RRTFTrainer by TRL's flags or YAML, as `trl dpo`", "rrtf_trl.training.cli:main"),
        "config": Command(
            "show a configuration, list all options, compare two runs", "rrtf_trl.configuration.command:main"
        ),
        "sweep-report": Command("write one page on the runs of a sweep", "rrtf_trl.tools:sweep_report"),
        "watch": Command("show what a run is doing, live in the terminal", "rrtf_trl.tools:watch"),
        "plugins": Command("list the plugins; `rrtf plugins new` writes one", "rrtf_trl.plugins.command:main"),
        "doctor": Command("tell what this machine can do", "rrtf_trl.tools:doctor"),
    }


@hookimpl
def rrtf_config_paths() -> Sequence[str | Path]:
    """The folder ``conf/``."""
    return [config_dir()]


@hookimpl
def rrtf_trainer_callbacks(console: Console, progress: Meter) -> Sequence[TrainerCallback]:
    """The bar and the lines of the train stage."""
    from rrtf_trl.train_stage import console_progress

    return [console_progress(console, progress)]


@hookimpl
def rrtf_stage_started(stage: str) -> None:
    """Tell whoever watches the run."""
    from rrtf_trl.live import live

    told = live()
    if told is not None and stage != "run":
        told.stage(stage)


@hookimpl
def rrtf_stage_ended(stage: str, run: Any, facts: Mapping[str, Any], error: BaseException | None) -> None:
    """Note in ``run.json`` what a stage did."""
    if error is None and stage != "run" and facts:
        run.note(stage, **facts)


def config_dir() -> Path:
    """Return the folder of configuration groups: inside an installed package, or ``conf/`` of a clone."""
    package = Path(__file__).parent
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise UserError("the configuration files are missing from this installation of rrtf-trl: install it again")
