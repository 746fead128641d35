"""`rrtf watch`: show the progress of a run in the terminal, read only from the run's folder."""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from rrtf_trl.errors import UserError
from rrtf_trl.monitoring.status_file import FILE
from rrtf_trl.report.examples import clip
from rrtf_trl.report.words import duration
from rrtf_trl.storage.run_folder import RunFolder

_SILENT = 15.0  # seconds without an update after which a process on another machine is shown as silent
_GIVE_UP = 600.0  # seconds without an update after which watching ends
_BETWEEN_LINES = 10.0  # seconds
_CURVES = ("loss", "rank_loss", "sft_loss", "ranking_accuracy", "entropy")
_BLOCKS = "▁▂▃▄▅▆▇█"
_STYLES = {"passed": "green", "partial": "yellow"}


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="rrtf watch", description="Show what a run is doing, updated in the terminal, until it ends."
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="the run's folder; by default the one active last")
    parser.add_argument("--runs-dir", default="runs", metavar="FOLDER", help="where runs are (runs)")
    parser.add_argument("--once", action="store_true", help="show one frame, and do not wait for the run's end")
    options = parser.parse_args(arguments)

    return watch(options.run, options.runs_dir, options.once)


@dataclass
class Snapshot:
    """The state of a run, read from its folder at one time.

    Args:
        folder: The run's folder.
        status: Its ``live.json``.
        notes: The notes of finished stages in ``run.json``, with ``seconds``.
        state: ``running``, ``silent``, ``killed``, ``done``, ``failed`` or ``stopped``.
        now: When it was read, in seconds since 1970.
    """

    folder: RunFolder
    status: dict[str, Any]
    notes: dict[str, dict[str, Any]]
    state: str
    now: float

    @property
    def over(self) -> bool:
        """Whether the run has ended, or has been silent for too long to wait."""
        if self.state == "silent":
            return bool(self.now - self.status["updated"] > _GIVE_UP)
        return self.state != "running"


def watch(run: str | None, runs_dir: str, once: bool) -> int:
    """Show a run until it ends; return the exit status: 0 if it is done, or with ``once``, else 1.

    Watching a run on another machine ends after ten minutes without an update.

    Args:
        run: The run's folder; by default the one in ``runs_dir`` that was active last.
        runs_dir: The folder of the runs.
        once: Show one frame, and do not wait.

    Raises:
        UserError: If there is no such run, or it has no status file.
    """
    folder = RunFolder(run or _newest(runs_dir))
    console = Console(highlight=False)
    snapshot = read(folder)
    if once:
        console.print(frame(snapshot))
        return 0
    try:
        if console.is_terminal:
            with Live(frame(snapshot), console=console, auto_refresh=False) as screen:
                while not snapshot.over:
                    time.sleep(0.5)
                    snapshot = read(folder)
                    screen.update(frame(snapshot), refresh=True)
        else:
            snapshot = _lines(snapshot, console)
    except KeyboardInterrupt:
        console.print("The run continues; only watching it has stopped.")
        return 0
    return 0 if snapshot.state == "done" else 1


def _newest(runs_dir: str) -> Path:
    found = [path for pattern in (f"*/{FILE}", f"*/*/*/{FILE}") for path in Path(runs_dir).glob(pattern)]
    if not found:
        raise UserError(
            f"no run in {runs_dir} has a {FILE}: name the run's folder, or the folder of the runs with --runs-dir"
        )
    return max(found, key=lambda path: path.stat().st_mtime).parent


def read(folder: RunFolder) -> Snapshot:
    """Read the state of a run.

    Raises:
        UserError: If it is not the folder of a run, or has no status file.
    """
    try:
        status = folder.read_json(FILE)
        notes = (folder.read_json("run.json") or {}).get("stages", {})
    except ValueError as error:
        raise UserError(f"{folder.path}: {error}; is it a run's folder?") from None
    if status is None:
        hint = (
            "it is written by `rrtf run` and the other stages" if folder.path.is_dir() else "there is no such folder"
        )
        raise UserError(f"there is no {folder / FILE}: {hint}")
    now = time.time()
    return Snapshot(folder, status, notes, _state(status, now), now)


def _state(status: dict[str, Any], now: float) -> str:
    if status["ended"]:
        return str(status["ended"])
    if status["host"] == socket.gethostname():
        import psutil

        try:  # another process may have the number now
            alive = abs(psutil.Process(status["pid"]).create_time() - status["process_started"]) < 1
        except psutil.Error:
            alive = False
        return "running" if alive else "killed"
    return "running" if now - status["updated"] < _SILENT else "silent"


# -- A frame ---------------------------------------------------------------------------------------------------


def frame(run: Snapshot) -> RenderableType:
    """Return the frame that shows a run."""
    parts: list[RenderableType] = [_head(run), Text()]
    if run.status["stages"]:
        parts.append(_stages(run))
    elif run.status["work"]:
        parts.append(_work(run))
    parts += _round(run)
    parts += _log(run.status["log"])
    if not run.over:
        parts += _samples(run.status["samples"])
        parts += [Text(), _memory(run.status["memory"])]
    results = run.folder.read_json("results.json")
    if run.state == "done" and results and "report" in run.status["stages"]:
        from rrtf_trl.monitoring.results_table import results_table

        parts += [Text(), results_table(results)]
    return Group(*parts)


def _round(run: Snapshot) -> Iterator[RenderableType]:
    """Yield the frame of the active round, if the run has several."""
    stage = run.status["stage"] or ""
    folder = RunFolder(run.folder / "rounds" / stage.removeprefix("round "))
    if stage.startswith("round ") and (folder / FILE).is_file():
        yield Text()
        yield frame(read(folder))


def _head(run: Snapshot) -> Text:
    status, state = run.status, run.state
    took = duration((status["updated"] if run.over else run.now) - status["started"])
    quiet = duration(run.now - status["updated"])
    text = {
        "running": f"running for {took}, process {status['pid']}",
        "silent": f"no update from {status['host']} for {quiet}",
        "killed": f"was killed, after {took}; run the same command to continue",
        "done": f"done in {took}",
        "failed": f"failed after {took}: {clip(status['error'], 2000)}",
        "stopped": f"was stopped after {took}; run the same command to continue",
    }[state]
    style = {"running": "bold", "done": "bold green"}.get(state, "bold red")
    return Text.assemble((f"{run.folder.path}", "bold"), "  ", (text, style))


def _stages(run: Snapshot) -> Table:
    table = Table.grid(padding=(0, 2))
    status = run.status
    order = status["stages"]
    at = order.index(status["stage"]) if status["stage"] in order else len(order)
    for number, name in enumerate(order):
        label = name.replace("_", " ")
        if number < at or run.state == "done":
            seconds = run.notes.get(name, {}).get("seconds")
            table.add_row(Text("✓", "green"), label, Text(duration(seconds) if seconds is not None else "", "dim"))
        elif number == at:
            mark = Text("✗", "red") if run.over else Text("▸", "bold blue")
            table.add_row(mark, Text(label, "bold"), _work(run) if status["work"] else Text("…", "dim"))
        else:
            table.add_row("", Text(label, "dim"), "")
    return table


def _work(run: Snapshot) -> Table:
    """Return the progress of the active stage: a bar, the count, the rate and the time left."""
    work = run.status["work"]
    spent = run.status["updated"] - work["started"]
    rate = work["new"] / spent if work["new"] and spent > 0 else 0.0
    left = (work["total"] - work["done"]) / rate if rate else None
    cells: list[RenderableType] = [
        Text(work["label"]),
        ProgressBar(max(work["total"], 1), work["done"], width=20),
        Text(f"{work['done']:,}/{work['total']:,}"),
        Text(f"{rate:,.1f} {work['unit']}/s" if rate else work["unit"]),
        Text(f"{duration(left)} left" if left and not run.over else "", "dim"),
    ]
    table = Table.grid(padding=(0, 1))
    for _ in cells:
        table.add_column(no_wrap=True)
    table.add_row(*cells)
    return table


def _log(log: list[dict[str, float]]) -> Iterator[RenderableType]:
    """Yield the last values of the training log, each with its curve."""
    curves = [(name, [row[name] for row in log if name in row]) for name in _CURVES]
    table = Table.grid(padding=(0, 2))
    for name, values in curves:
        if values:
            table.add_row(name.replace("_", " "), Text(_sparkline(values[-30:]), "blue"), f"{values[-1]:.4g}")
    if table.row_count:
        yield Rule(f"training, step {log[-1]['step']:g} of {log[-1]['steps']:g}", align="left", style="dim")
        yield table


def _sparkline(values: list[float]) -> str:
    low, high = min(values), max(values)
    top = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round(top * (value - low) / (high - low)) if high > low else 0] for value in values)


def _samples(samples: list[dict[str, Any]]) -> Iterator[RenderableType]:
    """Yield the last candidates. They are untrusted: control characters are shown as symbols."""
    for sample in samples:
        state = sample["state"]
        title = Text.assemble(clip(sample["task_id"], 120), "  ", (clip(sample["source"], 40), "dim"), "  ")
        if state:
            title.append(state.replace("_", " "), _STYLES.get(state, "red"))
        yield Rule(title, align="left", style="dim")
        lines = clip(sample["code"], 900).expandtabs(4).rstrip().splitlines()
        yield Text("\n".join(lines[:8] + (["…"] if len(lines) > 8 else [])), no_wrap=True, overflow="ellipsis")


def _memory(memory: dict[str, Any]) -> Text:
    if not memory:
        return Text()
    text = f"memory {_gib(memory['process'])}"
    if memory["child_processes"]:
        text += f", and {_gib(memory['children'])} in {memory['child_processes']} child processes"
    text += f"; {_gib(memory['machine_free'])} of {_gib(memory['machine'])} free"
    for number, gpu in enumerate(memory.get("gpus", [])):
        text += f"; GPU {number}: {_gib(gpu['used'])} of {_gib(gpu['total'])} used"
    return Text(text, "dim")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


# -- Where there is no terminal ----------------------------------------------------------------------------------


def _lines(run: Snapshot, console: Console) -> Snapshot:
    """Print a line whenever the stage changes, or some seconds have passed, until the run ends."""
    last: tuple[str | None, float] = (None, 0.0)
    while not run.over:
        work = run.status["work"]
        label = work["label"] if work else run.status["stage"]
        if label != last[0] or run.now - last[1] > _BETWEEN_LINES:
            if run.state == "silent":
                console.print(_head(run))
            else:
                console.print(f"{label}: {work['done']}/{work['total']} {work['unit']}" if work else f"{label} ...")
            last = label, run.now
        time.sleep(0.5)
        run = read(run.folder)
    console.print(frame(run))
    return run
