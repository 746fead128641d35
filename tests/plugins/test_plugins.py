"""A broken plugin is named and harms nobody; names are given once; the environment decides what is loaded."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl import hookimpl
from rrtf_trl.plugins import Plugin, PluginError, Plugins, plugins, register
from rrtf_trl.registry import BUILTIN

Install = Callable[..., None]
Rrtf = Callable[..., tuple[int, str, str]]

LOSS = """
@hookimpl
def rrtf_losses():
    return {"NAME": "rrtf_nowhere:loss"}
"""
JUDGE = """
@hookimpl
def rrtf_feedback():
    return {"NAME": "rrtf_NAME.judge:Judge"}

@hookimpl
def rrtf_config_paths():
    return ["pkg://rrtf_NAME.conf"]
"""
CONF = {"conf/feedback/NAME.yaml": "# @package feedback.NAME\n_target_: rrtf_NAME.judge:Judge\n"}


def loss(name: str) -> str:
    return LOSS.replace("NAME", name)


def named(found: Plugins, name: str) -> Plugin:
    return next(plugin for plugin in found.all if plugin.name == name)


def causes(found: Plugins, name: str) -> list[str]:
    return [fault.cause for fault in named(found, name).faults]


# -- What can go wrong -----------------------------------------------------------------------------------

BROKEN = {
    "import": ("import no_such_module\n" + loss("mine"), "ModuleNotFoundError: No module named 'no_such_module'"),
    "syntax": ("def f(:\n", "SyntaxError: "),
    "exit": ("import sys; sys.exit('bye')", "SystemExit: bye"),
    "hook": (
        "@hookimpl\ndef rrtf_loses():\n    return {}\n",
        "there is no hook rrtf_loses; did you mean rrtf_losses?",
    ),
    "argument": (
        "@hookimpl\ndef rrtf_stage_started(stage, config, runs):\n    pass\n",
        "hook rrtf_stage_started has no argument runs: it has stage, run, config",
    ),
    "no_argument": (
        "@hookimpl\ndef rrtf_losses(x):\n    return {}\n",
        "hook rrtf_losses has no argument x: it has none",
    ),
    "unmarked": ("def rrtf_losses():\n    return {}\n", "function rrtf_losses lacks its @hookimpl"),
    "wrapper": (
        "@hookimpl(wrapper=True)\ndef rrtf_losses():\n    return (yield)\n",
        "hook rrtf_losses is a wrapper: plugins are called one by one, and wrap nothing",
    ),
    "newer": (loss("mine") + "RRTF_CONTRACT = 99\n", "it keeps version 99 of the contract, and this rrtf-trl has 1"),
    "older": (loss("mine") + "RRTF_CONTRACT = 0\n", "upgrade rrtf-older"),
    "silent": (loss("mine") + "del RRTF_CONTRACT\n", "does not state which contract it keeps: add RRTF_CONTRACT"),
    "empty": ("", "it implements no hook"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_plugin_that_does_not_load_is_named_and_the_others_work(install: Install, name: str) -> None:
    code, cause = BROKEN[name]
    install(name, code)
    install("zgood", loss("good"))
    found = Plugins()
    assert cause in causes(found, name)[0]
    assert (named(found, name).status, named(found, name).distribution) == ("failed", f"rrtf-{name}")
    assert set(found.registered("loss")) == {*BUILTIN["loss"], "good"}
    with pytest.raises(PluginError, match=rf"plugin {name} \(rrtf-{name} 1.2\): "):
        Plugins(strict=True)


RETURNING = "@hookimpl\ndef rrtf_losses():\n    return "
RAISING = {
    "raises": (RETURNING + "1 / 0\n", "hook rrtf_losses raised ZeroDivisionError: division by zero"),
    "wrong": (RETURNING + "7\n", "hook rrtf_losses returned int, not a mapping"),
    "badname": (RETURNING + "{'a-b': print}\n", "'a-b' is not a valid name of a loss"),
    "target": (RETURNING + "{'a': 'b'}\n", "loss 'a' has the target 'b': expected an object or 'module:attribute'"),
    "number": (RETURNING + "{'a': 7}\n", "loss 'a' has a target that cannot be called: 7"),
    "taken": (RETURNING + "{'rrtf': print}\n", "loss 'rrtf' is refused: rrtf-trl has this name"),
    "second": (loss("good"), "loss 'good' is refused: plugin agood (rrtf-agood 1.2) has this name"),
}


@pytest.mark.parametrize("name", RAISING)
def test_a_plugin_that_registers_nonsense_is_named_and_the_others_work(
    install: Install, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, cause = RAISING[name]
    install("agood", loss("good"))
    install(name, code)
    found = Plugins()
    assert set(found.registered("loss")) == {*BUILTIN["loss"], "good"}
    assert cause in causes(found, name)[0]
    told = capsys.readouterr().err
    assert f"rrtf: plugin {name} (rrtf-{name} 1.2): {cause}" in told
    assert "Traceback" not in told
    with pytest.raises(PluginError, match=f"rrtf-{name}"):
        Plugins(strict=True).registered("loss")


def test_what_cannot_be_imported_when_it_is_used_is_named(install: Install) -> None:
    install("lazy", loss("lazy"))
    with pytest.raises(
        PluginError, match=r"'lazy' of plugin lazy \(rrtf-lazy 1.2\) cannot be loaded from rrtf_nowhere"
    ):
        Plugins().registered("loss")["lazy"].load()
    install("torn", loss("torn").replace("nowhere", "torn.part"), {"part.py": "raise RuntimeError('no driver')\n"})
    with pytest.raises(PluginError, match=r"'torn' of plugin torn .*rrtf_torn.part:loss: RuntimeError: no driver"):
        Plugins().registered("loss")["torn"].load()


def test_what_a_configuration_group_chooses_needs_its_file(install: Install) -> None:
    install("a", JUDGE.replace("NAME", "a"), {name.replace("NAME", "a"): text for name, text in CONF.items()})
    install("b", JUDGE.replace("NAME", "b"), {"conf/__init__.py": ""})
    install("c", JUDGE.replace("NAME", "c"))
    unit_tests = {"conf/feedback/unit_tests.yaml": "", "conf/feedback/a.yaml": ""}
    install("d", JUDGE.replace('"NAME"', '"unit_tests"').replace("NAME", "d"), unit_tests)
    inner = JUDGE.replace("NAME.conf", "NAME.parts.conf").replace("NAME", "e")
    install("e", inner, {"parts/__init__.py": "raise ValueError('no parts')\n", "parts/conf/feedback/e.yaml": ""})
    found = Plugins()
    assert {"unit_tests", "teacher", "human", "a"} <= set(found.registered("feedback"))
    assert not {"b", "c", "d", "e"} & set(found.registered("feedback"))
    assert causes(found, "a") == []
    assert causes(found, "b") == ["feedback 'b' is refused: no feedback/b.yaml of its own is on its rrtf_config_paths"]
    assert "hook rrtf_config_paths: there is no package rrtf_c.conf (for pkg://rrtf_c.conf)" in causes(found, "c")
    cause = "hook rrtf_config_paths: pkg://rrtf_e.parts.conf cannot be found: ValueError: no parts"
    assert causes(found, "e")[0] == cause
    assert causes(found, "d") == [
        "its configuration feedback/a.yaml is not used: plugin a (rrtf-a 1.2) has one",
        "its configuration feedback/unit_tests.yaml is not used: rrtf-trl has one",
        "feedback 'unit_tests' is refused: rrtf-trl has this name",
    ]


def test_a_hook_that_raises_in_mid_run_does_not_end_it(install: Install, tmp_path: Path) -> None:
    install("a", "@hookimpl\ndef rrtf_stage_started(stage):\n    raise ValueError(f'in {stage}')\n")
    install("b", "seen = []\n@hookimpl\ndef rrtf_stage_started(stage, config):\n    seen.append((stage, config))\n")
    found = Plugins()
    for _ in range(2):
        found.call("rrtf_stage_started", stage="rank", run=None, config={"seed": 1})
    import rrtf_b  # type: ignore[import-not-found]

    assert rrtf_b.seen == [("rank", {"seed": 1})] * 2
    assert causes(found, "a") == ["hook rrtf_stage_started raised ValueError: in rank"]  # told once
    assert "raise ValueError" in named(found, "a").faults[0].traceback


# -- Which are loaded ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "loaded"),
    [
        ("", {"rrtf", "one", "two"}),
        ("none", {"rrtf"}),
        ("one", {"rrtf", "one"}),
        ("one, rrtf_two", {"rrtf", "one", "two"}),
        ("-one", {"rrtf", "two"}),
        ("-RRTF.one,-two", {"rrtf"}),
    ],
)
def test_the_environment_says_which_are_loaded(install: Install, choice: str, loaded: set[str]) -> None:
    install("one", loss("one"))
    install("two", loss("two"))
    found = Plugins(choice)
    ours = [plugin for plugin in found.all if plugin.name in ("rrtf", "one", "two")]
    assert {plugin.name for plugin in ours if plugin.status == "loaded"} == loaded
    assert {plugin.status for plugin in ours if plugin.name not in loaded} <= {"blocked"}


def test_a_blocked_plugin_is_not_imported(install: Install) -> None:
    install("one", "raise SystemExit")
    assert causes(Plugins("-one"), "one") == []


@pytest.mark.parametrize("choice", ["a,-b", "none,a", "none,-a"])
def test_a_choice_that_says_two_things_is_refused(choice: str) -> None:
    with pytest.raises(PluginError, match="name either the plugins to load"):
        Plugins(choice)


def test_a_name_that_nobody_has_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Plugins("rufff").report()
    assert "RRTF_PLUGINS names rufff, and no such plugin is installed" in capsys.readouterr().err
    with pytest.raises(PluginError, match="rufff"):
        Plugins("rufff", strict=True)


# -- Without a package -----------------------------------------------------------------------------------


def test_a_plugin_of_this_process_is_checked_and_replaced_by_its_name() -> None:
    class Mine:
        RRTF_CONTRACT = 1
        loss: Any = print

        @hookimpl
        def rrtf_losses(self) -> dict[str, Any]:
            return {"mine": self.loss}

    class Other(Mine):
        loss = len

    try:
        register(Mine(), "mine")
        assert plugins().registered("loss")["mine"].load() is print
        register(Other(), "mine")
        assert plugins().registered("loss")["mine"].load() is len
        with pytest.raises(PluginError, match=r"loss 'mine' is refused: plugin mine \(this process\) has this name"):
            register(Mine(), "another")
        with pytest.raises(PluginError, match="it does not state which contract it keeps"):
            register(object())
        assert plugins().registered("loss")["mine"].load() is len
    finally:
        plugins.cache_clear()


# -- The commands ----------------------------------------------------------------------------------------

COMMAND = """
from rrtf_trl.plugins.hookspecs import Command

@hookimpl
def rrtf_commands():
    return {"hello": Command("greet, 100% of the time", "rrtf_hello.main:main"), "run": Command("mine", print)}
"""


@pytest.mark.slow
def test_rrtf_lists_and_runs_what_plugins_bring(install: Install, rrtf: Rrtf) -> None:
    install("hello", COMMAND, {"main.py": "def main(arguments):\n    print('hello', *arguments)\n    return 3\n"})
    install("broken", "raise OSError('no disk [bold]')")
    status, output, told = rrtf("hello", "you", "--all")
    assert (status, output) == (3, "hello you --all\n")
    assert told.splitlines() == [
        "rrtf: plugin broken (rrtf-broken 1.2): OSError: no disk [bold]; see `rrtf plugins`",
        "rrtf: plugin hello (rrtf-hello 1.2): command 'run' is refused: rrtf-trl has this name; see `rrtf plugins`",
    ]
    status, output, told = rrtf("--help")
    assert "greet, 100% of the time" in output
    status, output, told = rrtf("plugins")
    assert (status, told) == (1, "")
    for line in ("rrtf 0.1.0  built-in  loaded", "broken 1.2  rrtf-broken  failed", "  command: hello"):
        assert line in output
    assert "OSError: no disk [bold]" in output
    assert "Traceback (most recent call last)" in output
    status, output, told = rrtf("plugins", "--json")
    rows = {row["name"]: row for row in json.loads(output)}
    assert rows["hello"]["hooks"] == ["rrtf_commands"]
    assert rows["hello"]["version"] == "1.2"
    assert "raise OSError" in rows["broken"]["faults"][0]["traceback"]
    assert "feedback" in rows["rrtf"]["config_groups"]
    status, output, told = rrtf("hello", "--strict-plugins")
    assert (status, output) == (1, "")
    assert told == "rrtf: plugin broken (rrtf-broken 1.2): OSError: no disk [bold]\n"
    assert rrtf("plugins", RRTF_PLUGINS="none")[0] == 0
    assert rrtf("doctor", "--help", RRTF_STRICT_PLUGINS="1", RRTF_PLUGINS="none")[0] == 0


def test_rrtf_loads_nothing_heavy_for_a_plugin(install: Install, rrtf: Rrtf, site: Path) -> None:
    install("a", JUDGE.replace("NAME", "a"), {name.replace("NAME", "a"): text for name, text in CONF.items()})
    (site / "rrtf_a" / "judge.py").write_text("import torch\n")
    (site / "sitecustomize.py").write_text(
        "import atexit, sys\natexit.register(lambda: print('loaded', *sorted(sys.modules)))\n"
    )
    _, output, told = rrtf("--help", with_python=sys.executable)
    assert told == ""
    loaded = set(output.splitlines()[-1].split())
    assert "rrtf_a" in loaded
    assert not loaded & {"torch", "hydra", "numpy", "rich", "rrtf_a.judge", "rrtf_a.conf"}
