"""All that needs a GPU, in one call of at most eight minutes, as one table with a verdict a line.

    python benchmarks/gpu_checks.py --out FOLDER [--minutes 8] [--only PART ...]
    python benchmarks/gpu_checks.py --out FOLDER --tiny                  # the least sizes, on a processor too

Needs the packages of `rrtf-trl[bnb,deepspeed,dev]`, and `liger-kernel` for the test of it. Each part is a process of
its own with a limit of time, so none takes the others with it; the next one gets ready, without the GPU, while one
runs. A verdict is `ok`, `FAILED`, or `not here` where this machine cannot give one, or the time is up. FOLDER gets the
table, and each part's output as `PART.log`. The exit status is 1 where a part failed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpu.setting import Finding, Setting


@dataclass(frozen=True)
class Part:
    """What is checked in a process.

    Args:
        function: ``module:name`` of a function of a :class:`gpu.setting.Setting` that returns a
            :class:`gpu.setting.Finding`.
        seconds: The limit.
    """

    function: str
    seconds: int


PARTS = {
    "flex": Part("gpu.exactness:flex", 90),
    "budget": Part("gpu.exactness:budget", 60),
    "checkpointing": Part("gpu.exactness:checkpointing", 60),
    "4bit": Part("gpu.exactness:four_bits", 60),
    "no-waiting": Part("gpu.waiting:no_waiting", 60),
    "fsdp2": Part("gpu.one_rank:fsdp2", 75),
    "zero3": Part("gpu.one_rank:zero3", 75),
    "0.5b": Part("gpu.sizes:train_05b", 60),
    "1.5b": Part("gpu.sizes:train_15b", 60),
    "3b": Part("gpu.sizes:train_3b", 75),
    "7b-lora": Part("gpu.sizes:train_7b_lora", 100),
    "7b-4bit": Part("gpu.sizes:train_7b_4bit", 90),
    "sampler": Part("gpu.sizes:sampler", 60),
    "tests": Part("gpu.tests:on_the_gpu", 150),
}
TINY_FACTOR = 4
"""By how much more time a part has with the least sizes: a processor may be slow to load the packages."""
VERDICTS = {True: "ok", False: "FAILED", None: "not here"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the table and each part's output")
    parser.add_argument("--minutes", type=float, default=8, help="time for all of it; with --tiny, no limit")
    parser.add_argument("--only", nargs="+", metavar="PART", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--tiny", action="store_true", help="the least sizes, to try this script without a GPU")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--function", help=argparse.SUPPRESS)
    parser.add_argument("--models", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        run(options)
    else:
        check(options)


# -- All parts -------------------------------------------------------------------------------------------


def check(options: argparse.Namespace) -> None:
    """Run the parts one after the other and print the table."""
    if not (options.tiny or has_gpu()):
        raise SystemExit("no GPU here: these are the checks that need one; --tiny tries them on a processor")
    options.out.mkdir(parents=True, exist_ok=True)
    rows = [("part", "what was measured", "verdict", "seconds"), ("---",) * 4]
    end = float("inf") if options.tiny else time.monotonic() + 60 * options.minutes
    print(line(rows[0]), line(rows[1]), sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as models, ready_in_turn(options, Path(models)) as processes:
        for name, process in processes:
            limit = min(PARTS[name].seconds * (TINY_FACTOR if options.tiny else 1), end - time.monotonic())
            start = time.monotonic()
            measured, ok = "no time left", None
            if limit > 0:
                measured, ok = outcome(name, process, limit, options.out)
            rows.append((name, measured, VERDICTS[ok], f"{time.monotonic() - start:.0f}"))
            print(line(rows[-1]), flush=True)
    (options.out / "table.md").write_text("\n".join(map(line, rows)) + "\n", encoding="utf-8")
    failed = [name for name, _, verdict, _ in rows if verdict == "FAILED"]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


@contextmanager
def ready_in_turn(options: argparse.Namespace, models: Path) -> Iterator[Iterator[tuple[str, subprocess.Popen[str]]]]:
    """Give the processes of all parts, each of which loads the packages while the one before it is in use."""
    running: list[subprocess.Popen[str]] = []

    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, __file__, "--out", str(options.out), "--models", str(models)]
        command += ["--part", name, "--function", PARTS[name].function, *(["--tiny"] if options.tiny else [])]
        quiet = {"TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error"}
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", **quiet}
        (options.out / f"{name}.json").unlink(missing_ok=True)
        with (options.out / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, env=environment,
                start_new_session=True,
            )  # fmt: skip
        running.append(process)
        return process

    def in_turn() -> Iterator[tuple[str, subprocess.Popen[str]]]:
        upcoming = start(options.only[0])
        for name, following in zip(options.only, [*options.only[1:], None], strict=True):
            process = upcoming
            if following:
                upcoming = start(following)
            yield name, process
            stop(process)

    try:
        yield in_turn()
    finally:
        for process in running:
            stop(process)


def outcome(name: str, process: subprocess.Popen[str], limit: float, out: Path) -> tuple[str, bool | None]:
    """Let a part's process work; return what it measured and its verdict."""
    try:
        process.communicate("go\n", timeout=limit)
    except subprocess.TimeoutExpired:
        return f"not done in {limit:.0f} s", False
    except BrokenPipeError:
        process.wait()
    try:
        found = json.loads((out / f"{name}.json").read_text())
    except FileNotFoundError:
        return f"ended with status {process.returncode}: see {name}.log", False
    return str(found["measured"]), found["ok"]


def stop(process: subprocess.Popen[str]) -> None:
    """End a part's process, and those that it started; a launcher needs a moment to end its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(timeout=10)


def line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def has_gpu() -> bool:
    import torch  # heavy

    return torch.cuda.is_available()


# -- One part, in its process ----------------------------------------------------------------------------


def run(options: argparse.Namespace) -> None:
    """Load what a part needs, wait for its turn, and leave what it found."""
    module, _, function = options.function.partition(":")
    part: Any = getattr(importlib.import_module(module), function)
    if not sys.stdin.readline():  # nobody is left to read what would be found
        return
    try:
        finding = part(Setting(options.models, options.tiny))
    except Exception as error:
        traceback.print_exc()
        text = " ".join(str(error).split())
        finding = Finding(f"{type(error).__name__}: {text[:300]}", False)
    (options.out / f"{options.part}.json").write_text(json.dumps(asdict(finding)))


if __name__ == "__main__":
    main()
