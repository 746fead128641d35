"""Tab completion: Hydra's, which knows no sub-commands, with ours before it.

What Hydra installs in a shell calls ``rrtf -sc query=SHELL`` with the line so far in ``COMP_LINE``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

FLAGS = {"-sc", "--shell-completion"}


def complete(arguments: Sequence[str], commands: Iterable[str]) -> str | None:
    """Return the command that is to complete its own settings, or ``None`` where all is said.

    The name of a command is completed here.

    Args:
        arguments: Those of ``rrtf``, beginning with the flag.
        commands: The commands whose settings are Hydra's, the usual first.
    """
    names = list(commands)
    line = os.environ.get("COMP_LINE", "")
    if not any(argument.startswith("query=") for argument in arguments):
        return names[0]  # installs for all
    words = line.split()
    if len(words) > 2 or (len(words) == 2 and line.endswith(" ")):
        return words[1] if words[1] in names else None
    print(" ".join(names))
    return None


def without_command(line: str) -> str:
    """Return a line without the sub-command: ``rrtf run seed=`` becomes ``rrtf seed=``."""
    return re.sub(r"^(\s*\S+)\s+\w[\w-]*(?=\s|$)", r"\1", line)
