"""Feedback: candidates in, judgements out."""

from .base import Feedback, FeedbackError
from .unit_tests import UnitTests

__all__ = ["Feedback", "FeedbackError", "UnitTests"]
