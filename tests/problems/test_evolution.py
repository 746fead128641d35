"""Evolution through a scripted teacher that gives sensible replies, and senseless ones where a test says so."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.chat import Budget, BudgetExhausted, ChatClient
from rrtf_trl.cli import main
from rrtf_trl.errors import InputError, UserError
from rrtf_trl.feedback import UnitTests
from rrtf_trl.problems import Decontaminator, ProblemFile
from rrtf_trl.problems.evolution import Evolution, Summary, evolve
from rrtf_trl.records import Candidate, CaseTests
from support.scripted_server import Answer, Body, ScriptedServer, said

TOPICS = ["sheep on a farm", "stars above a desert", "coins in a purse", "stamps from abroad", "trains at a station"]


def seeds_file(path: Path, count: int = 4) -> Path:
    rows = [
        {"instruction": f"Count {TOPICS[i % 5]} number {i} of them.", "task_id": f"seed/{i}"} for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def number_in(text: str) -> int:
    return int(re.findall(r"number (\d+)", text)[-1])


def teacher(body: Body, before: int = 0) -> Answer:
    """A good teacher: new tasks can be solved, four of five answers are right, one of its tests is wrong."""
    text = said(body)
    n = number_in(text)
    if "Make a new task" in text:
        more = "but only where x is above it" if "raised" in text else f"raised by {n} for x greater than {n}"
        task = f"Return the count of {TOPICS[n % 5]} {more}, and zero for all others, number {n}"
        return Answer(json.dumps({"task": task + ".", "signature": f"def tally_{n}(x):"}))
    if "name the one Python function" in text:
        return Answer(json.dumps({"task": f"Count {TOPICS[n % 5]} number {n}.", "signature": f"def tally_{n}(x)"}))
    if "Solve this programming task" in text:
        name = re.findall(r"def (\w+)\(", text)[-1]
        right = f"```python\ndef {name}(x):\n    if x > {n}:\n        return x + {n}\n    return 0\n```"
        wrong = f"```python\ndef {name}(x):\n    return x\n```"
        return Answer([wrong, right, right, right, right][: body.get("n", 1)])
    if "tests for this programming task" in text:
        name = re.findall(r"def (\w+)\(", text)[-1]
        lines = [f"assert {name}({x}) == {x + n if x > n else 0}" for x in (n, n + 1, n + 2, n + 9, 0)]
        return Answer("```python\n" + "\n".join([*lines, f"assert {name}(-5) == 99"]) + "\n```")
    raise AssertionError(text)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(teacher) as server:
        yield server


def evolution(server: ScriptedServer, tmp_path: Path, **options: Any) -> Evolution:
    client = ChatClient(
        model="teach", base_url=server.url, cache=tmp_path / "replies.sqlite", **options.pop("client", {})
    )
    defaults = {"methods": ["harder", "constrain"], "workers": 1, "timeout": 1.0, "memory_mb": 256}
    return Evolution(client, **{**defaults, **options})


def evolve_some(server: ScriptedServer, tmp_path: Path, count: int = 4, **options: Any) -> Summary:
    return evolve(
        evolution(server, tmp_path, **options), seeds_file(tmp_path / "s.jsonl", count), tmp_path / "e.jsonl"
    )


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# -- The whole way ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_tasks_become_problems_with_tests_that_were_voted_on_and_measured(
    server: ScriptedServer, tmp_path: Path
) -> None:
    summary = evolve_some(server, tmp_path, generations=2)
    assert (summary.seeds, summary.made, summary.kept) == (4, 8, 8)
    problems = list(ProblemFile(tmp_path / "e.jsonl"))
    assert [p.task_id for p in problems] == [f"seed/{i}/evolved/{g}" for g in (1, 2) for i in range(4)]
    first = problems[1]
    assert first.prompt == (
        f"Return the count of {TOPICS[1]} raised by 1 for x greater than 1, and zero for all others, number 1.\n\n"
        "Write `def tally_1(x)`."
    )
    assert isinstance(first.tests, CaseTests)
    assert [(case["args"], case["expected"]) for case in first.tests.cases] == [
        ([1], 0), ([2], 3), ([3], 4), ([10], 11), ([0], 0)
    ]  # fmt: skip
    assert first.metadata["synthesized"] is True
    assert first.metadata["evolved"] == {"from": "seed/1", "root": "seed/1", "generation": 1, "method": "harder"}
    tests = first.metadata["tests"]
    assert (tests["written"], tests["kept"], tests["by"]) == (6, 5, "at least 4 of 5 answers")
    assert tests["strength"] == tests["killed"] / tests["mutants"] > 0.8
    assert problems[5].metadata["evolved"]["from"] == "seed/1/evolved/1"
    # The teacher's own answer passes what was kept, in the feedback that a run uses.
    fields = ("student", "m", {}, "stop")
    items = [(p, Candidate(p.task_id, p.task_id, "", str(p.reference), *fields)) for p in problems]  # type: ignore[arg-type]
    assert {j.state for j in UnitTests(workers=1).judge(items)} == {"passed"}
    assert rows(tmp_path / "e.eliminated.jsonl") == []
    assert {path.name for path in tmp_path.glob("e.*")} == {"e.jsonl", "e.eliminated.jsonl"}


@pytest.mark.slow
def test_the_same_command_again_asks_nothing_and_gives_the_same(server: ScriptedServer, tmp_path: Path) -> None:
    evolve_some(server, tmp_path, generations=2)
    asked, written = server.asked.total(), (tmp_path / "e.jsonl").read_bytes()
    evolve_some(server, tmp_path, generations=2, batch_size=3)
    assert server.asked.total() == asked
    assert sorted(rows(tmp_path / "e.jsonl"), key=str) == sorted(map(json.loads, written.splitlines()), key=str)


@pytest.mark.slow
def test_a_task_that_is_eliminated_leaves_its_parent_to_try_again(server: ScriptedServer, tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        if "Make a new task" in said(body) and number_in(said(body)) == 2 and body["seed"] < 2000:
            return Answer(json.dumps({"task": "Sorry, I cannot do this for you.", "signature": "def f(x)"}))
        return teacher(body)

    server.script = script
    summary = evolve_some(server, tmp_path, generations=2)
    (row,) = rows(tmp_path / "e.eliminated.jsonl")
    assert row["reason"] == "the teacher gives up"
    assert (row["task_id"], row["generation"], row["task"]) == ("seed/2", 1, "Sorry, I cannot do this for you.")
    assert summary.reasons == {"the teacher gives up": 1}
    last = {p.task_id: p for p in ProblemFile(tmp_path / "e.jsonl")}["seed/2/evolved/2"]
    assert last.metadata["evolved"]["from"] == "seed/2"


@pytest.mark.parametrize(
    ("kind", "reply", "reason"),
    [
        ("Make a new task", "no", "no usable reply in two tries: there is no JSON object in it"),
        ("Make a new task", '{"task": "x", "signature": "f"}', "no usable reply in two tries: signature"),
        (
            "Solve this",
            "```python\ndef tally_0(x):\n    return -1\n```",
            "too few tests: 0 of 5 hold on a majority of 5 answers",
        ),
        ("Solve this", "I do not know.", "too few tests: 0 of 5 hold"),
        ("tests for this", "there are none", "the teacher wrote no test that can be read"),
        ("tests for this", "```\nassert tally_0(0) == 0\n```", "too few tests: 1 of 1 hold"),
        (
            "tests for this",
            "```\nassert tally_0(0) == 0\nassert tally_0(-1) == 0\nassert tally_0(-2) == 0\n```",
            "weak tests: they kill",
        ),
    ],
)
def test_what_cannot_be_used_is_eliminated_with_its_reason(
    server: ScriptedServer, tmp_path: Path, kind: str, reply: str, reason: str
) -> None:
    server.script = lambda body, before: Answer(reply) if kind in str(body["messages"]) else teacher(body)
    summary = evolve_some(server, tmp_path, count=1)
    (row,) = rows(tmp_path / "e.eliminated.jsonl")
    assert row["reason"].startswith(reason)
    assert summary.kept == 0
    assert (tmp_path / "e.jsonl").read_text() == ""


@pytest.mark.slow
def test_answers_that_agree_on_single_tests_but_never_on_all_solve_nothing(
    server: ScriptedServer, tmp_path: Path
) -> None:
    def script(body: Body, before: int) -> Answer:
        if "Solve this" not in said(body):
            return teacher(body)
        # Each answer is wrong for one x of its own: every test has a majority, and no answer passes all.
        programs = [
            f"```python\ndef tally_0(x):\n    if x == {wrong}:\n        return -1\n    return x if x > 0 else 0\n```"
            for wrong in (0, 1, 2, 9, 9)
        ]
        return Answer(programs[: body["n"]])

    server.script = script
    evolve_some(server, tmp_path, count=1)
    (row,) = rows(tmp_path / "e.eliminated.jsonl")
    assert row["reason"] == "not solved: no answer passes all tests that hold on a majority"


def test_near_duplicates_across_families_are_eliminated(server: ScriptedServer, tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        if "Make a new task" in said(body):
            n = number_in(said(body))
            task = f"Return the sum of all the squares of the numbers in a list of numbers that are even, number {n}."
            return Answer(json.dumps({"task": task, "signature": f"def tally_{n}(x)"}))
        return teacher(body)

    server.script = script
    summary = evolve_some(server, tmp_path)
    assert summary.kept == 1
    assert {row["reason"] for row in rows(tmp_path / "e.eliminated.jsonl")} == {"nearly the same as seed/0/evolved/1"}
    assert summary.reasons == {"nearly the same": 3}


@pytest.mark.slow
def test_what_is_in_a_benchmark_is_eliminated(server: ScriptedServer, tmp_path: Path) -> None:
    evolve_some(server, tmp_path, count=2)
    benchmark = tmp_path / "bench.jsonl"
    benchmark.write_text((tmp_path / "e.jsonl").read_text().splitlines()[0] + "\n")
    summary = evolve_some(server, tmp_path, count=2, decontaminator=Decontaminator(against=[str(benchmark)]))
    (row,) = rows(tmp_path / "e.eliminated.jsonl")
    assert row["reason"] == f"in a benchmark: {benchmark} seed/0/evolved/1 by ngram"
    assert (summary.kept, summary.benchmarks) == (1, {str(benchmark): 1})


# -- Tests for tasks as they are ----------------------------------------------------------------------------


@pytest.mark.slow
def test_with_no_generations_tasks_get_tests_and_a_reference_decides_alone(
    server: ScriptedServer, tmp_path: Path
) -> None:
    reference = "def tally_3(x):\n    return 0\n"  # not what the answers say, but the reference's word counts
    problem = {
        "task_id": "p/3",
        "prompt": "Count coins number 3 with tally_3(x).",
        "entry_point": "tally_3",
        "reference": reference,
        "tests": {"kind": "asserts", "asserts": ["assert tally_3(1) == 0"]},
    }
    (tmp_path / "p.jsonl").write_text(json.dumps(problem) + "\n" + json.dumps({"prompt": "Count number 1."}) + "\n")
    summary = evolve(
        evolution(server, tmp_path, generations=0, min_strength=0.0, fewest_cases=2),
        tmp_path / "p.jsonl",
        tmp_path / "e.jsonl",
    )
    known, bare = ProblemFile(tmp_path / "e.jsonl")
    assert (known.task_id, known.prompt, known.reference) == ("p/3", problem["prompt"], reference)
    assert known.metadata["tests"]["by"] == "the reference"
    assert isinstance(known.tests, CaseTests)
    assert [case["expected"] for case in known.tests.cases] == [0, 0]
    assert (bare.task_id, bare.entry_point) == ("p/2", "tally_1")
    assert str(bare.prompt).endswith("Write `def tally_1(x)`.")
    assert "evolved" not in bare.metadata
    assert summary.made == 2


# -- Durable --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_and_started_again_it_asks_for_nothing_twice_and_ends_the_same(
    server: ScriptedServer, tmp_path: Path
) -> None:
    def slowly(body: Body, before: int) -> Answer:
        answer = teacher(body)
        answer.delay = 0.02
        return answer

    server.script = slowly
    seeds_file(tmp_path / "s.jsonl", 12)
    arguments = ["tasks=s.jsonl", "out=e.jsonl", "client.model=teach", "generations=2", "batch_size=4"]
    arguments += ["client.concurrency=4", "decontaminator=null", "workers=1"]
    environment = {**os.environ, "OPENAI_BASE_URL": server.url}
    command = [sys.executable, "-m", "rrtf_trl.cli", "evolve", *arguments]
    for _ in range(3):
        before = server.asked.total()
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
        while process.poll() is None and server.asked.total() < before + 15:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "e.jsonl").exists()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert re.search(r"12 tasks, 24 made of them, \d+ kept, their tests kill", done.stdout)
    assert sum(count - 1 for count in server.answered.values()) <= 3 * 4
    killed = (tmp_path / "e.jsonl").read_bytes()
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    seeds_file(fresh / "s.jsonl", 12)
    subprocess.run(command, cwd=fresh, env=environment, capture_output=True, check=True)
    assert (fresh / "e.jsonl").read_bytes() == killed


@pytest.mark.slow
def test_a_budget_ends_it_cleanly_and_a_larger_one_goes_on(server: ScriptedServer, tmp_path: Path) -> None:
    small = {"client": {"budget": Budget(tokens=3000), "concurrency": 2}, "max_tokens": 100}
    with pytest.raises(BudgetExhausted, match="larger budget"):
        evolve_some(server, tmp_path, count=40, **small)
    assert not (tmp_path / "e.jsonl").exists()
    done = dict(server.answered)
    large = {"client": {"budget": Budget(tokens=300_000), "concurrency": 2}, "max_tokens": 100}
    assert evolve_some(server, tmp_path, count=40, **large).kept == 40
    assert set(server.answered.values()) == {1}
    assert len(server.answered) > len(done) > 5


# -- The command ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no tasks in this file"),
        ('{"prompt": ""}', r"p\.jsonl:1: field prompt: expected text"),
        ('{"instruction": 3}', r"p\.jsonl:1: field prompt"),
        ('{"prompt": "a", "task_id": "x"}\n{"prompt": "b", "task_id": "x"}', "'x' is on line 1 too"),
    ],
)
def test_bad_tasks_are_refused_before_anything_is_asked(
    server: ScriptedServer, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "p.jsonl").write_text(text + "\n")
    with pytest.raises(InputError, match=message):
        evolve(evolution(server, tmp_path), tmp_path / "p.jsonl", tmp_path / "e.jsonl")
    assert server.asked.total() == 0


def test_methods_are_files_that_a_user_adds(server: ScriptedServer, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "method-pirate.jinja").write_text("{% block user %}Make it about pirates.{% endblock %}")
    evolve_some(server, tmp_path, count=1, methods=["pirate"], templates=str(folder))
    assert any("Make a new task of it. Make it about pirates." in said(body) for body in server.bodies)
    with pytest.raises(UserError, match=r"method-priate.jinja: not found; known are .*method-pirate"):
        evolution(server, tmp_path, methods=["priate"], templates=str(folder))


def test_the_command_tells_what_it_needs_and_what_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evolve", "--help"]) == 0
    output = capsys.readouterr().out
    assert "min_strength: 0.5" in output
    assert "concurrency: 16" in output
    for arguments, message in (
        ([], "tasks, out, client.model must be set"),
        (["--out", "x"], "takes KEY=VALUE, not --out x"),
        (["generatons=2"], "did you mean 'generations'"),
    ):
        assert main(["evolve", *arguments]) == 1
        error = capsys.readouterr().err
        assert message in error or "generatons" in error
        assert "Traceback" not in error


def test_without_datasketch_it_says_so_before_anything_is_asked(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "datasketch" else found(name))
    with pytest.raises(UserError, match=r"pip install 'rrtf-trl\[evolve\]'"):
        evolution(server, tmp_path)


@pytest.mark.parametrize(
    "options",
    [{"generations": -1}, {"answers": 0}, {"min_strength": 2.0}, {"near_duplicate": 0.0}, {"methods": []}],
)
def test_impossible_options_are_refused(server: ScriptedServer, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        evolution(server, tmp_path, **options)
