"""The actor that runs on the nodes."""

from __future__ import annotations

import os
from typing import Any

from rrtf_trl.feedback import Feedback
from rrtf_trl.models.memory import importing
from rrtf_trl.records import Candidate, Problem, to_json
from rrtf_trl.samplers import Sampler

from .shards import from_shard, to_shard


class Worker:
    """A Ray actor with a sampler or a feedback source; a model that it loads stays loaded until the actor ends.

    Args:
        maker: The sampler or the feedback source.
        folder: The run's working directory, for relative paths such as that of the trained policy; it is used if it
            exists on the node.
    """

    def __init__(self, maker: Sampler | Feedback, folder: str) -> None:
        if os.path.isdir(folder):
            os.chdir(folder)
        self.maker: Any = maker

    def ready(self) -> None:
        """Return, as soon as the actor is running."""

    def sample(self, shard: bytes) -> tuple[bytes, dict[str, str]]:
        """Sample one unit; return a shard of candidates, and the reasons of skipped problems."""
        problems = [Problem.from_json(row["problem"]) for row in from_shard(shard)]
        with importing():  # the first time; and what is loaded stays
            samples = self.maker.sample(problems)
        return to_shard(candidate=map(to_json, samples.candidates)), samples.skipped

    def judge(self, shard: bytes) -> tuple[bytes, Exception | None]:
        """Judge a shard; return a shard of judgements, and the error that ended it early, or ``None``."""
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
