"""The command line: one module for each command; :mod:`.command_line` dispatches."""

from .command_line import main

__all__ = ["main"]
