"""The stages of a run, in order: their names in ``run.json``, and the commands that end with them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage.

    Args:
        name: As in ``run.json``, for the hooks of plugins, and in ``rrtf watch``.
        command: The sub-command of ``rrtf`` that runs up to this stage; ``None`` where there is none.
        help: What the command does, in one line.
    """

    name: str
    command: str | None = None
    help: str = ""


STAGES = (
    Stage("problems"),
    Stage("evaluate_base"),
    Stage("sample", "sample", "draw candidates for the problems"),
    Stage("feedback", "feedback", "judge the candidates"),
    Stage("rank", "rank", "rank the candidates of each problem"),
    Stage("train", "train", "train the policy on the ranked candidates"),
    Stage(
        "evaluate_trained",
        "evaluate",
        "measure the policy before and after on held-out problems; with benchmark=, any model",
    ),
    Stage("report", "report", "write the report of a run"),
)
COMMANDS = {stage.command: stage for stage in STAGES if stage.command is not None}
"""The stages that a command ends with, by the command's name."""


def stages_until(command: str) -> list[str]:
    """Return the names of the stages that a command runs, in order.

    The policy is measured before training only where it is measured after it too.

    Args:
        command: A key of ``COMMANDS``, or ``problems``.
    """
    last = COMMANDS[command].name if command in COMMANDS else command
    names = [stage.name for stage in STAGES]
    found = names[: names.index(last) + 1]
    return found if "evaluate_trained" in found else [name for name in found if name != "evaluate_base"]
