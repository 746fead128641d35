"""The records that pass between the stages, and their JSON on disk.

Every stage reads and writes these and nothing else::

    problems -> sample -> feedback -> rank -> train -> evaluate -> report
    Problem     Candidate  Judgement  RankedGroup

Records are plain, frozen dataclasses. :func:`to_json` and the ``from_json`` class methods are the only
way to and from disk; ``from_json`` names the field that is wrong, and the reader of a file adds the
file and the line.
"""

from .answer import (
    ANSWER_REASONS,
    PROBLEM_REASONS,
    SOURCES,
    STATES,
    Candidate,
    Dropped,
    Judgement,
    RankedGroup,
    Source,
    State,
)
from .content import content_hash, to_json
from .forms import Must, NonEmpty, Open, RecordError, check, wrong
from .problem import (
    BASE_TESTS,
    PUBLISHED_PROMPT,
    SIGNATURE,
    TEST_KINDS,
    AssertTests,
    CaseTests,
    CheckTests,
    Message,
    Problem,
    Prompt,
    PytestTests,
    StdioTests,
    Tests,
    build_tests,
    check_prompt,
    tests_from_json,
)

__all__ = [
    "ANSWER_REASONS",
    "BASE_TESTS",
    "PROBLEM_REASONS",
    "PUBLISHED_PROMPT",
    "SIGNATURE",
    "SOURCES",
    "STATES",
    "TEST_KINDS",
    "AssertTests",
    "Candidate",
    "CaseTests",
    "CheckTests",
    "Dropped",
    "Judgement",
    "Message",
    "Must",
    "NonEmpty",
    "Open",
    "Problem",
    "Prompt",
    "PytestTests",
    "RankedGroup",
    "RecordError",
    "Source",
    "State",
    "StdioTests",
    "Tests",
    "build_tests",
    "check",
    "check_prompt",
    "content_hash",
    "tests_from_json",
    "to_json",
    "wrong",
]
