"""Parses `rrtf` commands as the command line does, without running them."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from rrtf_trl.cli import main
from rrtf_trl.cli.hydra_command import hydra_application
from rrtf_trl.config.types import check_types
from rrtf_trl.plugins import plugins
from rrtf_trl.plugins.folders import config_dir
from rrtf_trl.storage.run_folder import RunFolder

_STAGES = ("run", "sample", "feedback", "rank", "train", "evaluate", "report")


def check_command(words: list[str], capsys: Any) -> None:
    """Fail where the command line would refuse a command's options.

    Args:
        words: The command; it begins with ``rrtf``.
        capsys: pytest's, for the help that some commands are checked by.
    """
    command, arguments = words[1], words[2:]
    if command in _STAGES or command == "quantize":
        config = _config_of(command, arguments)
        arguments = _of_one_job(arguments)
        status = hydra_application(
            command, arguments, config, lambda _: RunFolder("parsed"), lambda found, *_: check_types(found)
        )
        assert status == 0, words
    elif command == "evolve":
        _check_evolve(arguments)
    elif command == "trl-train":
        _check_trl(arguments)
    elif command not in ("--help", "--version"):
        _check_flags(command, arguments, capsys)


def commands_of_the_cli() -> set[str]:
    """Return the names of the sub-commands."""
    return set(plugins().registered("command"))


def _of_one_job(arguments: list[str]) -> list[str]:
    """Return the options of one job of a sweep; those of one job as they are."""
    if not {"-m", "--multirun"} & set(arguments):
        return arguments
    left = [word for word in arguments if word not in ("-m", "--multirun") and not word.startswith("hydra")]
    # What a sweeper draws from, interval(0.1,10), stands for no value of its own. Of lists the last is taken, which
    # has all choices that the other options belong to.
    return [
        re.sub(r"=\[.*\],\[", "=[", word) if "[" in word else word.split(",")[0] for word in left if "(" not in word
    ]


def _config_of(command: str, arguments: list[str]) -> str:
    if command == "quantize":
        return "quantize"
    measures = command == "evaluate" and any(word.lstrip("+").startswith("benchmark") for word in arguments)
    return "evaluate" if measures else "config"


def _check_evolve(arguments: list[str]) -> None:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        OmegaConf.to_container(compose("evolve", [word for word in arguments if word != "--help"]), resolve=True)


def _check_flags(command: str, arguments: list[str], capsys: Any) -> None:
    """Look a command's options up in its help, and that of its sub-command where it has one."""
    known: set[str] = set()
    for help_of in ([command], [command, *arguments[:1]]):
        capsys.readouterr()
        with suppress(SystemExit):
            main([*help_of, "--help"])
        known |= set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    said = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    assert said <= known, f"rrtf {command}: {said - known}"


def _check_trl(arguments: list[str]) -> None:
    from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, TrlParser

    from rrtf_trl import RRTFConfig

    if arguments:
        parser = TrlParser((ScriptArguments, RRTFConfig, ModelConfig, DatasetMixtureConfig))
        known = {name for action in parser._actions for name in action.option_strings} | {
            "--num_processes",
            "--accelerate_config",
        }
        said = {word.partition("=")[0] for word in arguments if word.startswith("--")}
        assert said <= known, said - known
