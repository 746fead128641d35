"""What a plugin may do: the hooks, of which each docstring is the contract.

A plugin is a module (or object) that an entry point of group ``rrtf_trl`` names. It says which contract it was
written for and implements the hooks that it needs, with those of their arguments that it needs::

    from rrtf_trl import hookimpl

    RRTF_CONTRACT = 1

    @hookimpl
    def rrtf_feedback():
        return {"mine": "my_package.judge:Mine"}

What is registered is a name with a *target*: an object, or better ``"module:attribute"``, which is imported when the
name is first used, so that an installed plugin costs no one anything. Ours register in the same way, see
:mod:`rrtf_trl.plugins.builtin`. See docs/plugins.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from rich.console import Console
    from transformers import TrainerCallback

    from rrtf_trl.monitoring.progress import Meter
    from rrtf_trl.storage.run_folder import RunFolder

CONTRACT = 1
"""The version of this contract, which a plugin repeats as ``RRTF_CONTRACT``. It rises when a hook or an argument goes
or changes its meaning; a new hook or argument leaves it as it is."""

PROJECT = "rrtf_trl"
"""The project's name for pluggy, and the group of the entry points."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Target = Any
"""An object, or ``"module:attribute"`` that names one."""
Targets = Mapping[str, Target]


@dataclass(frozen=True)
class Command:
    """A sub-command of ``rrtf``.

    Args:
        help: One line for ``rrtf --help``.
        main: Target: called with the arguments that follow the command's name, returns the exit status.
    """

    help: str
    main: Target


# -- What is chosen by name ------------------------------------------------------------------------------
# For the first four the plugin also ships the choice's configuration, ``GROUP/NAME.yaml`` on a path of
# `rrtf_config_paths`: its ``_target_`` and its options with their defaults.


@hookspec
def rrtf_samplers() -> Targets:  # type: ignore[empty-body]
    """Return samplers by name: classes that keep :class:`rrtf_trl.samplers.Sampler`. Group ``sampler``."""


@hookspec
def rrtf_feedback() -> Targets:  # type: ignore[empty-body]
    """Return feedback sources by name: classes that keep :class:`rrtf_trl.feedback.Feedback`. Group ``feedback``."""


@hookspec
def rrtf_rankings() -> Targets:  # type: ignore[empty-body]
    """Return ranking rules by name: classes with :meth:`rrtf_trl.ranking.Ranking.rank`. Group ``ranking``."""


@hookspec
def rrtf_executors() -> Targets:  # type: ignore[empty-body]
    """Return executors by name: classes that keep :class:`rrtf_trl.pipeline.executor.Executor`. Group ``executor``."""


@hookspec
def rrtf_losses() -> Targets:  # type: ignore[empty-body]
    """Return losses by name, for ``loss_type``: functions as :func:`rrtf_trl.training.losses.rrtf_loss`."""


@hookspec
def rrtf_problem_readers() -> Targets:  # type: ignore[empty-body]
    """Return readers of rows by the format's name: functions from a row (a dict) to a ``Problem``.

    A reader returns ``None`` for a row of another format, and raises :class:`rrtf_trl.records.RecordError`, naming the
    field, for one of its own that is wrong. The first reader that knows a row reads it, ours before others'.
    """


@hookspec
def rrtf_report_sections() -> Targets:  # type: ignore[empty-body]
    """Return sections of a run's report by name: functions from its ``RunFolder`` to a ``report.Section`` or ``None``.

    A section reads the run's files, and shows what there is. What it does not mark as markup is escaped.
    """


@hookspec
def rrtf_commands() -> Mapping[str, Command]:  # type: ignore[empty-body]
    """Return sub-commands of ``rrtf`` by name."""


@hookspec
def rrtf_config_paths() -> Sequence[str | Path]:  # type: ignore[empty-body]
    """Return folders of configuration groups: ``pkg://my_package.conf``, or a path.

    A file that is in an earlier folder too is not used, and ours is the first.
    """


# -- What happens in a run -------------------------------------------------------------------------------


@hookspec
def rrtf_trainer_callbacks(  # type: ignore[empty-body]
    run: RunFolder, config: Mapping[str, Any], console: Console, progress: Meter
) -> Sequence[TrainerCallback]:
    """Return callbacks for the trainer of a run, when its training is about to start.

    It is called in every process that trains, under ``accelerate launch`` in several: what should be done once is done
    where ``state.is_world_process_zero``.

    Args:
        run: The run's folder.
        config: The run's configuration, resolved, as plain data.
        console: Where lines for the user go.
        progress: The bar that counts the steps of training.
    """


@hookspec
def rrtf_stage_started(stage: str, run: RunFolder, config: Mapping[str, Any]) -> None:
    """A stage begins, also where all of its work is done already.

    Args:
        stage: ``run`` around all others; ``problems``, ``evaluate_base``, ``sample``, ``feedback``, ``rank``,
            ``train``, ``evaluate_trained``, ``report``.
        run: The run's folder, with what the stages before have left there.
        config: The run's configuration, resolved, as plain data.
    """


@hookspec
def rrtf_stage_ended(
    stage: str, run: RunFolder, config: Mapping[str, Any], facts: Mapping[str, Any], error: BaseException | None
) -> None:
    """A stage that began has ended, by itself or by an error; a killed process tells nobody.

    Args:
        stage: As in :func:`rrtf_stage_started`.
        run: The run's folder, with what the stage has left there.
        config: The run's configuration, resolved, as plain data.
        facts: What ``run.json`` notes of the stage: its seconds and counts; empty where it failed.
        error: What ended it, or ``None``.
    """
