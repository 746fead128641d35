"""Judges candidates by ruff's findings, with one call of ruff for each batch."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

from rrtf_trl.errors import FeedbackError
from rrtf_trl.records import Candidate, Judgement, Problem

_SELECT = ("F", "E7", "E9", "B", "C4", "PIE", "RET", "SIM")
_COMPLEXITY = "C901"
_RULE = re.compile(r"[A-Z]+[0-9]*")
_POINTS = re.compile(r"\((\d+) > 0\)")


class Ruff:
    """Prefers candidates with fewer findings of ruff and less complexity.

    The score is minus the number of findings, minus ``complexity_weight`` for each point of McCabe's complexity (IEEE
    Transactions on Software Engineering, 1976) above 1 of each function. A candidate that is not a program gets no
    score. ``noqa`` comments and configuration files are ignored.

    Args:
        select: Rules, or prefixes of their names.
        ignore: Rules to leave out of them.
        complexity_weight: The cost of a point of complexity; 0 ignores complexity.
        batch_size: Candidates in one call of ruff.

    Raises:
        ValueError: If an option is out of its range.
    """

    name = "ruff"

    def __init__(
        self,
        select: list[str] | tuple[str, ...] = _SELECT,
        ignore: list[str] | tuple[str, ...] = (),
        complexity_weight: float = 0.5,
        batch_size: int = 256,
    ) -> None:
        for option, rules in (("select", select), ("ignore", ignore)):
            for rule in rules:
                if not _RULE.fullmatch(rule):
                    raise ValueError(f"{option}: {rule!r} is not a rule of ruff or a prefix of one")
        if complexity_weight < 0:
            raise ValueError(f"complexity_weight must not be negative, got {complexity_weight}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.select, self.ignore = list(select), list(ignore)
        self.complexity_weight = complexity_weight
        self.batch_size = batch_size

    def identity(self) -> dict[str, Any]:
        """Return the rules, the weight, and ruff's version, which decides the findings."""
        return {
            "feedback": self.name,
            "ruff": metadata.version("ruff"),
            "select": self.select,
            "ignore": self.ignore,
            "complexity_weight": self.complexity_weight,
        }

    def check(self, problem: Problem) -> None:
        """Accept any problem."""

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Yield one judgement for each item, batch by batch.

        Raises:
            FeedbackError: If ruff itself fails.
        """
        candidates = (candidate for _, candidate in items)
        while batch := list(islice(candidates, self.batch_size)):
            for candidate, findings in zip(batch, self._findings([c.code for c in batch]), strict=True):
                yield self._judgement(candidate, findings)

    def _findings(self, programs: list[str]) -> list[list[dict[str, Any]]]:
        """Return ruff's findings in each program."""
        from ruff.__main__ import find_ruff_bin

        with tempfile.TemporaryDirectory(prefix="rrtf-ruff-") as folder:
            for number, code in enumerate(programs):
                Path(folder, f"{number}.py").write_bytes(code.encode("utf-8", "replace"))
            rules = ",".join([*self.select, *([_COMPLEXITY] if self.complexity_weight else [])])
            command = [find_ruff_bin(), "check", "--isolated", "--no-cache", "--ignore-noqa", "--exit-zero", "--quiet"]
            command += ["--output-format", "json", "--target-version", "py311", f"--select={rules}"]
            command += ["--config", "lint.mccabe.max-complexity=0", *[f"--ignore={rule}" for rule in self.ignore]]
            done = subprocess.run([*command, folder], capture_output=True, text=True, check=False)
        if done.returncode:
            raise FeedbackError(f"ruff failed: {' '.join(done.stderr.split())[-500:]}")
        found: list[list[dict[str, Any]]] = [[] for _ in programs]
        for finding in json.loads(done.stdout):
            found[int(Path(finding["filename"]).stem)].append(finding)
        return found

    def _judgement(self, candidate: Candidate, findings: list[dict[str, Any]]) -> Judgement:
        # For a file that is not a program, the code of a finding is missing or is not a rule.
        if any(not finding["code"] or not _RULE.fullmatch(finding["code"]) for finding in findings):
            return Judgement(candidate.candidate_id, self.name, None, None, {"abstained": "it is not a program"})
        counts = Counter(finding["code"] for finding in findings if finding["code"] != _COMPLEXITY)
        points = [_POINTS.search(finding["message"]) for finding in findings if finding["code"] == _COMPLEXITY]
        complexity = sum(int(match.group(1)) - 1 for match in points if match)
        score = -(sum(counts.values()) + self.complexity_weight * complexity)
        detail = {"findings": dict(sorted(counts.items())), "complexity": complexity}
        return Judgement(candidate.candidate_id, self.name, None, float(score), detail)
