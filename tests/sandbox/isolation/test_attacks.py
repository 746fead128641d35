"""Programs that try to do harm do none: each is run, then the world is looked at from outside."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest

from rrtf_trl.records import CaseTests
from rrtf_trl.sandbox import Job, Outcome, Sandbox
from support.sandbox_attacks import ATTACKS, BOMBS, ONLY_ON, World

ONE = CaseTests([{"args": [], "expected": 1}])
NOTHING = CaseTests([{"args": [], "expected": []}])
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


TIERS = ("full", "no-landlock", "no-namespaces")
Found = tuple[Outcome, list[str], bool, Outcome]
"""What came of a program; the harm that it did; whether its worker lives; and what the next program finds."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    os.environ["RRTF_SECRET"] = "1"
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.close()
    del os.environ["RRTF_SECRET"]


@pytest.fixture(scope="module")
def runners(world: World) -> Iterator[dict[str, Sandbox]]:
    with ExitStack() as stack:
        yield {tier: stack.enter_context(Sandbox(1, timeout=1.0, memory_mb=256, tier=tier)) for tier in TIERS}


@pytest.fixture(scope="module")
def found(runners: dict[str, Sandbox], world: World, judge_at_once: Any) -> Callable[[str], dict[str, Found]]:
    """Run a program in all tiers at the same time, then look at the world, then have the next program look around.

    Programs of two tiers could meet only outside of their sandboxes, and there each would do harm that is found.
    """

    @cache
    def judge(code: str) -> dict[str, Found]:
        used = [runners[tier] for tier in TIERS]
        before = [sandbox._pool[0]._process.pid for sandbox in used]
        outcomes = judge_at_once((sandbox, [Job("one", code, ONE, "f")]) for sandbox in used)
        harm = world.harm()
        same = [sandbox._pool[0]._process.pid == pid for sandbox, pid in zip(used, before, strict=True)]
        after = judge_at_once((sandbox, [Job("after", LOOK_AROUND, NOTHING, "f")]) for sandbox in used)
        each = [(one, harm, lives, then) for [one], lives, [then] in zip(outcomes, same, after, strict=True)]
        return dict(zip(TIERS, each, strict=True))

    return judge


def check_harmless(one: Found) -> None:
    outcome, harm, lives, after = one
    assert outcome.state not in ("passed", "infrastructure"), outcome
    assert harm == []
    assert lives
    assert after.state == "passed", after


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_does_what_it_is_for(
    name: str, tier: str, found: Callable[[str], dict[str, Found]], world: World
) -> None:
    if ONLY_ON.get(name, platform.machine()) != platform.machine():
        pytest.skip(f"of {ONLY_ON[name]}")
    check_harmless(found(world.fill(ATTACKS[name]))[tier])


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", BOMBS)
def test_no_bomb_goes_off(name: str, tier: str, found: Callable[[str], dict[str, Found]]) -> None:
    check_harmless(found(BOMBS[name])[tier])
