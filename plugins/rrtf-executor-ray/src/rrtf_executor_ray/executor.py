"""Samples and judges on a Ray cluster."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any

from rrtf_trl.chat import ReportsSpending
from rrtf_trl.feedback import Feedback
from rrtf_trl.pipeline.executor import LocalExecutor
from rrtf_trl.records import Candidate, Judgement, Problem, to_json
from rrtf_trl.samplers import Sampler, Samples

from .shards import from_shard, to_shard


class RayExecutor:
    """An :class:`rrtf_trl.pipeline.executor.Executor` whose workers are Ray actors, on all nodes of a cluster.

    Samplers and feedback sources that spend money (:class:`rrtf_trl.chat.ReportsSpending`) run in this process, which
    counts the spending.

    Args:
        address: Of the cluster; ``None`` for ``RAY_ADDRESS``, or else a new cluster on this machine.
        cpus_per_worker: Processors of a worker; ``None`` for one worker on each node, or for sampling on each GPU.
        shard: Candidates that are sent to a worker at a time, for judging. Those of one problem stay together.
        patience: Seconds without any worker after which to give up.

    Raises:
        ValueError: If an option is out of its range.
    """

    def __init__(
        self,
        address: str | None = None,
        cpus_per_worker: float | None = None,
        shard: int = 64,
        patience: float = 600.0,
    ) -> None:
        if cpus_per_worker is not None and cpus_per_worker <= 0:
            raise ValueError(f"cpus_per_worker must be positive, got {cpus_per_worker}")
        if shard < 1:
            raise ValueError(f"shard must be at least 1, got {shard}")
        if patience <= 0:
            raise ValueError(f"patience must be positive, got {patience}")
        self.address, self.cpus_per_worker, self.shard, self.patience = address, cpus_per_worker, shard, patience
        self._local = LocalExecutor()
        self._connected = False

    def sample(self, sampler: Sampler, units: Iterable[list[Problem]]) -> Iterator[Samples]:
        """Yield the samples of ``sampler`` for each unit, in the order of the units."""
        if isinstance(sampler, ReportsSpending):
            yield from self._local.sample(sampler, units)
            return
        shards = ((number, to_shard(problem=map(to_json, unit))) for number, unit in enumerate(units))
        finished: dict[int, Samples] = {}
        with self._pool(sampler, gpus=True) as pool:
            following = 0
            for number, (shard, skipped) in pool.run("sample", shards):
                drawn = [Candidate.from_json(row["candidate"]) for row in from_shard(shard)]
                finished[number] = Samples(drawn, skipped)
                while following in finished:
                    yield finished.pop(following)
                    following += 1

    def judge(self, source: Feedback, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Yield the judgement of ``source`` on each item, shard by shard as they finish."""
        if isinstance(source, ReportsSpending):
            yield from self._local.judge(source, items)
            return
        with self._pool(source, gpus=False) as pool:
            for _, (shard, error) in pool.run("judge", enumerate(self._shards(items))):
                yield from (Judgement(**row["judgement"]) for row in from_shard(shard))
                if error is not None:
                    raise error

    def close(self) -> None:
        """Leave the cluster."""
        if self._connected:
            import ray

            ray.shutdown()
            self._connected = False

    def _pool(self, maker: Any, gpus: bool) -> Any:
        self._connect()
        from .pool import Pool

        return Pool(maker, self.cpus_per_worker, gpus, self.patience)

    def _connect(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        if not ray.is_initialized():
            ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
            self._connected = True

    def _shards(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[bytes]:
        """Yield shards of ``shard`` items or more: a problem's items are never split."""
        problems: list[Any] = []
        candidates: list[Any] = []
        for _, group in itertools.groupby(items, key=lambda item: item[0].task_id):
            for problem, candidate in group:
                problems.append(to_json(problem))
                candidates.append(to_json(candidate))
            if len(problems) >= self.shard:
                yield to_shard(problem=problems, candidate=candidates)
                problems, candidates = [], []
        if problems:
            yield to_shard(problem=problems, candidate=candidates)
