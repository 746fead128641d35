"""Feedback: candidates in, judgements out."""

from .base import ComparesCandidates, Feedback, SummarizesJudgements
from .reward import as_reward_func
from .teacher import Teacher
from .unit_tests import UnitTests

__all__ = ["ComparesCandidates", "Feedback", "SummarizesJudgements", "Teacher", "UnitTests", "as_reward_func"]
