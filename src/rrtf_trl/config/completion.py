"""Tab completion: Hydra's, which knows no sub-commands, with ours before it.

What Hydra installs in a shell calls ``rrtf -sc query=SHELL`` with the line so far in ``COMP_LINE``.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence

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


@contextlib.contextmanager
def as_one_command() -> Iterator[None]:
    """Let Hydra complete for ``rrtf``, and not for a sub-command.

    It has the name of what it completes for from ``sys.argv`` and the line from ``COMP_LINE``, and takes neither from
    elsewhere: ``rrtf run seed=`` becomes ``rrtf seed=`` for as long as this lasts.
    """
    arguments, line = sys.argv, os.environ.get("COMP_LINE")
    sys.argv = ["rrtf"]
    if line is not None:
        os.environ["COMP_LINE"] = re.sub(r"^(\s*\S+)\s+\w[\w-]*(?=\s|$)", r"\1", line)
    try:
        yield
    finally:
        sys.argv = arguments
        if line is not None:
            os.environ["COMP_LINE"] = line
