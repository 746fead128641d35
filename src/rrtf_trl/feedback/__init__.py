"""Feedback: candidates in, judgements out."""

from .base import Feedback
from .reward import as_reward_func
from .teacher import Teacher
from .unit_tests import UnitTests

__all__ = ["Feedback", "Teacher", "UnitTests", "as_reward_func"]
