"""The hooks of plugins; their docstrings are the contract.

A plugin is a module (or object) that an entry point of group ``rrtf_trl`` names. It states the version of the contract
that it keeps, and implements the hooks that it needs, with the arguments that it needs::

    from rrtf_trl import hookimpl

    RRTF_CONTRACT = 1

    @hookimpl
    def rrtf_feedback():
        return {"mine": "my_package.judge:Mine"}

A plugin registers names with *targets*: an object, or better ``"module:attribute"``, which is imported on first use:
installed plugins cost no start-up time. The built-in names are registered in the same way, see
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
"""The version of this contract, which a plugin repeats as ``RRTF_CONTRACT``. It increases if a hook or an argument is
removed or changes its meaning, and not for a new hook or argument."""

PROJECT = "rrtf_trl"
"""The project's name for pluggy, and the entry points' group."""

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
        main: The target of a function that gets the arguments after the command's name and returns the exit status.
    """

    help: str
    main: Target


# -- Registered names ------------------------------------------------------------------------------------
# For the first four, the plugin also has the choice's configuration, ``GROUP/NAME.yaml`` on a path of
# `rrtf_config_paths`, with ``_target_`` and the options with their defaults.


@hookspec
def rrtf_samplers() -> Targets:  # type: ignore[empty-body]
    """Return samplers by name: classes of the protocol :class:`rrtf_trl.samplers.Sampler`. Group ``sampler``."""


@hookspec
def rrtf_feedback() -> Targets:  # type: ignore[empty-body]
    """Return feedback sources by name, of the protocol :class:`rrtf_trl.feedback.Feedback`. Group ``feedback``."""


@hookspec
def rrtf_rankings() -> Targets:  # type: ignore[empty-body]
    """Return ranking rules by name: classes with :meth:`rrtf_trl.ranking.Ranking.rank`. Group ``ranking``."""


@hookspec
def rrtf_executors() -> Targets:  # type: ignore[empty-body]
    """Return executors by name, of the protocol :class:`rrtf_trl.pipeline.executor.Executor`. Group ``executor``."""


@hookspec
def rrtf_losses() -> Targets:  # type: ignore[empty-body]
    """Return losses by name, for ``loss_type``: functions of a batch that return a ``LossOutput``.

    A loss marked by :func:`rrtf_trl.training.losses.token_loss` is called as ``(inputs, config, **options)``: with
    :class:`rrtf_trl.training.losses.LossInputs`, which have the log-probability of each token, and with the options of
    ``loss_kwargs``, its keyword-only parameters. One that is not marked gets sums, with the arguments of
    :func:`rrtf_trl.training.losses.rrtf_loss`.
    """


@hookspec
def rrtf_problem_readers() -> Targets:  # type: ignore[empty-body]
    """Return readers of rows by the format's name: functions from a row (a dict) to a ``Problem``.

    A reader returns ``None`` for a row of another format. For a wrong row of its format it raises
    :class:`rrtf_trl.records.RecordError`, which names the field. The first reader that accepts a row reads it;
    built-in readers come first.
    """


@hookspec
def rrtf_report_sections() -> Targets:  # type: ignore[empty-body]
    """Return sections of a run's report by name: functions from its ``RunFolder`` to a ``report.Section`` or ``None``.

    A section reads the run's files. Text that it does not mark as markup is escaped.
    """


@hookspec
def rrtf_commands() -> Mapping[str, Command]:  # type: ignore[empty-body]
    """Return sub-commands of ``rrtf`` by name."""


@hookspec
def rrtf_config_paths() -> Sequence[str | Path]:  # type: ignore[empty-body]
    """Return folders of configuration groups: ``pkg://my_package.conf``, or a path.

    A file that is also in an earlier folder is not used; the folder of rrtf-trl is the first.
    """


# -- Events of a run -------------------------------------------------------------------------------------


@hookspec
def rrtf_trainer_callbacks(  # type: ignore[empty-body]
    run: RunFolder, config: Mapping[str, Any], console: Console, progress: Meter
) -> Sequence[TrainerCallback]:
    """Return callbacks for the trainer of a run; called when training is about to start.

    It is called in each training process, several under ``accelerate launch``: a callback that must act once checks
    ``state.is_world_process_zero``.

    Args:
        run: The run's folder.
        config: The run's configuration, resolved, as plain data.
        console: Where to print lines for the user.
        progress: The progress bar of the training steps.
    """


@hookspec
def rrtf_stage_started(stage: str, run: RunFolder, config: Mapping[str, Any]) -> None:
    """A stage begins, even if all of its work was done before.

    Args:
        stage: ``run`` around all others; ``problems``, ``evaluate_base``, ``sample``, ``feedback``, ``rank``,
            ``train``, ``evaluate_trained``, ``report``.
        run: The run's folder, with the files of earlier stages.
        config: The run's configuration, resolved, as plain data.
    """


@hookspec
def rrtf_stage_ended(
    stage: str, run: RunFolder, config: Mapping[str, Any], facts: Mapping[str, Any], error: BaseException | None
) -> None:
    """A stage has ended, by itself or by an error; not called if the process is killed.

    Args:
        stage: As in :func:`rrtf_stage_started`.
        run: The run's folder, with the stage's files.
        config: The run's configuration, resolved, as plain data.
        facts: The stage's seconds and counts, as in ``run.json``; empty if it failed.
        error: The error that ended it, or ``None``.
    """
