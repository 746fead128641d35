"""Tab completion: of sub-commands here, of their settings by Hydra.

The shell function that Hydra installs calls ``rrtf -sc query=SHELL``, with the line in ``COMP_LINE``.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence

from rrtf_trl.pipeline.stages import COMMANDS

_HYDRA_COMMANDS = ("run", *COMMANDS, "quantize")
"""The commands with Hydra settings; of the others only the name is completed."""


def complete(arguments: Sequence[str]) -> str | None:
    """Return the command that completes its own settings, or ``None`` if nothing is left to complete.

    Args:
        arguments: Those of ``rrtf``, beginning with the flag.
    """
    line = os.environ.get("COMP_LINE", "")
    if not any(argument.startswith("query=") for argument in arguments):
        return "run"  # it installs completion for all commands
    words = line.split()
    if len(words) > 2 or (len(words) == 2 and line.endswith(" ")):
        return words[1] if words[1] in _HYDRA_COMMANDS else None
    from rrtf_trl.plugins import plugins

    print(" ".join(plugins().registered("command")))
    return None


@contextlib.contextmanager
def as_one_command() -> Iterator[None]:
    """Hide the sub-command from Hydra's completion, which expects none.

    Hydra reads the program's name from ``sys.argv`` and the line from ``COMP_LINE``: ``rrtf run seed=`` becomes
    ``rrtf seed=`` inside the block.
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
