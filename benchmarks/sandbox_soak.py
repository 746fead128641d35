"""Whether the sandbox stays as it is over a long run: memory, descriptors and processes, every tenth of it.

    RRTF_DATA_DIR=... python benchmarks/sandbox_soak.py [--checks 100000] [--workers N]

Checks HumanEval's canonical solutions and programs that are wrong in several ways, in one process.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from sandbox_throughput import humaneval

from rrtf_trl.records import CheckTests
from rrtf_trl.sandbox import Job, Sandbox

WRONG = (
    "    raise ValueError\n",
    "    import os\n    os._exit(0)\n",
    "    open('left', 'w').write('x')\n",
    "    return (\n",
    "    return [0] * 100000\n",
    "    import threading\n    threading.Thread(target=print).start()\n",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checks", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=None)
    options = parser.parse_args()
    rows = humaneval()
    tests = [CheckTests(row["test"]) for row in rows]

    def jobs() -> Iterator[Job]:
        for number in range(options.checks):
            row = rows[number % len(rows)]
            reference = row["prompt"] + row["canonical_solution"]
            wrong = number % 10 == 9
            code = row["prompt"] + WRONG[number // 10 % len(WRONG)] if wrong else reference
            name = f"{number} {'wrong' if wrong else 'right'}"
            yield Job(name, code, tests[number % len(rows)], row["entry_point"], reference)

    start, done, mistakes = time.monotonic(), 0, 0
    with Sandbox(workers=options.workers) as sandbox:
        for outcome in sandbox.run_many(jobs()):
            done += 1
            mistakes += (outcome.state == "passed") is not outcome.job_id.endswith("right")
            if done % max(1, options.checks // 10) == 0 or done == min(1000, options.checks):
                processes = [os.getpid(), *below(os.getpid())]
                own = f"{resident_mb(os.getpid()):.0f} MiB, {len(descriptors_of(os.getpid()))} descriptors"
                memory = sum(resident_mb(pid) for pid in processes)
                descriptors = sum(len(descriptors_of(pid)) for pid in processes)
                print(
                    f"{done} checks, {done / (time.monotonic() - start):.0f}/s, {mistakes} mistakes: caller {own}; "
                    f"all {len(processes)} processes {memory:.0f} MiB, {descriptors} descriptors",
                    flush=True,
                )


def below(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have."""
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *below(int(child))]
    return found


def resident_mb(pid: int) -> float:
    """What a process holds, shared pages included."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def descriptors_of(pid: int) -> list[str]:
    """The descriptors of a process."""
    with contextlib.suppress(OSError):
        return os.listdir(f"/proc/{pid}/fd")
    return []


if __name__ == "__main__":
    main()
