"""Errors that a user can correct; each message states what is wrong, where, and what to do.

All are :class:`UserError`: the command line prints the message without a traceback.
"""

from __future__ import annotations


class UserError(RuntimeError):
    """An error that the user can correct; the message states how."""


class InputError(UserError, ValueError):
    """A file cannot be used; the message names file, line and field, and what was expected."""


class FeedbackError(UserError):
    """A feedback source failed for a reason that is not in the candidate, which gets no score."""


class StoreError(UserError):
    """The store of candidates and judgements cannot be used."""


class NothingToTrainOn(UserError):
    """Ranking left no group; the message states why and what to change."""


class Pruned(UserError):
    """A search ended a training early, because others had done better at that point."""
