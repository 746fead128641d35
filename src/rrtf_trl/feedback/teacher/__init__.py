"""A stronger model as the judge: it grades, compares or ranks answers, and abstains where it cannot."""

from .judge import Teacher

__all__ = ["Teacher"]
