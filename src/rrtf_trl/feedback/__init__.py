"""Feedback: candidates in, judgements out."""

from .base import Feedback, FeedbackError
from .reward import as_reward_func
from .unit_tests import UnitTests

__all__ = ["Feedback", "FeedbackError", "UnitTests", "as_reward_func"]
