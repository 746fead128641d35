"""The records that pass between the stages, and their JSON on disk.

Every stage reads and writes these and nothing else::

    problems -> sample -> feedback -> rank -> train -> evaluate -> report
    Problem     Candidate  Judgement  RankedGroup

Records are plain, frozen dataclasses. :func:`to_json` and the ``from_json`` class methods are the only
way to and from disk; ``from_json`` names the field that is wrong, and the reader of a file adds the
file and the line. What a field must be stands with its type (:mod:`rrtf_trl.forms`).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, get_args

from rrtf_trl.forms import Must, NonEmpty, Open, check, wrong
from rrtf_trl.forms import RecordError as RecordError

Source = Literal["student", "teacher", "reference", "human"]
"""Who wrote a candidate: the policy being trained, a stronger model, the problem's own answer, a person."""

State = Literal["compile_error", "runtime_error", "partial", "passed", "timeout", "memory", "refused"]
"""What happened when a candidate met its tests. The paper's four states are ``compile_error <
runtime_error < partial < passed``; ``timeout``, ``memory`` and ``refused`` (a forbidden act) are kinds of
run-time failure that are worth telling apart."""

SOURCES: tuple[str, ...] = get_args(Source)
STATES: tuple[str, ...] = get_args(State)

PROBLEM_REASONS = {
    "no_order": "all answers score the same",
    "too_few": "fewer than two different whole answers",
    "teacher_below": "the teacher's best answer is below the student's",
}
"""Why a whole problem is dropped, each in words."""

ANSWER_REASONS = {"repeated": "the same as another answer", "truncated": "cut off at max_new_tokens, or empty"}
"""Why a single answer is dropped, each in words."""

BASE_TESTS = "base_tests"
"""In a problem's metadata: how many of its tests, from the first on, are the benchmark's own, where others extend
them (EvalPlus)."""

PUBLISHED_PROMPT = "published_prompt"
"""In a problem's metadata: its prompt as it was published, where a model is asked in another form."""

SIGNATURE = "signature"
"""In a problem's metadata: the head of the function or class that is asked for, as a hint."""


def content_hash(*parts: Any) -> str:
    """Return 16 hex digits that depend on the content of ``parts`` alone (SHA-256 over canonical JSON).

    Args:
        parts: Anything JSON can hold. Order matters, the order of keys in a dict does not.
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def to_json(record: Any) -> dict[str, Any]:
    """Return a record as the dict that is written to disk; a test kind writes its name under ``kind``."""
    row: dict[str, Any] = {}
    kind = getattr(record, "kind", None)
    if kind is not None:
        row["kind"] = kind
    for item in dataclasses.fields(record):
        value = getattr(record, item.name)
        row[item.name] = to_json(value) if dataclasses.is_dataclass(value) else value
    return row


@dataclass(frozen=True)
class _Message(Open):
    role: str
    content: str


@dataclass(frozen=True)
class _Case:
    args: list[Any]
    expected: Any
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Stdio(Open):
    input: str
    output: str


Message = Annotated[dict[str, Any], _Message]
"""One chat message as in TRL: ``{"role": "user", "content": "..."}``."""

Prompt = (
    Annotated[str, Must("text that is not empty", min_length=1)]
    | Annotated[list[Message], Must("a non-empty list of chat messages", min_length=1)]
)
"""Plain text that the response continues, or chat messages that it answers."""

_NotNegative = Annotated[float, Must("a number >= 0", ge=0)]
_Inside = Annotated[
    str,
    Must("relative names that stay inside the folder", pattern=r"(?s)\A(?!/)(?!(.*/)?\.\.(/|\Z))."),
]
_Module = Annotated[
    str,
    Must("names of modules, as 'area.py' or 'geometry/area.py'", pattern=r"\A([^\W\d]\w*/)*[^\W\d]\w*\.py\Z"),
]


@dataclass(frozen=True)
class AssertTests:
    """A list of assert statements, as in MBPP.

    Args:
        asserts: Statements such as ``"assert add(1, 2) == 3"``, run in order.
        setup: Code that runs before them, in the tests' own namespace.
    """

    kind: ClassVar[str] = "asserts"
    asserts: Annotated[list[str], Must("a non-empty list of strings", min_length=1)]
    setup: str = ""


@dataclass(frozen=True)
class CheckTests:
    """Code that defines ``check(candidate)``, as in HumanEval.

    Args:
        check: The code; ``check`` is called with the entry point and asserts what it wants.
    """

    kind: ClassVar[str] = "check"
    check: str


@dataclass(frozen=True)
class CaseTests:
    """Calls of the entry point with expected results; compared outside the candidate's process.

    Args:
        cases: Dicts with ``args`` (list), optionally ``kwargs`` (dict), and ``expected``. Values are plain
            JSON data.
        atol: Absolute tolerance for floats; 0 asks for equality.
    """

    kind: ClassVar[str] = "cases"
    cases: Annotated[list[Annotated[dict[str, Any], _Case]], Must("a non-empty list of objects", min_length=1)]
    atol: _NotNegative = 0.0


@dataclass(frozen=True)
class StdioTests:
    """Whole-program tests, as in APPS and contests: ``input`` on stdin, ``output`` expected on stdout.

    The output is compared as bytes, line by line, and the number of lines must be the same.

    Args:
        stdio: Dicts with ``input`` and ``output``, both strings.
        ignore_trailing_blanks: Whether white space at line ends, and empty lines at the end, make no difference.
        float_tolerance: How far numbers may be apart, absolutely or relatively; 0 compares their text.
    """

    kind: ClassVar[str] = "stdio"
    stdio: Annotated[list[Annotated[dict[str, str], _Stdio]], Must("a non-empty list of objects", min_length=1)]
    ignore_trailing_blanks: bool = True
    float_tolerance: _NotNegative = 0.0


@dataclass(frozen=True)
class PytestTests:
    """pytest files that import the candidate as module ``solution``.

    Args:
        files: File name to text; names are relative and stay inside the folder.
    """

    kind: ClassVar[str] = "pytest"
    files: Annotated[dict[_Inside, str], Must("an object of files", min_length=1)]


Tests = AssertTests | CheckTests | CaseTests | StdioTests | PytestTests
TEST_KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in get_args(Tests)}


def tests_from_json(row: Any) -> Tests:
    """Build the tests of a problem from their JSON form.

    Raises:
        RecordError: If the kind is unknown or one of its fields is missing or of the wrong type.
    """
    check(Tests, row, "tests")
    return build_tests(row)


def build_tests(row: dict[str, Any]) -> Tests:
    """Build tests from their JSON form, which has been checked."""
    tests: Tests = TEST_KINDS[row["kind"]](**{name: value for name, value in row.items() if name != "kind"})
    return tests


@dataclass(frozen=True)
class Problem:
    """One task: what to write and how to tell whether it is right.

    Args:
        task_id: Unique within a data set, for instance ``HumanEval/0``.
        prompt: Text that a response continues, or chat messages that it answers.
        tests: How a candidate is judged.
        entry_point: The function that the tests call, or a method as ``Solution.two_sum``; ``None`` for whole
            programs.
        reference: A known good answer as a whole program, or ``None``.
        metadata: Anything else worth keeping, for instance the composition of an exercise.
        files: Modules that the program may import, file name to text (``geometry/area.py``).
        preamble: Code that stands before the program when it is run, for instance the imports that a contest
            site makes for its users.
    """

    task_id: NonEmpty
    prompt: Prompt
    tests: Tests
    entry_point: str | None = None
    reference: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    files: dict[_Module, str] = field(default_factory=dict)
    preamble: str = ""

    @classmethod
    def from_json(cls, row: Any) -> Problem:
        """Build a problem from its JSON form; raises :class:`RecordError` naming the field."""
        check(cls, row)
        problem = cls(**{**row, "tests": build_tests(row["tests"])})
        if isinstance(problem.tests, CheckTests | CaseTests) and not problem.entry_point:
            raise wrong("entry_point", "a function's name for these tests", problem.entry_point)
        return problem

    @functools.cached_property
    def content_key(self) -> str:
        """A hash of all that decides a verdict or a sample; ``metadata`` is left out."""
        around = [self.files, self.preamble] if self.files or self.preamble else []
        return content_hash(self.task_id, self.prompt, to_json(self.tests), self.entry_point, *around)


def check_prompt(prompt: Any) -> None:
    """Raise :class:`RecordError` unless ``prompt`` is non-empty text or a non-empty list of chat messages."""
    check(Prompt, prompt, "prompt", utf8=False)


@dataclass(frozen=True)
class Candidate:
    """One response to one problem, with where it came from.

    Args:
        candidate_id: Content hash over everything else here; build with :meth:`create`.
        task_id: The problem it answers.
        response: The text as it came, unchanged.
        code: The program extracted from it, complete with the prompt's part where the response continues it.
        source: Who wrote it.
        model: The model's name or path, or ``reference``.
        sampling: ``temperature``, ``top_p``, ``seed``, ``max_new_tokens`` and ``index`` (the draw's number).
        finish_reason: ``stop`` (it ended by itself) or ``length`` (it was cut off).
    """

    candidate_id: str
    task_id: str
    response: str
    code: str
    source: Source
    model: str
    sampling: dict[str, Any]
    finish_reason: Literal["stop", "length"]

    @classmethod
    def create(cls, **fields: Any) -> Candidate:
        """Build a candidate and give it the hash of its content as ``candidate_id``."""
        return cls(candidate_id=content_hash(fields), **fields)

    @classmethod
    def from_json(cls, row: Any) -> Candidate:
        """Build a candidate from its JSON form; raises :class:`RecordError` naming the field."""
        check(cls, row)
        return cls(**row)


@dataclass(frozen=True)
class Judgement:
    """What one feedback source says of one candidate.

    Args:
        candidate_id: The candidate.
        feedback: The name of the source, for instance ``unit_tests``.
        state: For tests, what happened; ``None`` for sources that only score.
        score: Larger is better. For tests the fraction of tests passed, in [0, 1]. ``None`` where the source
            abstained; ``detail["abstained"]`` says why.
        detail: Which test failed with what message, the judge's words, the annotator.
    """

    candidate_id: str
    feedback: str
    state: State | None
    score: float | None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """A candidate with a source's judgement, and with what its tests said.

    Args:
        candidate: The candidate.
        judgement: Of the source that is summarized.
        state: By the unit tests, where there are any.
        share_passed: Of the unit tests.
    """

    candidate: Candidate
    judgement: Judgement
    state: State | None = None
    share_passed: float | None = None


@dataclass(frozen=True)
class RankedGroup:
    """A prompt with scored responses: one row of the trainer's data set.

    Args:
        prompt: As in :class:`Problem`.
        responses: The texts, at least two.
        scores: One finite number a response, larger is better.
        sources: Who wrote each response, or ``None`` where it does not matter.
        task_id: The problem, for the reader of the file.
        candidate_ids: The candidate behind each response, for the reader of the file.
    """

    prompt: Prompt
    responses: list[str]
    scores: list[float]
    sources: list[str] | None = None
    task_id: str | None = None
    candidate_ids: list[str] | None = None


@dataclass(frozen=True)
class Dropped:
    """Something that does not go into training, and why.

    Args:
        task_id: The problem.
        reason: A key of ``PROBLEM_REASONS``, or of ``ANSWER_REASONS`` for single candidates.
        candidate_ids: The candidates concerned.
    """

    task_id: str
    reason: str
    candidate_ids: list[str]
