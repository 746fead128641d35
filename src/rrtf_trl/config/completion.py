"""Tab completion: Hydra's, which knows no sub-commands, with ours before it.

What Hydra installs in a shell calls ``rrtf -sc query=SHELL`` with the line so far in ``COMP_LINE``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

FLAGS = {"-sc", "--shell-completion"}
_COMMANDS = ("run", "sample", "feedback", "rank", "train", "evaluate", "report", "quantize")
"""The commands whose settings are Hydra's, the usual first; of the others only the name is completed."""


def complete(arguments: Sequence[str]) -> str | None:
    """Return the command that is to complete its own settings, or ``None`` where all is said.

    The name of a command is completed here.

    Args:
        arguments: Those of ``rrtf``, beginning with the flag.
    """
    line = os.environ.get("COMP_LINE", "")
    if not any(argument.startswith("query=") for argument in arguments):
        return _COMMANDS[0]  # installs for all
    words = line.split()
    if len(words) > 2 or (len(words) == 2 and line.endswith(" ")):
        return words[1] if words[1] in _COMMANDS else None
    from rrtf_trl.plugins import plugins

    print(" ".join(plugins().registered("command")))
    return None


def without_command(line: str) -> str:
    """Return a line without the sub-command: ``rrtf run seed=`` becomes ``rrtf seed=``."""
    return re.sub(r"^(\s*\S+)\s+\w[\w-]*(?=\s|$)", r"\1", line)
