"""The command line: a module a command; :mod:`.command_line` finds them."""

from .command_line import main

__all__ = ["main"]
