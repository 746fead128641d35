"""What rrtf-trl itself brings, through the hooks that plugins have, and with no more rights.

Everything is named and nothing imported: a target is loaded when its name is first used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rrtf_trl.registry import BUILTIN

from .folders import config_dir
from .hookspecs import CONTRACT, Command, Targets, hookimpl

RRTF_CONTRACT = CONTRACT


@hookimpl
def rrtf_samplers() -> Targets:
    """The sources of answers."""
    return BUILTIN["sampler"]


@hookimpl
def rrtf_feedback() -> Targets:
    """The sources of judgements."""
    return BUILTIN["feedback"]


@hookimpl
def rrtf_rankings() -> Targets:
    """The paper's rules, with one map of scores or another."""
    return BUILTIN["ranking"]


@hookimpl
def rrtf_executors() -> Targets:
    """Where work runs."""
    return BUILTIN["executor"]


@hookimpl
def rrtf_losses() -> Targets:
    """The paper's loss, and its predecessor's."""
    return BUILTIN["loss"]


@hookimpl
def rrtf_problem_readers() -> Targets:
    """The forms of rows, in the order in which they are tried."""
    return BUILTIN["problem_reader"]


@hookimpl
def rrtf_report_sections() -> Targets:
    """The sections of a report, in their order."""
    return BUILTIN["report_section"]


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
        **{name: Command(text, f"rrtf_trl.cli.run:{name}") for name, text in stages.items()},
        "check": Command("judge a file of samples by unit tests, in the sandbox", "rrtf_trl.cli.check:main"),
        "evolve": Command("make harder problems, with tests, of a file of tasks", "rrtf_trl.cli.evolve:main"),
        "decontaminate": Command("leave out problems that are in a benchmark", "rrtf_trl.cli.decontaminate:main"),
        "compare": Command("compare two or three models on the same problems", "rrtf_trl.cli.compare:main"),
        "quantize": Command(
            "export a policy as people deploy it, and measure each form", "rrtf_trl.cli.quantize:main"
        ),
        "explain": Command("tell why an answer stands where it does in the ranking", "rrtf_trl.cli.explain:main"),
        "label": Command("people rank answers on a page; import, export, agreement", "rrtf_trl.cli.label:main"),
        "trl-train": Command("RRTFTrainer by TRL's flags or YAML, as `trl dpo`", "rrtf_trl.cli.trl_train:main"),
        "config": Command("show a configuration, list all options, compare two runs", "rrtf_trl.cli.config:main"),
        "sweep-report": Command("write one page on the runs of a sweep", "rrtf_trl.cli.sweep_report:main"),
        "watch": Command("show what a run is doing, live in the terminal", "rrtf_trl.cli.watch:main"),
        "plugins": Command("list the plugins; `rrtf plugins new` writes one", "rrtf_trl.cli.plugins:main"),
        "doctor": Command("tell what this machine can do", "rrtf_trl.cli.doctor:main"),
    }


@hookimpl
def rrtf_config_paths() -> Sequence[str | Path]:
    """The folder ``conf/``."""
    return [config_dir()]
