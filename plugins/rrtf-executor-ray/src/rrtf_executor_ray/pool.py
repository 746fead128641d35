"""Workers on all nodes of a cluster; the shards of a node that died are assigned to other workers."""

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
_SHARDS_PER_WORKER = 2  # one that it works on, one that waits
_ATTEMPTS = 5  # workers that may die on one shard before the shard counts as the cause
_POLL = 2.0  # seconds between checks for nodes that have joined or died


class Pool:
    """Workers for one stage; use it in a ``with`` statement.

    A node that joins gets workers. The shards of a worker that died are assigned to others, and a shard that was run
    twice gives one result: no result is lost or duplicated.

    Args:
        maker: The sampler or the feedback source of the workers.
        cpus: Processors of a worker; ``None`` for one worker on each node, or with ``gpus`` on each GPU.
        gpus: Whether a worker gets a GPU, on nodes that have some.
        patience: Seconds without any worker after which to give up.
    """

    def __init__(self, maker: Any, cpus: float | None, gpus: bool, patience: float) -> None:
        self.cpus, self.gpus, self.patience = cpus, gpus, patience
        self._maker = ray.put(maker)
        self._nodes: dict[str, list[Any]] = {}  # node -> its workers
        self._starting: dict[Any, Any] = {}  # result of `Worker.ready` -> the worker
        self._ready: dict[Any, int] = {}  # worker -> its number of assigned shards
        self._last_poll = 0.0
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
        """Yield the key and the result of each shard, as they finish.

        Args:
            method: Of :class:`Worker`.
            shards: Each with a key; read as workers need them.

        Raises:
            UserError: If there was no worker for ``patience`` seconds, or several workers died on one shard.
        """
        source = iter(shards)
        again: list[tuple[Any, bytes, int]] = []
        running: dict[Any, tuple[Any, Any, bytes, int]] = {}  # result -> worker, key, shard, attempt
        exhausted = False
        waiting_since = time.monotonic()
        while True:
            self._update_nodes()
            for worker in sorted(self._ready, key=self._ready.__getitem__):
                while self._ready[worker] < _SHARDS_PER_WORKER and (again or not exhausted):
                    if again:
                        key, shard, attempt = again.pop()
                    else:
                        following = next(source, None)
                        if following is None:
                            exhausted = True
                            break
                        key, shard, attempt = *following, 1
                    result = getattr(worker, method).remote(shard)
                    running[result] = (worker, key, shard, attempt)
                    self._ready[worker] += 1
            if exhausted and not running and not again:
                return
            if self._ready:
                waiting_since = time.monotonic()
            elif time.monotonic() - waiting_since > self.patience:
                raise UserError(
                    f"executor=ray: no node had free resources for a worker in {self.patience:.0f} s: {_resources()}; "
                    "set executor.cpus_per_worker to what a node has free, or executor.patience to a longer wait"
                )
            done, _ = (
                ray.wait([*running, *self._starting], num_returns=1, timeout=_POLL)
                if (running or self._starting)
                else ([], [])
            )
            if not done and not running and not self._starting:
                time.sleep(_POLL)
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
                    self._drop(worker)
                    continue
                if worker in self._ready:
                    self._ready[worker] -= 1
                yield key, value

    def _update_nodes(self) -> None:
        """Start workers on new nodes, and drop those of dead nodes."""
        if time.monotonic() - self._last_poll < _POLL:
            return
        self._last_poll = time.monotonic()
        nodes = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
        for dead in self._nodes.keys() - nodes.keys():
            for worker in list(self._nodes[dead]):
                self._drop(worker)
            del self._nodes[dead]
        for node, resources in nodes.items():
            workers = self._nodes.setdefault(node, [])
            count, options = self._workers_of(resources)
            while len(workers) < count:
                here = NodeAffinitySchedulingStrategy(node, soft=False)
                actor = ray.remote(Worker).options(scheduling_strategy=here, **options)
                worker = actor.remote(self._maker, os.getcwd())
                workers.append(worker)
                self._starting[worker.ready.remote()] = worker

    def _workers_of(self, resources: dict[str, float]) -> tuple[int, dict[str, float]]:
        """Return how many workers a node gets, and the Ray options of each."""
        cpus, gpus = resources.get("CPU", 0.0), int(resources.get("GPU", 0)) if self.gpus else 0
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
            self._drop(worker)
            self._failed += 1
            if self._failed == _ATTEMPTS:
                raise UserError(
                    f"executor=ray: {_ATTEMPTS} workers in a row did not start, the last with: {_last_line(error)}"
                ) from error
            return
        self._failed = 0
        self._ready[worker] = 0

    def _drop(self, worker: Any) -> None:
        """Drop a dead worker; its node gets another one, if it is alive."""
        self._ready.pop(worker, None)
        self._starting = {result: other for result, other in self._starting.items() if other is not worker}
        for workers in self._nodes.values():
            if worker in workers:
                workers.remove(worker)


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1]


def _resources() -> str:
    nodes = [node for node in ray.nodes() if node["Alive"]]
    return f"{len(nodes)} nodes with {ray.cluster_resources().get('CPU', 0):g} processors in all"
