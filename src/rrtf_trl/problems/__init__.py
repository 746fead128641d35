"""Problems: read from files or a hub, or generated."""

from rrtf_trl.errors import InputError
from rrtf_trl.files.rows import read_jsonl, read_rows

from .contests import NoTests
from .decontamination import Decontaminator
from .files import ProblemFile
from .formats import problem_from_row
from .prompts import PromptForm, render_prompt

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
