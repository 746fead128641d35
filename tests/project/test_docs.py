"""Every code block and command of the documentation does what it says; ``support.doc_blocks`` has the marks."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.plugins import plugins
from rrtf_trl.problems.files import problem_from_row
from rrtf_trl.sandbox import Job
from support.doc_blocks import MARKERS, PAGES, ROOT, RUN, SHOWN, Block, blocks, spoken_commands, words
from support.doc_commands import check_command, commands_of_the_cli
from support.doc_world import make_run, make_world, put_in, shell_environment

_OURS = re.compile(r"^rrtf (run|sample|feedback|rank|train|evaluate|report|quantize|trl-train)\b")
_CODE = re.compile(r"^(`{3,})[^\n]*\n.*?^\1$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(<?([^)>\s]+)")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(autouse=True)
def own_plugins() -> Iterator[None]:
    """What a page registers is gone after it."""
    yield
    plugins.cache_clear()


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    make_run(folder)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page):
        assert block.language in (*RUN, *SHOWN), f"{block}: of no language that is tested"
        assert set(block.markers) <= set(MARKERS), f"{block}: {block.markers}"
        assert len(block.markers.get("skip", "a reason")) > 5, f"{block}: skipped, but why?"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=ids)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    prose = _CODE.sub("", page.read_text(encoding="utf-8"))
    targets = [target.partition("#")[0] for target in _LINK.findall(prose) if not re.match(r"[a-z]+:", target)]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_command_is_one(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = [block for block in blocks(page) if block.language == "yaml" and "file" in block.markers]
    for block in found:
        write(block, tmp_path)
    (tmp_path / "conf").mkdir(exist_ok=True)
    skipped = [block for block in blocks(page) if block.language == "sh" and "skip" in block.markers]
    said = [command for block in skipped for command in block.commands()] + spoken_commands(page)
    for command in said:
        told = words(put_in(command.replace("$PWD", ".")))
        while told and "=" in told[0] and not told[0].startswith("-"):  # VARIABLE=value rrtf ...
            told = told[1:]
        if told[:1] == ["rrtf"] and told[1:2] != ["NAME"]:
            if len(told) == 2:
                assert told[1] in commands_of_the_cli() | {"--help", "--version"}, command
            elif "-cp" not in told and not names_a_plugin(told):  # what a reader has, and is not here
                check_command(told, capsys)
        elif told[:2] == ["pip", "install"]:
            check_extras(command)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any("skip" not in b.markers for b in blocks(page))], ids=ids
)
def test_a_pages_blocks_run_in_order(
    page: Path, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_world(tmp_path, small_run)
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if "skip" in block.markers:
            continue
        if block.language == "sh":
            run_shell(block, tmp_path)
        elif block.language == "python":
            given = compile(block.markers.get("given", ""), f"{block}, given", "exec")
            exec(given, names)
            exec(compile("\n" * block.line + put_in(block.text), str(block.page), "exec"), names)
        elif block.language == "json":
            check_json(block)
        elif block.language == "yaml":
            write(block, tmp_path)
        elif block.language == "toml":
            tomllib.loads(block.text)


def names_a_plugin(command: list[str]) -> bool:
    """Whether a command chooses a plugin's, or what is called `mine` and does not say where that is."""
    chosen = r"=\S*\bmine\b(?!\.)|^executor=ray$|^sampler=\S*\bvllm\b"
    return "--config-dir" not in command and any(re.search(chosen, word) for word in command)


def run_shell(block: Block, folder: Path) -> None:
    for command in block.commands():
        if command.startswith("pip install"):
            check_extras(command)
            continue
        more = block.markers.get("with", "")
        line = put_in(f"{command} {more}" if more and _OURS.match(put_in(command)) else command)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=folder,
            env=shell_environment(block.page.name),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{block}: {line}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"


def check_extras(command: str) -> None:
    for extra in re.findall(r"rrtf-trl\[([\w,]+)\]", command):
        assert set(extra.split(",")) <= EXTRAS.keys(), command


def check_json(block: Block) -> None:
    decoder, text = json.JSONDecoder(), block.text.strip()
    while text:
        row, end = decoder.raw_decode(text)
        text = text[end:].strip()
        if {"job_id", "tests"} <= row.keys():
            assert Job.from_json(row).job_id == row["job_id"], block
        elif "tests" in row:
            assert problem_from_row(row).task_id == row["task_id"], block


def write(block: Block, folder: Path) -> None:
    target = folder / block.markers["file"]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(put_in(block.text), encoding="utf-8")
