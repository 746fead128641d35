"""Problems: read from files or a hub, or generated."""

from .contests import NoTests
from .decontamination import Decontaminator
from .files import ProblemFile
from .formats import problem_from_row
from .prompts import PromptForm, render_prompt
from .rows import InputError, read_jsonl, read_rows

__all__ = [
    "Decontaminator",
    "InputError",
    "NoTests",
    "ProblemFile",
    "PromptForm",
    "problem_from_row",
    "read_jsonl",
    "read_rows",
    "render_prompt",
]
