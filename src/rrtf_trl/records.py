"""The records that pass between the stages, and their JSON on disk.

Every stage reads and writes only these::

    problems -> sample -> feedback -> rank -> train -> evaluate -> report
    Problem     Candidate  Judgement  RankedGroup

Records are plain, frozen dataclasses. Only :func:`to_json` and the ``from_json`` class methods write and read their
JSON; an error of ``from_json`` names the field, and the reader of a file adds the file and the line. The type of a
field states what is checked (:mod:`rrtf_trl.forms`).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, get_args

from rrtf_trl.forms import Must, NonEmpty, Open, check, field_error
from rrtf_trl.forms import RecordError as RecordError

Source = Literal["student", "teacher", "reference", "human"]
"""Who wrote a candidate: the policy being trained, a stronger model, the problem's author, a person."""

State = Literal["compile_error", "runtime_error", "partial", "passed", "timeout", "memory", "refused"]
"""The result of running a candidate's tests. The paper's four states are ``compile_error < runtime_error < partial <
passed``; ``timeout``, ``memory`` and ``refused`` (a forbidden act) are further kinds of run-time failure."""

SOURCES: tuple[str, ...] = get_args(Source)
STATES: tuple[str, ...] = get_args(State)

PROBLEM_REASONS = {
    "no_order": "all candidates score the same",
    "too_few": "fewer than two different whole candidates",
    "teacher_below": "the teacher's best candidate is below the student's",
}
"""Why a whole problem is dropped: the reason in a file, and its text."""

CANDIDATE_REASONS = {"repeated": "the same as another candidate", "truncated": "cut off at max_new_tokens, or empty"}
"""Why a single candidate is dropped: the reason in a file, and its text."""

BASE_TESTS = "base_tests"
"""Key of a problem's metadata: how many of its first tests are the benchmark's own, if it has others (EvalPlus)."""

PUBLISHED_PROMPT = "published_prompt"
"""Key of a problem's metadata: its prompt as published, if a model gets it in another form."""

SIGNATURE = "signature"
"""Key of a problem's metadata: the head of the requested function or class, as a hint."""


def content_hash(*parts: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of ``parts`` as canonical JSON.

    Args:
        parts: JSON values; the order of keys in a dict does not matter.
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def to_json(record: Any) -> dict[str, Any]:
    """Return a record as the dict that is written to disk; tests write their kind under ``kind``."""
    row: dict[str, Any] = {"kind": record.kind} if hasattr(record, "kind") else {}
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
"""Plain text that the response continues, or chat messages that it replies to."""

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
        setup: Code that runs before them, in the tests' namespace.
    """

    kind: ClassVar[str] = "asserts"
    asserts: Annotated[list[str], Must("a non-empty list of strings", min_length=1)]
    setup: str = ""


@dataclass(frozen=True)
class CheckTests:
    """Code that defines ``check(candidate)``, as in HumanEval.

    Args:
        check: The code; ``check`` is called with the entry point and makes assertions on it.
    """

    kind: ClassVar[str] = "check"
    check: str


@dataclass(frozen=True)
class CaseTests:
    """Calls of the entry point with expected results; compared outside the candidate's process.

    Args:
        cases: Dicts with ``args`` (list), optionally ``kwargs`` (dict), and ``expected``. Values are plain JSON.
        atol: Absolute tolerance for floats; 0 requires equality.
    """

    kind: ClassVar[str] = "cases"
    cases: Annotated[list[Annotated[dict[str, Any], _Case]], Must("a non-empty list of objects", min_length=1)]
    atol: _NotNegative = 0.0


@dataclass(frozen=True)
class StdioTests:
    """Whole-program tests, as in APPS and contests: ``input`` on stdin, ``output`` expected on stdout.

    The output is compared as bytes, line by line; the number of lines must be equal.

    Args:
        stdio: Dicts with ``input`` and ``output``, both strings.
        ignore_trailing_blanks: Ignore white space at line ends, and empty lines at the end.
        float_tolerance: Absolute or relative tolerance for numbers; 0 compares their text.
    """

    kind: ClassVar[str] = "stdio"
    stdio: Annotated[list[Annotated[dict[str, str], _Stdio]], Must("a non-empty list of objects", min_length=1)]
    ignore_trailing_blanks: bool = True
    float_tolerance: _NotNegative = 0.0


@dataclass(frozen=True)
class PytestTests:
    """pytest files that import the candidate as module ``solution``.

    Args:
        files: File name to text; names are relative and inside the folder.
    """

    kind: ClassVar[str] = "pytest"
    files: Annotated[dict[_Inside, str], Must("an object of files", min_length=1)]


Tests = AssertTests | CheckTests | CaseTests | StdioTests | PytestTests
TEST_KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in get_args(Tests)}


def tests_from_json(row: Any) -> Tests:
    """Build the tests of a problem from their JSON form.

    Raises:
        RecordError: If the kind is unknown, or a field is missing or of the wrong type.
    """
    check(Tests, row, "tests")
    return build_tests(row)


def build_tests(row: dict[str, Any]) -> Tests:
    """Build tests from their JSON form, which was checked before."""
    tests: Tests = TEST_KINDS[row["kind"]](**{name: value for name, value in row.items() if name != "kind"})
    return tests


@dataclass(frozen=True)
class Problem:
    """One programming task with its tests.

    Args:
        task_id: Unique within a data set, for instance ``HumanEval/0``.
        prompt: Text that a response continues, or chat messages that it replies to.
        tests: What a candidate must pass.
        entry_point: The function that the tests call, or a method as ``Solution.two_sum``; ``None`` for whole
            programs.
        reference: A whole program that is known to be right, or ``None``.
        metadata: Anything else worth keeping, for instance the composition of an exercise.
        files: Modules that the program may import, file name to text (``geometry/area.py``).
        preamble: Code that is run before the program, for instance the imports that a contest site provides.
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
        """Build a problem from its JSON form; raise :class:`RecordError`, which names the field, if it is wrong."""
        check(cls, row)
        problem = cls(**{**row, "tests": build_tests(row["tests"])})
        if isinstance(problem.tests, CheckTests | CaseTests) and not problem.entry_point:
            raise field_error("entry_point", "a function's name for these tests", problem.entry_point)
        return problem

    @functools.cached_property
    def content_key(self) -> str:
        """A hash of all that decides a candidate or a judgement; ``metadata`` and ``reference`` are left out."""
        context = [self.files, self.preamble] if self.files or self.preamble else []
        return content_hash(self.task_id, self.prompt, to_json(self.tests), self.entry_point, *context)


def code_after_prompt(prompt: Prompt, code: str) -> str:
    """Return the part of ``code`` after a text prompt; all of it if it does not begin with the prompt."""
    return code.removeprefix(prompt) if isinstance(prompt, str) else code


def prompt_text(prompt: Prompt) -> str:
    """Return a prompt as one text; of several messages, each begins with its role."""
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1:
        return str(prompt[0]["content"])
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in prompt)


def check_prompt(prompt: Any) -> None:
    """Raise :class:`RecordError` unless ``prompt`` is non-empty text or a non-empty list of chat messages."""
    check(Prompt, prompt, "prompt", utf8=False)


@dataclass(frozen=True)
class Candidate:
    """One response to one problem, and its origin.

    Args:
        candidate_id: Content hash of the other fields, but for the tokens; build with :meth:`create`.
        task_id: The problem.
        response: The text of the response, unchanged.
        code: The extracted program; it includes the prompt if the response continues it.
        source: Who wrote it.
        model: The model's name or path, or ``reference``.
        sampling: ``temperature``, ``top_p``, ``seed``, ``max_new_tokens`` and ``index`` (the number of the sample).
        finish_reason: ``stop`` (it ended by itself, or its program is whole) or ``length`` (it was cut off).
        token_ids: The ids of the response's tokens, without the one that ended it, where the sampler has them.
        logprobs: The log-probability of each of these tokens as it was drawn, at the sampler's temperature and top_p,
            where the sampler records them; with one more for the token that ended the response.
    """

    candidate_id: str
    task_id: str
    response: str
    code: str
    source: Source
    model: str
    sampling: dict[str, Any]
    finish_reason: Literal["stop", "length"]
    token_ids: list[int] | None = None
    logprobs: list[float] | None = None

    @classmethod
    def create(
        cls, *, token_ids: list[int] | None = None, logprobs: list[float] | None = None, **fields: Any
    ) -> Candidate:
        """Build a candidate whose ``candidate_id`` is the hash of its content."""
        return cls(candidate_id=content_hash(fields), token_ids=token_ids, logprobs=logprobs, **fields)

    @classmethod
    def from_json(cls, row: Any) -> Candidate:
        """Build a candidate from its JSON form; raise :class:`RecordError`, which names the field, if it is wrong."""
        check(cls, row)
        return cls(**row)


@dataclass(frozen=True)
class Judgement:
    """One feedback source's judgement of one candidate.

    Args:
        candidate_id: The candidate.
        feedback: The name of the source, for instance ``unit_tests``.
        state: The result of tests; ``None`` for sources that only score.
        score: Larger is better. For tests the fraction of tests passed, in [0, 1]. ``None`` if the source
            abstained; ``detail["abstained"]`` is the reason.
        detail: For instance the test that failed and its message, the teacher's text, the annotator.
    """

    candidate_id: str
    feedback: str
    state: State | None
    score: float | None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """A candidate with a source's judgement and the results of its unit tests.

    Args:
        candidate: The candidate.
        judgement: Of the source that is summarized.
        state: Of the unit tests, if there are any.
        fraction_passed: Of the unit tests.
    """

    candidate: Candidate
    judgement: Judgement
    state: State | None = None
    fraction_passed: float | None = None


@dataclass(frozen=True)
class RankedGroup:
    """A prompt with scored responses: one row of the trainer's data set.

    Args:
        prompt: As in :class:`Problem`.
        responses: The texts, at least two.
        scores: One finite number for each response, larger is better.
        sources: Who wrote each response, or ``None``.
        task_id: The problem, for readers of the file.
        candidate_ids: The candidate of each response, for readers of the file.
        token_ids: The ids of each response's tokens, where it was sampled and is trained on unchanged.
        logprobs: The log-probabilities with which these were drawn, see :class:`Candidate`, where they were recorded.
    """

    prompt: Prompt
    responses: list[str]
    scores: list[float]
    sources: list[str] | None = None
    task_id: str | None = None
    candidate_ids: list[str] | None = None
    token_ids: list[list[int] | None] | None = None
    logprobs: list[list[float] | None] | None = None


@dataclass(frozen=True)
class Dropped:
    """A problem, or candidates of it, that are not trained on.

    Args:
        task_id: The problem.
        reason: A key of ``PROBLEM_REASONS``, or of ``CANDIDATE_REASONS`` for single candidates.
        candidate_ids: The candidates concerned.
    """

    task_id: str
    reason: str
    candidate_ids: list[str]
