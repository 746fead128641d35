"""Errors that a user can cause; each message says what was wrong, where, and what to do.

All of them are :class:`UserError`, so the command line shows their message alone, and no traceback.
"""

from __future__ import annotations


class UserError(RuntimeError):
    """Something that the user can put right; the message says how."""


class InputError(UserError, ValueError):
    """A file that cannot be used; the message names file, line and field, and what was expected."""


class FeedbackError(UserError):
    """A source failed to judge for a reason of its own; the candidate is not to blame and gets no score."""


class StoreError(UserError):
    """The file of samples and verdicts cannot be used."""


class NothingToTrainOn(UserError):
    """Ranking left no group; the message says why and what to change."""


class Pruned(UserError):
    """A search ended a training early, for it did worse than others had at that point."""
