"""Feedback: candidates in, judgements out."""

from .base import Feedback, FeedbackError
from .human import HumanLabels
from .reward import as_reward_func
from .unit_tests import UnitTests

__all__ = ["Feedback", "FeedbackError", "HumanLabels", "UnitTests", "as_reward_func"]
