"""The built-in names, registered through the same hooks as plugins' names.

Targets are names, imported on first use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rrtf_trl.pipeline.stages import COMMANDS
from rrtf_trl.registry import BUILTIN

from .folders import config_dir
from .hookspecs import CONTRACT, Command, Targets, hookimpl

RRTF_CONTRACT = CONTRACT


@hookimpl
def rrtf_samplers() -> Targets:
    """The samplers."""
    return BUILTIN["sampler"]


@hookimpl
def rrtf_feedback() -> Targets:
    """The feedback sources."""
    return BUILTIN["feedback"]


@hookimpl
def rrtf_rankings() -> Targets:
    """The paper's rule, with several score maps."""
    return BUILTIN["ranking"]


@hookimpl
def rrtf_executors() -> Targets:
    """The executors."""
    return BUILTIN["executor"]


@hookimpl
def rrtf_losses() -> Targets:
    """The paper's loss, and those of other papers."""
    return BUILTIN["loss"]


@hookimpl
def rrtf_problem_readers() -> Targets:
    """The readers of rows, in the order in which they are tried."""
    return BUILTIN["problem_reader"]


@hookimpl
def rrtf_report_sections() -> Targets:
    """The sections of a report, in their order."""
    return BUILTIN["report_section"]


@hookimpl
def rrtf_commands() -> Mapping[str, Command]:
    """The sub-commands, in the order of the help."""
    return {
        "run": Command("the whole run: sample, judge, rank, train, evaluate, report", "rrtf_trl.cli.run:run"),
        **{name: Command(stage.help, f"rrtf_trl.cli.run:{name}") for name, stage in COMMANDS.items()},
        "check": Command("judge a file of samples by unit tests, in the sandbox", "rrtf_trl.cli.check:main"),
        "evolve": Command("make harder problems, with tests, of a file of tasks", "rrtf_trl.cli.evolve:main"),
        "decontaminate": Command("leave out problems that are in a benchmark", "rrtf_trl.cli.decontaminate:main"),
        "compare": Command("compare two or three models on the same problems", "rrtf_trl.cli.compare:main"),
        "quantize": Command(
            "export a policy as people deploy it, and measure each form", "rrtf_trl.cli.quantize:main"
        ),
        "explain": Command("show why a candidate is ranked where it is", "rrtf_trl.cli.explain:main"),
        "label": Command("people rank candidates on a page; import, export, agreement", "rrtf_trl.cli.label:main"),
        "trl-train": Command("RRTFTrainer by TRL's flags or YAML, as `trl dpo`", "rrtf_trl.cli.trl_train:main"),
        "config": Command("show a configuration, list all options, compare two runs", "rrtf_trl.cli.config:main"),
        "sweep-report": Command("write one page on the runs of a sweep", "rrtf_trl.cli.sweep_report:main"),
        "watch": Command("show what a run is doing, updated in the terminal", "rrtf_trl.cli.watch:main"),
        "plugins": Command("list the plugins; `rrtf plugins new` writes one", "rrtf_trl.cli.plugins:main"),
        "doctor": Command("show what this machine can do", "rrtf_trl.cli.doctor:main"),
    }


@hookimpl
def rrtf_config_paths() -> Sequence[str | Path]:
    """The folder ``conf/``."""
    return [config_dir()]
