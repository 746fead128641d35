"""On a real Ray cluster of several nodes on this machine, of which one is killed in mid-run."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
ray = pytest.importorskip("ray", reason="ray is not installed: pip install ray")
from ray.cluster_utils import Cluster  # noqa: E402

from rrtf_executor_ray import pool  # noqa: E402
from rrtf_executor_ray.executor import RayExecutor  # noqa: E402
from rrtf_trl.errors import UserError  # noqa: E402
from rrtf_trl.records import Problem  # noqa: E402
from rrtf_trl.testing import ExecutorContract  # noqa: E402
from rrtf_trl.testing.executor import Echo  # noqa: E402
from rrtf_trl.testing.fixtures import SMALL  # noqa: E402
from support.warm_python import python  # noqa: E402

pytest_plugins = ["rrtf_trl.testing"]
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the nodes do not have this file
TESTS = {"kind": "cases", "cases": [{"args": [1], "expected": 1}]}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that only keeps the books, and two nodes that work."""
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    found.add_node(num_cpus=1)
    found.add_node(num_cpus=1)
    found.wait_for_nodes()
    ray.init(address=found.address, log_to_driver=False, logging_level="ERROR")
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.mark.usefixtures("cluster")
class TestRay(ExecutorContract):
    choice = "ray"
    options = {"shard": 4}  # noqa: RUF012
    wrong_options = ({"shard": 0}, {"cpus_per_worker": 0}, {"patience": -1})


class Slow(Echo):
    """Tells which node and process it works in, and takes its time."""

    def sample(self, problems: list[Problem]) -> Any:
        samples = super().sample(problems)
        time.sleep(0.1)
        samples.skipped = {"node": ray.get_runtime_context().get_node_id(), "pid": str(os.getpid())}
        return samples


class Suicidal(Echo):
    """Takes its process along."""

    def sample(self, problems: list[Problem]) -> Any:
        os._exit(1)


def problem(number: int) -> Problem:
    return Problem.from_json({"task_id": f"t/{number}", "prompt": "def f(x):\n", "entry_point": "f", "tests": TESTS})


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_all_nodes_work_and_a_killed_ones_work_is_done_by_the_others(cluster: Any) -> None:
    victim = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    nodes: list[str] = []
    order: list[str] = []
    workers: dict[str, int] = {}  # node -> its worker's process
    asked, killed, dead = 0, False, 2000

    def work() -> Iterator[list[Problem]]:
        nonlocal asked, dead
        while asked < dead + 20:
            if killed and dead == 2000 and not alive(workers[victim.node_id]):
                dead = asked  # from here on the victim can have done nothing
            yield [problem(asked)]
            asked += 1

    for samples in RayExecutor().sample(Slow(), work()):
        order += [candidate.task_id for candidate in samples.candidates]
        nodes.append(samples.skipped["node"])
        workers[nodes[-1]] = int(samples.skipped["pid"])
        # A node may take seconds to start its worker: it is killed once all three are seen at work. Its worker works
        # on until it sees that its node is gone, which on a busy machine takes a while too.
        if not killed and len(workers) == 3:
            cluster.remove_node(victim, allow_graceful=False)  # SIGKILL
            killed = True
    assert len(workers) == 3
    assert dead < 2000
    assert order == [f"t/{number}" for number in range(asked)]
    assert victim.node_id not in nodes[dead:]


def test_work_that_kills_its_workers_ends_the_run_and_says_so(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_ATTEMPTS", 2)
    with pytest.raises(UserError, match="2 workers died on the same work, the last with: "):
        list(RayExecutor().sample(Suicidal(), [[problem(0)]]))


class Unloadable(Echo):
    """Cannot be built where it is sent."""

    def __reduce__(self) -> Any:
        return (exec, ("import no_such_package",))


def test_what_the_nodes_cannot_load_is_told(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_ATTEMPTS", 2)
    with pytest.raises(UserError, match=r"2 workers in a row did not start, the last with: .*no_such_package"):
        list(RayExecutor().sample(Unloadable(), [[problem(0)]]))


def test_a_cluster_without_room_is_told(cluster: Any) -> None:
    with (
        pytest.raises(
            UserError, match=r"no node had free resources for a worker in 1 s: \d nodes with .*set executor.cpus_per_w"
        ),
        pool.Pool(Echo(), 64.0, False, 1.0) as workers,
    ):
        list(workers.run("sample", [(0, b"")]))


def test_a_run_gives_what_it_gives_here_though_a_node_is_killed(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RRTF_PLUGINS", "ray")
    small = ["problems.train.limit=16", "sampler.transformers.batch_size=1", "feedback.unit_tests.workers=1"]
    command = [python(), "-m", "rrtf_trl.cli", "run", *SMALL, *small]
    subprocess.run(
        [*command, "runs_dir=here", "--strict-plugins"], cwd=tmp_path, capture_output=True, check=True, timeout=300
    )
    (here,) = (tmp_path / "here").glob("quickstart-*")
    victim = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    process = subprocess.Popen(
        [*command, "runs_dir=there", "executor=ray", f"executor.address={cluster.address}", "executor.shard=4"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    units = 0
    while units < 8 and process.poll() is None:
        time.sleep(0.05)
        if (tmp_path / "there" / "store.sqlite").is_file():
            with sqlite3.connect(tmp_path / "there" / "store.sqlite", timeout=10) as store:
                try:
                    (units,) = store.execute("SELECT count(*) FROM units").fetchone()
                except sqlite3.OperationalError:
                    continue
    cluster.remove_node(victim, allow_graceful=False)  # SIGKILL
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    there = tmp_path / "there" / here.name
    names = ["problems", "candidates", "judgements", "standings", "ranked", "pairs", "dropped"]
    for name in [*(f"{name}.jsonl" for name in names), "results.json", "evaluation/trained.sampled.jsonl"]:
        assert (there / name).read_bytes() == (here / name).read_bytes(), name
