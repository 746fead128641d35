"""Programs that try to do harm do none: each is run, then the world is looked at from outside."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator

import pytest
from sandbox_attacks import ATTACKS, BOMBS, World

from rrtf_trl.records import CaseTests
from rrtf_trl.sandbox import Job, Outcome, Sandbox

ONE = CaseTests([{"args": [], "expected": 1}])
ONLY_ON = {"uses the 32-bit calls": "x86_64", "uses the x32 calls": "x86_64"}  # others name calls by x86_64's numbers
LOOK_AROUND = """
import os, sys
def f():
    found = []
    python = [sys.prefix, sys.base_prefix, *sys.path]  # may live in /tmp itself
    for folder in ('.', '/tmp', '/dev/shm', '/box/job'):
        try: names = os.listdir(folder)
        except OSError: continue
        names = [name for name in names if not any(f"{path}/".startswith(f"{folder}/{name}/") for path in python)]
        found += [name for name in names if os.path.exists("/box") or "leftover" in name]
    return found
"""


def judge(sandbox: Sandbox, code: str, tests: CaseTests = ONE) -> Outcome:
    (outcome,) = sandbox.run_many([Job("one", code, tests, "f")])
    return outcome


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    os.environ["RRTF_SECRET"] = "1"
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.close()
    del os.environ["RRTF_SECRET"]


@pytest.fixture(scope="module", params=["full", "no-landlock", "no-namespaces"])
def runner(request: pytest.FixtureRequest, world: World) -> Iterator[Sandbox]:
    with Sandbox(workers=1, timeout=1.0, memory_mb=256, tier=request.param) as sandbox:
        yield sandbox


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_does_what_it_is_for(name: str, runner: Sandbox, world: World) -> None:
    if ONLY_ON.get(name, platform.machine()) != platform.machine():
        pytest.skip(f"of {ONLY_ON[name]}")
    before = runner._pool[0]._process.pid
    outcome = judge(runner, world.fill(ATTACKS[name]))
    assert outcome.state not in ("passed", "infrastructure"), outcome
    assert world.harm() == []
    assert runner._pool[0]._process.pid == before
    assert judge(runner, LOOK_AROUND, CaseTests([{"args": [], "expected": []}])).state == "passed"


@pytest.mark.parametrize("name", BOMBS)
def test_no_bomb_goes_off(name: str, runner: Sandbox, world: World) -> None:
    before = runner._pool[0]._process.pid
    outcome = judge(runner, BOMBS[name])
    assert outcome.state not in ("passed", "infrastructure"), outcome
    assert world.harm() == []
    assert runner._pool[0]._process.pid == before
    assert judge(runner, LOOK_AROUND, CaseTests([{"args": [], "expected": []}])).state == "passed"
