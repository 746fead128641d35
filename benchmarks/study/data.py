"""The rows that arms train on: `rrtf rank` draws, judges and ranks the answers, once for all arms."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from arms import UNCHECKED, Answers

from rrtf_trl.records import content_hash
from training import Row, grpo_columns


def rows(
    work: Path, policy: str, teacher: str, level: int, problems: int, seed: int, answers: Answers, ranking: str
) -> list[Row]:
    """Return the problems with their ranked answers.

    Args:
        work: Folder of the runs and their store, by which nothing is drawn or judged twice.
        policy: Folder of the student.
        teacher: Folder of the teacher whose answers are asked for, if any are.
        level: Of the exercises.
        problems: How many exercises.
        seed: Of the exercises, and of the draws.
        answers: Whose answers; see :class:`~arms.Arm`.
        ranking: The score map.
    """
    samplers = "[transformers]" if answers == "student" else "[transformers,teacher]"
    overrides = [
        f"runs_dir={work / 'runs'}",
        "name=study",
        f"model.path={policy}",
        "model=hub",
        f"sampler={samplers}",
        f"ranking={ranking}",
        f"seed={seed}",
        f"problems.train.limit={problems}",
        f"problems.train.level={level}",
        f"problems.heldout.level={level}",
        "decontamination=none",
    ]
    if answers != "student":
        overrides.append(f"sampler.teacher.model={teacher}")
    folder = _once(work, ["rank", *overrides])
    if answers in UNCHECKED:
        return _teacher_above_student(folder)
    found = {problem["task_id"]: problem for problem in _read(folder / "problems.jsonl")}
    return [{**row, **grpo_columns(found[row["task_id"]])} for row in _read(folder / "ranked.jsonl")]


def _once(work: Path, arguments: list[str]) -> Path:
    """Return the folder of a run, which one process makes, once."""
    known = work / "rows" / content_hash(arguments)
    known.parent.mkdir(exist_ok=True)
    with known.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        folder = file.read() or str(_run(arguments))
        file.truncate(0)
        file.write(folder)
    return Path(folder)


def _run(arguments: list[str]) -> Path:
    command = [sys.executable, "-m", "rrtf_trl.cli", *arguments]
    # Threads that wait by spinning take the cores from whatever else runs beside them.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "200", **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return Path(done.stdout.strip().splitlines()[-1].split(": ", 1)[1])


def _teacher_above_student(folder: Path) -> list[Row]:
    """The teacher's answer above each of the student's, whatever the tests say."""
    prompts = {problem["task_id"]: problem["prompt"] for problem in _read(folder / "problems.jsonl")}
    by_task: dict[str, dict[str, str]] = defaultdict(dict)
    for candidate in _read(folder / "candidates.jsonl"):
        # An answer that both gave is the teacher's.
        known = by_task[candidate["task_id"]].get(candidate["response"])
        by_task[candidate["task_id"]][candidate["response"]] = "teacher" if known == "teacher" else candidate["source"]
    rows = []
    for task, sources in by_task.items():
        row: Row = {"prompt": prompts[task], "responses": list(sources), "sources": list(sources.values())}
        row["scores"] = [float(source == "teacher") for source in row["sources"]]
        if len(set(row["scores"])) == 2:
            rows.append(row)
    return rows


def _read(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
