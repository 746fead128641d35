"""Workers on all nodes of a cluster, shards handed out to them, and those of a node that died handed out again."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    ObjectLostError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rrtf_trl.errors import UserError

from .worker import Worker

_DIED = (
    RayActorError,
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    ObjectLostError,
    WorkerCrashedError,
)
_EACH = 2  # shards that a worker has in hand: one that it works on, one that waits
_ATTEMPTS = 5  # workers that one shard may lose before it is taken for the cause
_LOOK = 2.0  # seconds between looks for nodes that have joined or died


class Pool:
    """Workers for one stage; use it in a ``with`` statement.

    A node that joins gets workers. What a worker had in hand when it died is handed to another one, and of a shard
    that was tried twice one result is taken: so nothing is lost and nothing doubled.

    Args:
        maker: The sampler or the source that the workers have.
        cpus: Processors of a worker; ``None`` for one worker a node, or with ``gpus`` one a GPU.
        gpus: Whether a worker takes a GPU, on nodes that have some.
        patience: Seconds without any worker after which to give up.
    """

    def __init__(self, maker: Any, cpus: float | None, gpus: bool, patience: float) -> None:
        self.cpus, self.gpus, self.patience = cpus, gpus, patience
        self._maker = ray.put(maker)
        self._nodes: dict[str, list[Any]] = {}  # node -> its workers
        self._starting: dict[Any, Any] = {}  # what tells that a worker is ready -> the worker
        self._ready: dict[Any, int] = {}  # worker -> shards that it has in hand
        self._looked = 0.0
        self._failed = 0  # workers in a row that did not start

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: Any) -> None:
        for worker in itertools.chain(*self._nodes.values()):
            ray.kill(worker)
        self._nodes.clear()
        self._starting.clear()
        self._ready.clear()

    def run(self, method: str, shards: Iterable[tuple[Any, bytes]]) -> Iterator[tuple[Any, Any]]:
        """Yield what each shard gave, with its key, as they are done.

        Args:
            method: Of :class:`Worker`.
            shards: Each with a key; taken as there is room.

        Raises:
            UserError: If there is no worker for long, or a shard's workers die again and again.
        """
        source = iter(shards)
        again: list[tuple[Any, bytes, int]] = []
        running: dict[Any, tuple[Any, Any, bytes, int]] = {}  # result -> worker, key, shard, attempt
        exhausted = False
        waiting_since = time.monotonic()
        while True:
            self._look()
            for worker in sorted(self._ready, key=self._ready.__getitem__):
                while self._ready[worker] < _EACH and (again or not exhausted):
                    if again:
                        key, shard, attempt = again.pop()
                    else:
                        taken = next(source, None)
                        if taken is None:
                            exhausted = True
                            break
                        key, shard, attempt = *taken, 1
                    result = getattr(worker, method).remote(shard)
                    running[result] = (worker, key, shard, attempt)
                    self._ready[worker] += 1
            if exhausted and not running and not again:
                return
            if self._ready:
                waiting_since = time.monotonic()
            elif time.monotonic() - waiting_since > self.patience:
                raise UserError(
                    f"executor=ray: no node had room for a worker in {self.patience:.0f} s: {_room()}; set "
                    "executor.cpus_per_worker to what a node has free, or executor.patience to a longer wait"
                )
            done, _ = (
                ray.wait([*running, *self._starting], num_returns=1, timeout=_LOOK)
                if (running or self._starting)
                else ([], [])
            )
            if not done and not running and not self._starting:
                time.sleep(_LOOK)
            for result in done:
                if result in self._starting:
                    self._started(result)
                    continue
                worker, key, shard, attempt = running.pop(result)
                try:
                    value = ray.get(result)
                except RayTaskError as error:
                    raise (error.cause if isinstance(error.cause, Exception) else error) from None
                except _DIED as error:
                    if attempt == _ATTEMPTS:
                        raise UserError(
                            f"executor=ray: {_ATTEMPTS} workers died on the same work, the last with: "
                            f"{_last_line(error)}"
                        ) from error
                    again.append((key, shard, attempt + 1))
                    self._forget(worker)
                    continue
                if worker in self._ready:
                    self._ready[worker] -= 1
                yield key, value

    def _look(self) -> None:
        """Start workers on nodes that have none, and forget those of nodes that are gone."""
        if time.monotonic() - self._looked < _LOOK:
            return
        self._looked = time.monotonic()
        nodes = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
        for gone in self._nodes.keys() - nodes.keys():
            for worker in list(self._nodes[gone]):
                self._forget(worker)
            del self._nodes[gone]
        for node, room in nodes.items():
            workers = self._nodes.setdefault(node, [])
            count, options = self._share(room)
            while len(workers) < count:
                here = NodeAffinitySchedulingStrategy(node, soft=False)
                actor = ray.remote(Worker).options(scheduling_strategy=here, **options)
                worker = actor.remote(self._maker, os.getcwd())
                workers.append(worker)
                self._starting[worker.ready.remote()] = worker

    def _share(self, room: dict[str, float]) -> tuple[int, dict[str, float]]:
        """Return how many workers a node gets, and what each takes of it."""
        cpus, gpus = room.get("CPU", 0.0), int(room.get("GPU", 0)) if self.gpus else 0
        if cpus < (self.cpus or 1):
            return 0, {}
        if self.cpus is not None:
            count = int(cpus // self.cpus)
            return (min(count, gpus) if gpus else count), {"num_cpus": self.cpus, "num_gpus": 1 if gpus else 0}
        count = gpus or 1
        return count, {"num_cpus": max(1, int(cpus) // count), "num_gpus": 1 if gpus else 0}

    def _started(self, result: Any) -> None:
        worker = self._starting.pop(result)
        try:
            ray.get(result)
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from None
        except _DIED as error:
            self._forget(worker)
            self._failed += 1
            if self._failed == _ATTEMPTS:
                raise UserError(
                    f"executor=ray: {_ATTEMPTS} workers in a row did not start, the last with: {_last_line(error)}"
                ) from error
            return
        self._failed = 0
        self._ready[worker] = 0

    def _forget(self, worker: Any) -> None:
        """Count no more on a worker; its node gets another one, if it lives."""
        self._ready.pop(worker, None)
        self._starting = {result: other for result, other in self._starting.items() if other is not worker}
        for workers in self._nodes.values():
            if worker in workers:
                workers.remove(worker)


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1]


def _room() -> str:
    nodes = [node for node in ray.nodes() if node["Alive"]]
    return f"{len(nodes)} nodes with {ray.cluster_resources().get('CPU', 0):g} processors in all"
