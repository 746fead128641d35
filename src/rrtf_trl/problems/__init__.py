"""Problems: read from files, or generated."""

from .files import InputError, ProblemFile, problem_from_row, read_jsonl
from .prompts import PromptForm, render_prompt

__all__ = ["InputError", "ProblemFile", "PromptForm", "problem_from_row", "read_jsonl", "render_prompt"]
