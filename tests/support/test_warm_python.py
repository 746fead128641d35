"""The Python that other tests start in place of the real one does what the real one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.warm_python import python

pytestmark = pytest.mark.slow  # it imports torch twice

PRINT = "import os, sys; print(sys.argv, os.getcwd(), os.environ.get('TRIED'), __name__, input())"
LATE = """
import sys, threading, time
threading.Thread(target=lambda: [time.sleep(0.2), sys.stderr.write("late")]).start()
"""
both = pytest.mark.parametrize("executable", [sys.executable, "warm"])


def run(executable: str, *arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [python() if executable == "warm" else executable, *arguments]
    whole = {**os.environ, **environment}
    return subprocess.run(command, cwd=folder, env=whole, input="asked\n", capture_output=True, text=True, timeout=60)


@both
def test_arguments_folder_environment_and_streams_are_the_callers(executable: str, tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    for folder in (tmp_path, tmp_path / "packages"):
        (folder / f"{folder.name}_tried.py".replace("-", "_")).write_text(PRINT)
    rest = f"{tmp_path} yes __main__ asked\n"
    said = run(executable, "-c", PRINT, "a b", "--c", folder=tmp_path, TRIED="yes")
    assert (said.returncode, said.stdout, said.stderr) == (0, f"['-c', 'a b', '--c'] {rest}", "")
    script = str(tmp_path / "packages" / "packages_tried.py")
    said = run(executable, script, "d", folder=tmp_path, TRIED="yes")
    assert (said.stdout, said.stderr) == (f"{[script, 'd']} {rest}", "")
    said = run(executable, "-m", "packages_tried", folder=tmp_path, TRIED="yes", PYTHONPATH=str(tmp_path / "packages"))
    assert (said.stdout, said.stderr) == (f"{[script]} {rest}", "")
    assert "No module named packages_tried" in run(executable, "-m", "packages_tried", folder=tmp_path).stderr


@both
@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('no')", 1, "no\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("import os; os._exit(3)", 3, ""),
        ("import os; os.abort()", -signal.SIGABRT, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
        ("import atexit, sys; atexit.register(lambda: print('last', file=sys.stderr))", 0, "last\n"),
        (LATE, 0, "late"),
    ],
)
def test_how_it_ends_is_told(executable: str, code: str, status: int, told: str, tmp_path: Path) -> None:
    done = run(executable, "-c", code, folder=tmp_path)
    assert done.returncode == status
    assert done.stderr.endswith(told)
    assert bool(done.stderr) == bool(told)


def _heed_ctrl_c() -> None:
    # What a shell starts in the background ignores it, and hands that on.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@both
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_it(executable: str, number: signal.Signals, tmp_path: Path) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    command = [python() if executable == "warm" else executable, "-c", code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=_heed_ctrl_c)
    assert process.stdout is not None
    own = int(process.stdout.readline())
    process.send_signal(number)
    assert process.wait(timeout=20) == -number
    process.communicate()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{own}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{own}").exists()
