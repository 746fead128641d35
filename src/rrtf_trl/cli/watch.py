"""`rrtf watch`: what a run is doing, live in the terminal, read from its folder alone."""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live as Screen
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from rrtf_trl.errors import UserError
from rrtf_trl.monitoring.status_file import FILE
from rrtf_trl.report.examples import clip
from rrtf_trl.report.words import duration
from rrtf_trl.storage.run_folder import RunFolder

_SILENT = 15.0  # seconds without a sign of life after which a process on another machine may be gone: it is told so
_GONE = 600.0  # seconds after which it is not waited for any more
_BETWEEN_LINES = 10.0
_CURVES = ("loss", "rank_loss", "sft_loss", "ranking_accuracy", "entropy")
_BLOCKS = "▁▂▃▄▅▆▇█"
_STYLES = {"passed": "green", "partial": "yellow"}


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="rrtf watch", description="Show what a run is doing, live in the terminal, until it ends."
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="the run's folder; by default the one at work last")
    parser.add_argument("--runs-dir", default="runs", metavar="FOLDER", help="where runs are (runs)")
    parser.add_argument("--once", action="store_true", help="show one frame, and do not wait for the run's end")
    options = parser.parse_args(arguments)

    return watch(options.run, options.runs_dir, options.once)


@dataclass
class Moment:
    """What a run's folder says at one moment.

    Args:
        folder: The run's folder.
        live: Its ``live.json``.
        notes: The notes of finished stages in ``run.json``, with ``seconds``.
        state: ``running``, ``silent``, ``killed``, ``done``, ``failed`` or ``stopped``.
        now: When it was read, in seconds since 1970.
    """

    folder: RunFolder
    live: dict[str, Any]
    notes: dict[str, dict[str, Any]]
    state: str
    now: float

    @property
    def over(self) -> bool:
        """Whether nobody works on the run any more, as far as anyone can tell."""
        if self.state == "silent":
            return bool(self.now - self.live["updated"] > _GONE)
        return self.state != "running"


def watch(run: str | None, runs_dir: str, once: bool) -> int:
    """Show a run until it ends; return the exit status: 0 if it is done, or ``once`` was said, else 1.

    A run on another machine of which nothing is heard for ten minutes is not waited for any longer.

    Args:
        run: The run's folder; by default the one in ``runs_dir`` that was at work last.
        runs_dir: Where runs are.
        once: Show one frame, and do not wait.

    Raises:
        UserError: If there is no such run, or none that tells what it does.
    """
    folder = RunFolder(run or _newest(runs_dir))
    console = Console(highlight=False)
    moment = read(folder)
    if once:
        console.print(frame(moment))
        return 0
    try:
        if console.is_terminal:
            with Screen(frame(moment), console=console, auto_refresh=False) as screen:
                while not moment.over:
                    time.sleep(0.5)
                    moment = read(folder)
                    screen.update(frame(moment), refresh=True)
        else:
            moment = _lines(moment, console)
    except KeyboardInterrupt:
        console.print("The run goes on; this only stopped watching it.")
        return 0
    return 0 if moment.state == "done" else 1


def _newest(runs_dir: str) -> Path:
    found = [path for pattern in (f"*/{FILE}", f"*/*/*/{FILE}") for path in Path(runs_dir).glob(pattern)]
    if not found:
        raise UserError(f"no run in {runs_dir} tells what it does: name its folder, or where runs are with --runs-dir")
    return max(found, key=lambda path: path.stat().st_mtime).parent


def read(folder: RunFolder) -> Moment:
    """Return what a run's folder says now.

    Raises:
        UserError: If it is no folder of a run, or of one that does not tell what it does.
    """
    try:
        live = folder.read_json(FILE)
        notes = (folder.read_json("run.json") or {}).get("stages", {})
    except ValueError as error:
        raise UserError(f"{folder.path}: {error}; is it a run's folder?") from None
    if live is None:
        hint = (
            "it is written by `rrtf run` and the other stages" if folder.path.is_dir() else "there is no such folder"
        )
        raise UserError(f"{folder / FILE} is not there: {hint}")
    now = time.time()
    return Moment(folder, live, notes, _state(live, now), now)


def _state(live: dict[str, Any], now: float) -> str:
    if live["ended"]:
        return str(live["ended"])
    if live["host"] == socket.gethostname():
        import psutil

        try:  # another process may have got the number since
            alive = abs(psutil.Process(live["pid"]).create_time() - live["process_started"]) < 1
        except psutil.Error:
            alive = False
        return "running" if alive else "killed"
    return "running" if now - live["updated"] < _SILENT else "silent"


# -- A frame ---------------------------------------------------------------------------------------------------


def frame(moment: Moment) -> RenderableType:
    """Return all that is shown of a moment."""
    parts: list[RenderableType] = [_head(moment), Text()]
    if moment.live["stages"]:
        parts.append(_stages(moment))
    elif moment.live["work"]:
        parts.append(_work(moment))
    parts += _round(moment)
    parts += _log(moment.live["log"])
    if not moment.over:
        parts += _samples(moment.live["samples"])
        parts += [Text(), _memory(moment.live["memory"])]
    results = moment.folder.read_json("results.json")
    if moment.state == "done" and results and "report" in moment.live["stages"]:
        from rrtf_trl.monitoring.results_table import results_table

        parts += [Text(), results_table(results)]
    return Group(*parts)


def _round(moment: Moment) -> Iterator[RenderableType]:
    """Yield the frame of the round at work, where the run goes in rounds."""
    stage = moment.live["stage"] or ""
    folder = RunFolder(moment.folder / "rounds" / stage.removeprefix("round "))
    if stage.startswith("round ") and (folder / FILE).is_file():
        yield Text()
        yield frame(read(folder))


def _head(moment: Moment) -> Text:
    live, state = moment.live, moment.state
    took = duration((live["updated"] if moment.over else moment.now) - live["started"])
    quiet = duration(moment.now - live["updated"])
    told = {
        "running": f"running for {took}, process {live['pid']}",
        "silent": f"no sign of life from {live['host']} for {quiet}",
        "killed": f"was killed, after {took}; the same command goes on from there",
        "done": f"done in {took}",
        "failed": f"failed after {took}: {clip(live['error'], 2000)}",
        "stopped": f"was stopped after {took}; the same command goes on from there",
    }[state]
    style = {"running": "bold", "done": "bold green"}.get(state, "bold red")
    return Text.assemble((f"{moment.folder.path}", "bold"), "  ", (told, style))


def _stages(moment: Moment) -> Table:
    table = Table.grid(padding=(0, 2))
    live = moment.live
    order = live["stages"]
    at = order.index(live["stage"]) if live["stage"] in order else len(order)
    for number, name in enumerate(order):
        label = name.replace("_", " ")
        if number < at or moment.state == "done":
            seconds = moment.notes.get(name, {}).get("seconds")
            table.add_row(Text("✓", "green"), label, Text(duration(seconds) if seconds is not None else "", "dim"))
        elif number == at:
            mark = Text("✗", "red") if moment.over else Text("▸", "bold blue")
            table.add_row(mark, Text(label, "bold"), _work(moment) if live["work"] else Text("…", "dim"))
        else:
            table.add_row("", Text(label, "dim"), "")
    return table


def _work(moment: Moment) -> Table:
    """Return what is counted in the stage at work: a bar, the count, the rate and the time that is left."""
    work = moment.live["work"]
    spent = moment.live["updated"] - work["started"]
    rate = work["new"] / spent if work["new"] and spent > 0 else 0.0
    left = (work["total"] - work["done"]) / rate if rate else None
    cells: list[RenderableType] = [
        Text(work["label"]),
        ProgressBar(max(work["total"], 1), work["done"], width=20),
        Text(f"{work['done']:,}/{work['total']:,}"),
        Text(f"{rate:,.1f} {work['unit']}/s" if rate else work["unit"]),
        Text(f"{duration(left)} left" if left and not moment.over else "", "dim"),
    ]
    table = Table.grid(padding=(0, 1))
    for _ in cells:
        table.add_column(no_wrap=True)
    table.add_row(*cells)
    return table


def _log(log: list[dict[str, float]]) -> Iterator[RenderableType]:
    """Yield the last values of training's log, each with its curve so far."""
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
    """Yield the last answers. They are a model's words: what would steer a terminal is shown as signs."""
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
    told = f"memory {_gib(memory['process'])}"
    if memory["child_processes"]:
        told += f", and {_gib(memory['children'])} in {memory['child_processes']} processes of its own"
    told += f"; {_gib(memory['machine_free'])} of {_gib(memory['machine'])} free"
    for number, gpu in enumerate(memory.get("gpus", [])):
        told += f"; GPU {number}: {_gib(gpu['used'])} of {_gib(gpu['total'])} used"
    return Text(told, "dim")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


# -- Where there is no terminal ----------------------------------------------------------------------------------


def _lines(moment: Moment, console: Console) -> Moment:
    """Print a line whenever the stage changes, or some seconds have passed, until the run ends."""
    last: tuple[str | None, float] = (None, 0.0)
    while not moment.over:
        work = moment.live["work"]
        label = work["label"] if work else moment.live["stage"]
        if label != last[0] or moment.now - last[1] > _BETWEEN_LINES:
            if moment.state == "silent":
                console.print(_head(moment))
            else:
                console.print(f"{label}: {work['done']}/{work['total']} {work['unit']}" if work else f"{label} ...")
            last = label, moment.now
        time.sleep(0.5)
        moment = read(moment.folder)
    console.print(frame(moment))
    return moment
