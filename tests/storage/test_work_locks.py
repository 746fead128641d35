"""Real processes on one store, some of them killed: nothing is lost, doubled or judged twice."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from rrtf_trl.records import Judgement
from rrtf_trl.storage.store import LockResult, Store
from rrtf_trl.storage.work_locks import Presence, is_on_network

WORKER = Path(__file__).parents[1] / "support" / "store_worker.py"
DRAWS = 3
ROWS = {"units": 20, "candidates": 120, "verdicts": 80}
VERDICTS = {
    "": 40 * 2,
    "shared": 40 * 2,
    "compares": 40 * 3,
}  # the same code is judged once, but where answers are compared


def start(folder: Path, mode: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), str(folder / "store.sqlite"), str(folder / "calls"), *filter(None, [mode])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def calls(folder: Path) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {name: Counter() for name in ("draw", "drew", "judge", "judged")}
    for line in (folder / "calls").read_text().splitlines():
        word, what, _ = line.split()
        found[word][what] += 1
    return found


def finish(process: subprocess.Popen[str]) -> tuple[list[int], str]:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    counts = next(line for line in output.splitlines() if line.startswith("COUNTS"))
    return [int(number) for number in counts.split()[1:]], output


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", ["", pytest.param("compares", marks=pytest.mark.slow), pytest.param("shared", marks=pytest.mark.slow)]
)
def test_concurrent_processes_share_the_work_and_do_none_of_it_twice(tmp_path: Path, mode: str) -> None:
    processes = [start(tmp_path, mode) for _ in range(4)]
    counts = [finish(process)[0] for process in processes]
    found = calls(tmp_path)
    assert set(found["draw"].values()) == {1}
    assert len(found["draw"]) == 40
    assert set(found["judge"].values()) == {1}
    assert len(found["judge"]) == VERDICTS[mode]
    assert sum(row[0] for row in counts) == 40 * DRAWS
    assert sum(row[2] for row in counts) == VERDICTS[mode]
    assert all(row[0] + row[1] == row[2] + row[3] == 40 * DRAWS for row in counts)
    assert Store(tmp_path / "store.sqlite").counts() == ROWS


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["draw", "judge"])
def test_what_a_killed_process_had_claimed_is_done_by_another(tmp_path: Path, stage: str) -> None:
    moments = random.Random(stage)
    killed = 0
    survivor = start(tmp_path, "")
    for _ in range(4):
        victim = start(tmp_path, "")
        deadline = time.monotonic() + 30
        name = str(victim.pid)
        while victim.poll() is None and time.monotonic() < deadline:
            log = tmp_path / "calls"
            if log.exists() and any(
                line.startswith(stage + " ") and line.endswith(name) for line in log.read_text().splitlines()
            ):
                time.sleep(moments.uniform(0, 0.05))
                victim.send_signal(signal.SIGKILL)
                killed += victim.wait() == -signal.SIGKILL
            time.sleep(0.002)
        victim.communicate()
    assert killed
    finish(survivor)
    finish(start(tmp_path, ""))
    found = calls(tmp_path)
    # What a process was at when it was killed is begun again, a batch or a tenth of a second; all else is begun once.
    assert len(found["drew"]) == 40
    assert len(found["judged"]) == VERDICTS[""]
    assert sum(found["draw"].values()) <= 40 + 2 * killed
    assert sum(found["judge"].values()) <= VERDICTS[""] + 15 * killed
    assert Store(tmp_path / "store.sqlite").counts() == ROWS


@pytest.mark.slow
def test_a_stopped_process_is_waited_for_and_taken_over_when_it_dies(tmp_path: Path) -> None:
    """The claim holds as long as the process lives, however slow it is, and no longer."""
    slow = start(tmp_path, "")
    while not (tmp_path / "calls").exists():
        time.sleep(0.002)
    slow.send_signal(signal.SIGSTOP)
    other = start(tmp_path, "")
    assert other.stdout is not None
    for line in other.stdout:
        if "waiting for process" in line:
            assert f"sample slow: waiting for process {slow.pid} on " in line
            break
    begun = calls(tmp_path)["draw"]
    assert set(begun.values()) == {1}
    time.sleep(1)
    assert other.poll() is None, "it must not take what the other has"
    slow.kill()
    counts, _ = finish(other)
    slow.communicate()
    assert counts[0] >= (40 - len(begun)) * DRAWS
    assert len(calls(tmp_path)["drew"]) == 40


@pytest.mark.slow
def test_processes_that_open_a_new_store_at_once_all_can(tmp_path: Path) -> None:
    code = "import sys; from rrtf_trl.storage.store import Store; Store(sys.argv[1]).lock('units', [['k']])"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "s.sqlite")], stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors


def test_claims_within_a_process(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "s.sqlite"), Store(tmp_path / "s.sqlite")
    assert one.lock("verdicts", [["a"], ["b", "c"]]) == [LockResult("acquired"), LockResult("acquired")]
    assert one.lock("verdicts", [["a"]]) == [LockResult("acquired")], "a lock may be acquired again"
    assert [lock.state for lock in two.lock("verdicts", [["a"], ["c", "d"], ["d"]])] == ["held", "held", "acquired"]
    one.add_judgements([("a", Judgement("c1", "f", None, 1.0))])
    assert two.lock("verdicts", [["a"]]) == [LockResult("done")]
    one.release(["b"])
    assert two.lock("verdicts", [["b"]]) == [LockResult("acquired")]
    one.close()
    assert two.lock("verdicts", [["c"]]) == [LockResult("acquired")], "what a closed store had locked is free"


def test_a_forked_child_keeps_no_claim_of_its_parent_alive(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from rrtf_trl.storage.store import Store; store = Store(sys.argv[1]);"
        "store.lock('units', [['k']]); child = os.fork();\n"
        "if not child: os.close(1); time.sleep(60)\n"
        "print(child, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "s.sqlite")], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    store = Store(tmp_path / "s.sqlite")
    assert store.lock("units", [["k"]])[0].holder.startswith(f"process {parent.pid} on ")
    parent.kill()
    parent.wait()
    try:
        assert store.lock("units", [["k"]]) == [LockResult("acquired")]
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_store_that_dead_processes_had_opened_keeps_no_trace_of_them(tmp_path: Path) -> None:
    code = (
        "import os, sys; from rrtf_trl.storage.store import Store; "
        "Store(sys.argv[1]).lock('units', [['k']]); os._exit(1)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "s.sqlite")], check=False)
    store = Store(tmp_path / "s.sqlite")
    for table in ("claims", "users"):
        assert store._db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_presence_ends_when_it_is_left(tmp_path: Path) -> None:
    presence = Presence(tmp_path / "lock")
    number = presence.number
    assert presence.is_alive(number)
    presence.leave()
    assert not presence.is_alive(number)
    assert not is_on_network(tmp_path)
