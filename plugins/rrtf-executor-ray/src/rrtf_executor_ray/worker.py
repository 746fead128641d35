"""What runs on the nodes."""

from __future__ import annotations

import os
from typing import Any

from rrtf_trl.feedback import Feedback
from rrtf_trl.records import Candidate, Problem, to_json
from rrtf_trl.samplers import Sampler

from .shards import from_shard, to_shard


class Worker:
    """A Ray actor with a sampler or a feedback source; a model that it loads stays loaded until the actor ends.

    Args:
        maker: The sampler or the source.
        folder: Where the run was started: relative paths, such as that of the trained policy, begin there. It is on a
            file system that the nodes share, or there is nothing of it that they need.
    """

    def __init__(self, maker: Sampler | Feedback, folder: str) -> None:
        if os.path.isdir(folder):
            os.chdir(folder)
        self.maker: Any = maker

    def ready(self) -> None:
        """Answer, which an actor does as soon as it has its place."""

    def sample(self, shard: bytes) -> tuple[bytes, dict[str, str]]:
        """Draw for one unit; return a shard of candidates, and what was skipped."""
        samples = self.maker.sample([Problem.from_json(row["problem"]) for row in from_shard(shard)])
        return to_shard(candidate=map(to_json, samples.candidates)), samples.skipped

    def judge(self, shard: bytes) -> tuple[bytes, Exception | None]:
        """Judge; return a shard of judgements, and what ended the judging early."""
        rows = from_shard(shard)
        items = ((Problem.from_json(row["problem"]), Candidate.from_json(row["candidate"])) for row in rows)
        judgements = []
        error = None
        try:
            for judgement in self.maker.judge(items):
                judgements.append(to_json(judgement))
        except Exception as caught:
            error = caught
        return to_shard(judgement=judgements), error
