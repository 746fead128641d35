"""Problems: read from files, or generated."""

from .decontamination import Decontaminator
from .files import InputError, ProblemFile, problem_from_row, read_jsonl
from .prompts import PromptForm, render_prompt

__all__ = [
    "Decontaminator",
    "InputError",
    "ProblemFile",
    "PromptForm",
    "problem_from_row",
    "read_jsonl",
    "render_prompt",
]
