"""The report of a run."""

from .page import write_report
from .sections import Section

__all__ = ["Section", "write_report"]
