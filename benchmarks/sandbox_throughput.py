"""How many HumanEval checks a second the sandbox does on this machine.

    RRTF_DATA_DIR=... python benchmarks/sandbox_throughput.py [--workers N] [--repeat N] [--no-namespaces]

Every check is one canonical solution in a fresh process, judged by the problem's own tests.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from pathlib import Path

from rrtf_trl.records import CheckTests
from rrtf_trl.sandbox import Job, Sandbox


def main() -> None:
    parser = argparse.ArgumentParser(description="HumanEval checks per second in the sandbox.")
    parser.add_argument("--workers", type=int, default=None, help="worker processes (default: one a processor)")
    parser.add_argument("--repeat", type=int, default=5, help="times that all 164 problems are judged (default: 5)")
    parser.add_argument("--no-namespaces", action="store_true", help="as on a machine that offers none")
    options = parser.parse_args()
    path = Path(os.environ.get("RRTF_DATA_DIR", ".")) / "HumanEval.jsonl.gz"
    if not path.exists():
        raise SystemExit(f"{path} not found: set RRTF_DATA_DIR to the folder that holds HumanEval.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    jobs = []
    for row in rows:
        program = row["prompt"] + row["canonical_solution"]
        jobs.append(Job(row["task_id"], program, CheckTests(row["test"]), row["entry_point"], context=program))

    with Sandbox(workers=options.workers, namespaces=not options.no_namespaces) as sandbox:
        isolation = next(iter(list(sandbox.run_many(jobs[: 2 * sandbox.workers])))).isolation  # warm
        start, passed = time.perf_counter(), 0
        for outcome in sandbox.run_many(jobs * options.repeat):
            passed += outcome.state == "passed"
        seconds = time.perf_counter() - start
        count = len(jobs) * options.repeat
        print(f"{passed}/{count} passed, {count / seconds:.0f} checks/s, {sandbox.workers} workers, {isolation}")


if __name__ == "__main__":
    main()
