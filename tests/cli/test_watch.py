"""`rrtf watch` on runs that are at work, done, failed and killed, in a terminal and without one."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from rrtf_trl.cli import main
from rrtf_trl.cli.watch import frame, read
from rrtf_trl.monitoring.progress import meter
from rrtf_trl.monitoring.status_file import FILE, published
from rrtf_trl.records import Candidate
from rrtf_trl.storage.run_folder import RunFolder

HOSTILE = "def f():\n\x1b]0;owned\x07\x1b[2J\treturn 1\u202e\n"
AT_WORK = """
import sys, time
from rich.console import Console
from rrtf_trl.monitoring.status_file import published
from rrtf_trl.monitoring.progress import meter
from rrtf_trl.storage.run_folder import RunFolder
with published(RunFolder(sys.argv[1]), ["sample", "train"]) as told:
    told.stage("sample")
    with meter(Console(quiet=True), "sample policy", 100, "answers") as counter:
        for _ in range(int(sys.argv[2])):
            counter.advance()
            time.sleep(0.05)
"""


def candidate(code: str) -> Candidate:
    return Candidate("c0", "p/1", code, code, "student", "policy", {}, "stop")


def shown(folder: Path, width: int = 120) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(frame(read(RunFolder(folder))))
    return console.export_text()


def write_now(folder: Path) -> None:
    """Wait for the next second's ``live.json``."""
    first = (folder / FILE).stat().st_mtime_ns
    deadline = time.monotonic() + 10
    while (folder / FILE).stat().st_mtime_ns == first and time.monotonic() < deadline:
        time.sleep(0.05)


def at_work(folder: Path, steps: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", AT_WORK, str(folder), str(steps)])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / FILE).is_file() and (json.loads((folder / FILE).read_text())["work"] or {}).get("done", 0) > 5:
            return process
        time.sleep(0.05)
    raise AssertionError("it did not start")


@pytest.mark.slow
def test_a_run_at_work(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.note("problems", seconds=1.5)
    with published(folder, ["problems", "sample", "train", "report"]) as told:
        told.stage("sample")
        with meter(Console(quiet=True), "sample policy", 100, "answers") as counter:
            counter.advance(20, cached=True)
            counter.advance(30)
            told.sample(candidate(HOSTILE), "partial")
            for step in range(1, 4):
                told.log(step, 9, {"rank_loss": 1 / step, "epoch": 1.0})
            write_now(tmp_path)
            text = shown(tmp_path)
    assert "running for" in text
    for line in ("✓  problems", "1.5 s", "▸  sample", "sample policy", "50/100", "answers/s", "left", "   report"):
        assert line in text, line
    assert "step 3 of 9" in text
    assert "rank loss  █▃▁  0.3333" in text
    assert "p/1  student  partial" in text
    assert "memory" in text
    assert "GiB free" in text


@pytest.mark.slow
def test_an_answer_cannot_steer_the_terminal(tmp_path: Path) -> None:
    with published(RunFolder(tmp_path)) as told:
        told.sample(candidate(HOSTILE))
        write_now(tmp_path)
        text = shown(tmp_path)
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "␛]0;owned␇␛[2J" in text


@pytest.mark.parametrize(
    ("error", "told", "status"),
    [
        (None, "done in", 0),
        (RuntimeError("no room [red]left[/]"), "failed after", 1),
        (KeyboardInterrupt(), "was stopped after", 1),
    ],
)
def test_how_it_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: BaseException | None, told: str, status: int
) -> None:
    try:
        with published(RunFolder(tmp_path), ["sample"]) as run:
            run.stage("sample")
            if error:
                raise error
    except (RuntimeError, KeyboardInterrupt):
        pass
    assert main(["watch", str(tmp_path)]) == status
    printed = " ".join(capsys.readouterr().out.split())
    assert told in printed
    assert ("RuntimeError: no room [red]left[/]" in printed) == isinstance(error, RuntimeError)
    assert main(["watch", str(tmp_path), "--once"]) == 0


@pytest.mark.slow
def test_a_run_that_is_killed_is_told_as_killed(tmp_path: Path) -> None:
    process = at_work(tmp_path / "runs" / "one", 100_000)
    watching = subprocess.Popen(
        [sys.executable, "-m", "rrtf_trl.cli", "watch"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    time.sleep(1.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    output, _ = watching.communicate(timeout=60)
    assert watching.returncode == 1
    assert "was killed" in output
    assert "run the same command to continue" in " ".join(output.split())


@pytest.mark.slow
def test_a_terminal_shows_it_live_and_ends_with_the_run(tmp_path: Path) -> None:
    process = at_work(tmp_path, 60)
    own, other = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "rrtf_trl.cli", "watch", str(tmp_path)],
        stdout=other,
        stderr=other,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"},
    )
    os.close(other)
    seen = b""
    try:
        while chunk := os.read(own, 65536):
            seen += chunk
    except OSError:  # the other end was closed: the program is over
        pass
    assert watching.wait(timeout=30) == 0
    assert process.wait(timeout=30) == 0
    text = seen.decode("utf-8", "replace")
    assert text.count("sample policy") >= 2, "more than one frame"
    assert "done in" in text


def test_another_machine_that_falls_silent(tmp_path: Path) -> None:
    with published(RunFolder(tmp_path)):
        pass
    facts = json.loads((tmp_path / FILE).read_text())
    facts.update(host="elsewhere", ended=None, updated=time.time() - 100)
    (tmp_path / FILE).write_text(json.dumps(facts))
    assert read(RunFolder(tmp_path)).state == "silent"
    assert "no update from elsewhere" in shown(tmp_path)
    assert not read(RunFolder(tmp_path)).over, "it may come back"


def test_a_machine_that_is_silent_for_long_is_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with published(RunFolder(tmp_path)):
        pass
    facts = json.loads((tmp_path / FILE).read_text())
    facts.update(host="elsewhere", ended=None, updated=time.time() - 3600)
    (tmp_path / FILE).write_text(json.dumps(facts))
    assert main(["watch", str(tmp_path)]) == 1
    assert "no update from elsewhere for 1 h" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_what_the_machine_does_not_tell_hides_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error of CUDA every further call of it raises, that for the memory in use too."""
    own = psutil.Process.memory_info

    def memory_info(process: psutil.Process) -> object:
        raise psutil.AccessDenied(process.pid)

    def work() -> None:
        with published(RunFolder(tmp_path)):
            monkeypatch.setattr(psutil.Process, "memory_info", memory_info)
            write_now(tmp_path)
            assert "memory" not in shown(tmp_path)
            raise RuntimeError("the real one")

    with pytest.raises(RuntimeError, match="the real one"):
        work()
    monkeypatch.setattr(psutil.Process, "memory_info", own)
    facts = json.loads((tmp_path / FILE).read_text())
    assert facts["ended"] == "failed"
    assert facts["error"] == "RuntimeError: the real one"


@pytest.mark.parametrize("arguments", [["watch"], ["watch", "nowhere"], ["watch", "."]])
def test_what_is_no_run_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("rrtf: ")
    assert error.count("\n") == 1


def test_watching_loads_nothing_heavy() -> None:
    code = "import sys, rrtf_trl.cli.watch; print({'torch', 'matplotlib', 'hydra', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
