"""The table of stages: what each command runs, and that docs and defaults agree with it."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields

import pytest
from omegaconf import OmegaConf

from rrtf_trl import RRTFConfig
from rrtf_trl.pipeline.stages import COMMANDS, STAGES, stages_until
from rrtf_trl.plugins import hookspecs, plugins
from rrtf_trl.plugins.folders import config_dir


@pytest.mark.parametrize(
    ("command", "stages"),
    [
        ("problems", ["problems"]),
        ("sample", ["problems", "sample"]),
        ("train", ["problems", "sample", "feedback", "rank", "train"]),
        (
            "evaluate",
            ["problems", "evaluate_base", "sample", "feedback", "rank", "train", "evaluate_trained"],
        ),
        ("report", [stage.name for stage in STAGES]),
    ],
)
def test_a_command_runs_the_stages_up_to_its_own(command: str, stages: list[str]) -> None:
    assert stages_until(command) == stages


def test_each_stage_with_a_command_is_one_of_the_command_line() -> None:
    commands = plugins().registered("command")
    for name, stage in COMMANDS.items():
        assert commands[name].target.help == stage.help
        assert callable(commands[name].load())


def test_the_hooks_name_the_stages_in_order() -> None:
    text = " ".join((inspect.getdoc(hookspecs.rrtf_stage_started) or "").split())
    assert ", ".join(f"``{stage.name}``" for stage in STAGES) in text


def test_a_trainer_alone_has_the_defaults_of_a_run() -> None:
    """All of RRTF's own options; those that say what passes come with the rows, see `rrtf_trl.rank`."""
    run = OmegaConf.load(config_dir() / "trainer" / "rrtf.yaml")
    own = {field.name: field.default for field in fields(RRTFConfig) if field.name in RRTFConfig.__annotations__}
    compared = [name for name in own if name in run and not name.endswith("_min_score")]
    assert {name: run[name] for name in compared} == {name: own[name] for name in compared}
    assert MISSING not in own.values()
    assert {"rank_weight", "pairs", "sft_reduction"} <= set(compared)
