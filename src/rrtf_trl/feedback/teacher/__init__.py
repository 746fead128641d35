"""A stronger model as the judge: it grades, compares or ranks candidates, and abstains where it cannot."""

from .judge import Teacher

__all__ = ["Teacher"]
