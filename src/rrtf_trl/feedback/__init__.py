"""Feedback: candidates in, judgements out."""

from .base import Feedback, FeedbackError, Judged
from .human import HumanLabels
from .reward import as_reward_func
from .teacher import Teacher
from .unit_tests import UnitTests

__all__ = ["Feedback", "FeedbackError", "HumanLabels", "Judged", "Teacher", "UnitTests", "as_reward_func"]
