"""The records that pass between the stages, and their JSON on disk.

Every stage reads and writes these and nothing else::

    problems -> sample -> feedback -> rank -> train -> evaluate -> report
    Problem     Candidate  Judgement  RankedGroup

Records are plain, frozen dataclasses. :func:`to_json` and the ``from_json`` class methods are the only
way to and from disk; ``from_json`` names the field that is wrong, and the reader of a file adds the
file and the line (see :mod:`rrtf_trl.files.rows`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

Message = dict[str, Any]
"""One chat message as in TRL: ``{"role": "user", "content": "..."}``."""

Prompt = str | list[Message]
"""Plain text that the response continues, or chat messages that it answers."""

Source = Literal["student", "teacher", "reference", "human"]
"""Who wrote a candidate: the policy being trained, a stronger model, the problem's own answer, a person."""

State = Literal["compile_error", "runtime_error", "partial", "passed", "timeout", "memory", "refused"]
"""What happened when a candidate met its tests. The paper's four states are ``compile_error <
runtime_error < partial < passed``; ``timeout``, ``memory`` and ``refused`` (a forbidden act) are kinds of
run-time failure that are worth telling apart."""

SOURCES: tuple[str, ...] = get_args(Source)
STATES: tuple[str, ...] = get_args(State)


BASE_TESTS = "base_tests"
"""In a problem's metadata: how many of its tests, from the first on, are the benchmark's own, where others extend
them (EvalPlus)."""

PUBLISHED_PROMPT = "published_prompt"
"""In a problem's metadata: its prompt as it was published, where a model is asked in another form."""

SIGNATURE = "signature"
"""In a problem's metadata: the head of the function or class that is asked for, as a hint."""


class RecordError(ValueError):
    """A record that cannot be read: the message names the field and what was expected there."""


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


# -- Tests: one dataclass a kind ---------------------------------------------------------------------


@dataclass(frozen=True)
class AssertTests:
    """A list of assert statements, as in MBPP.

    Args:
        asserts: Statements such as ``"assert add(1, 2) == 3"``, run in order.
        setup: Code that runs before them, in the tests' own namespace.
    """

    kind: ClassVar[str] = "asserts"
    asserts: list[str]
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
    cases: list[dict[str, Any]]
    atol: float = 0.0


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
    stdio: list[dict[str, str]]
    ignore_trailing_blanks: bool = True
    float_tolerance: float = 0.0


@dataclass(frozen=True)
class PytestTests:
    """pytest files that import the candidate as module ``solution``.

    Args:
        files: File name to text; names are relative and stay inside the folder.
    """

    kind: ClassVar[str] = "pytest"
    files: dict[str, str]


Tests = AssertTests | CheckTests | CaseTests | StdioTests | PytestTests
TEST_KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in get_args(Tests)}


def tests_from_json(row: Any) -> Tests:
    """Build the tests of a problem from their JSON form.

    Raises:
        RecordError: If the kind is unknown or one of its fields is missing or of the wrong type.
    """
    _expect(isinstance(row, dict), "tests", "an object with a 'kind'", row)
    kind = row.get("kind")
    _expect(kind in TEST_KINDS, "tests.kind", f"one of {', '.join(TEST_KINDS)}", kind)
    body = {key: value for key, value in row.items() if key != "kind"}
    tests: Tests = _build(TEST_KINDS[kind], body, "tests.")
    if isinstance(tests, AssertTests):
        _expect_list(tests.asserts, "tests.asserts", str, "strings")
        _expect(isinstance(tests.setup, str), "tests.setup", "a string", tests.setup)
    elif isinstance(tests, CheckTests):
        _expect(isinstance(tests.check, str), "tests.check", "a string", tests.check)
    elif isinstance(tests, CaseTests):
        _expect_list(tests.cases, "tests.cases", dict, "objects")
        for index, case in enumerate(tests.cases):
            where = f"tests.cases[{index}]"
            unknown = sorted(case.keys() - {"args", "kwargs", "expected"})
            _expect(not unknown, where, "only args, kwargs and expected", unknown)
            _expect(isinstance(case.get("args"), list), f"{where}.args", "a list", case.get("args"))
            _expect(isinstance(case.get("kwargs", {}), dict), f"{where}.kwargs", "an object", case.get("kwargs"))
            _expect("expected" in case, f"{where}.expected", "a value", "nothing")
        _expect(isinstance(tests.atol, int | float) and tests.atol >= 0, "tests.atol", "a number >= 0", tests.atol)
    elif isinstance(tests, StdioTests):
        _expect_list(tests.stdio, "tests.stdio", dict, "objects")
        for index, case in enumerate(tests.stdio):
            for name in ("input", "output"):
                _expect(isinstance(case.get(name), str), f"tests.stdio[{index}].{name}", "a string", case.get(name))
        blanks, tolerance = tests.ignore_trailing_blanks, tests.float_tolerance
        _expect(isinstance(blanks, bool), "tests.ignore_trailing_blanks", "true or false", blanks)
        fine = isinstance(tolerance, int | float) and tolerance >= 0
        _expect(fine, "tests.float_tolerance", "a number >= 0", tolerance)
    else:
        _expect(isinstance(tests.files, dict) and bool(tests.files), "tests.files", "an object of files", tests.files)
        for name, text in tests.files.items():
            inside = name and not name.startswith("/") and ".." not in name.split("/")
            _expect(bool(inside), "tests.files", "relative names that stay inside the folder", name)
            _expect(isinstance(text, str), f"tests.files[{name!r}]", "a string", text)
    return tests


# -- Problem, Candidate, Judgement, RankedGroup --------------------------------------------------------


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

    task_id: str
    prompt: Prompt
    tests: Tests
    entry_point: str | None = None
    reference: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    preamble: str = ""

    @classmethod
    def from_json(cls, row: Any) -> Problem:
        """Build a problem from its JSON form; raises :class:`RecordError` naming the field."""
        _expect(isinstance(row, dict), "row", "an object", row)
        body = dict(row)
        if "tests" in body:
            body["tests"] = tests_from_json(body["tests"])
        problem: Problem = _build(cls, body)
        _expect(isinstance(problem.task_id, str) and bool(problem.task_id), "task_id", "a string", problem.task_id)
        check_prompt(problem.prompt)
        for name in ("entry_point", "reference"):
            value = getattr(problem, name)
            _expect(value is None or isinstance(value, str), name, "a string or null", value)
        _expect(isinstance(problem.metadata, dict), "metadata", "an object", problem.metadata)
        _expect(isinstance(problem.files, dict), "files", "an object of files", problem.files)
        for name, text in problem.files.items():
            fine = name.endswith(".py") and all(part.isidentifier() for part in name.removesuffix(".py").split("/"))
            _expect(fine, "files", "names of modules, as 'area.py' or 'geometry/area.py'", name)
            _expect(isinstance(text, str), f"files[{name!r}]", "a string", text)
        _expect(isinstance(problem.preamble, str), "preamble", "a string", problem.preamble)
        needs_entry = isinstance(problem.tests, CheckTests | CaseTests)
        _expect(not needs_entry or bool(problem.entry_point), "entry_point", "a function's name for these tests", None)
        return problem

    @property
    def content_key(self) -> str:
        """A hash of all that decides a verdict or a sample; ``metadata`` is left out."""
        around = [self.files, self.preamble] if self.files or self.preamble else []
        return content_hash(self.task_id, self.prompt, to_json(self.tests), self.entry_point, *around)


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
        _expect(isinstance(row, dict), "row", "an object", row)
        candidate: Candidate = _build(cls, row)
        for name in ("candidate_id", "task_id", "response", "code", "model"):
            _expect(isinstance(getattr(candidate, name), str), name, "a string", getattr(candidate, name))
        _expect(candidate.source in SOURCES, "source", f"one of {', '.join(SOURCES)}", candidate.source)
        _expect(candidate.finish_reason in ("stop", "length"), "finish_reason", "stop or length", row["finish_reason"])
        _expect(isinstance(candidate.sampling, dict), "sampling", "an object", candidate.sampling)
        return candidate


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


# -- Checks ----------------------------------------------------------------------------------------------


def check_prompt(prompt: Any) -> None:
    """Raise :class:`RecordError` unless ``prompt`` is non-empty text or a non-empty list of chat messages."""
    if isinstance(prompt, str):
        _expect(bool(prompt), "prompt", "text that is not empty", prompt)
        return
    _expect_list(prompt, "prompt", dict, "chat messages, or a string")
    for index, message in enumerate(prompt):
        for name in ("role", "content"):
            _expect(isinstance(message.get(name), str), f"prompt[{index}].{name}", "a string", message.get(name))


def _build(cls: type[Any], row: dict[str, Any], prefix: str = "") -> Any:
    known = {item.name: item for item in dataclasses.fields(cls)}
    unknown = sorted(row.keys() - known.keys())
    _expect(not unknown, prefix + (unknown or [""])[0], f"no such field; known are {', '.join(known)}", unknown)
    for name, item in known.items():
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and name not in row:
            raise RecordError(f"field {prefix}{name}: missing")
    return cls(**row)


def _expect_list(value: Any, name: str, kind: type, what: str) -> None:
    fine = isinstance(value, list) and bool(value) and all(isinstance(item, kind) for item in value)
    _expect(fine, name, f"a non-empty list of {what}", value)


def _expect(fine: bool, name: str, expected: str, got: Any) -> None:
    if not fine:
        shown = json.dumps(got, default=repr)
        raise RecordError(f"field {name}: expected {expected}, got {shown[:80]}")
