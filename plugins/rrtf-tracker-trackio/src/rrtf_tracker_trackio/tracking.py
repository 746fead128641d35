"""Logs a run to trackio; each step is logged once, even if the run was stopped and continued."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import trackio
from markupsafe import Markup
from transformers import TrainerCallback

from rrtf_trl.records import content_hash
from rrtf_trl.report import Section
from rrtf_trl.storage.run_folder import RunFolder

FILE = "trackio.json"
"""A file in the run's folder: the project, name and Space at trackio, and the last logged step."""


def callback(run: RunFolder, config: Mapping[str, Any]) -> TrainerCallback:
    """Return a callback that logs the trainer's logs."""
    return _Tracking(run, config)


class _Tracking(TrainerCallback):
    """Logs each step that was not logged yet; a run that continues from a checkpoint repeats some."""

    def __init__(self, run: RunFolder, config: Mapping[str, Any]) -> None:
        self.run, self.config = run, config
        self._done = 0  # the last step that earlier starts logged

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin or continue the run at trackio, in the first of several training processes."""
        if not state.is_world_process_zero:
            return
        noted = self.run.read_json(FILE) or {}
        if state.global_step == 0 and noted.get("step"):
            # The training begins again with other rows: the logged steps are of another training.
            noted["attempt"] = noted.get("attempt", 1) + 1
            noted["step"] = 0
        self._done = noted.get("step", 0)
        self.run.write_json(FILE, {**noted, **_place(self.run, noted.get("attempt", 1))})
        _init(self.run, self.config)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Log a step's numbers: losses, an evaluation, or the summary at the end."""
        if state.is_world_process_zero and state.global_step > self._done:
            noted = self.run.read_json(FILE)
            numbers = {
                f"train/{name}": value for name, value in (logs or {}).items() if isinstance(value, int | float)
            }
            trackio.log(numbers, step=state.global_step)
            self.run.write_json(FILE, {**noted, "step": state.global_step})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Finish the run at trackio."""
        if state.is_world_process_zero:
            trackio.finish()


def log_results(run: RunFolder, config: Mapping[str, Any]) -> None:
    """Log the figures before and after training, once."""
    results, noted = run.read_json("results.json"), run.read_json(FILE)
    if not results or not noted or noted.get("results") == content_hash(results):
        return
    figures = {
        f"{name}/{when}": row[which]["value"]
        for name, row in results.items()
        for when, which in (("before", "base"), ("after", "trained"), ("gain", "gain"))
    }
    _init(run, config)
    trackio.log(figures, step=noted.get("step", 0))
    trackio.finish()
    run.write_json(FILE, {**noted, "results": content_hash(results)})


def section(run: RunFolder) -> Section | None:
    """Return a section that shows where the run is, or ``None`` if it was not logged."""
    noted = run.read_json(FILE)
    if not noted:
        return None
    shown = Markup("<p>Run <b>{}</b> of project <b>{}</b>: <code>trackio show --project {}</code></p>").format(
        noted["name"], noted["project"], noted["project"]
    )
    if noted["space"]:
        address = f"https://huggingface.co/spaces/{noted['space']}"
        shown += Markup('<p><a href="{}" rel="noreferrer">{}</a></p>').format(address, address)
    return Section("On the dashboard", shown)


def _place(run: RunFolder, attempt: int) -> dict[str, Any]:
    name = run.path.resolve().name + (f"-{attempt}" if attempt > 1 else "")
    project = os.environ.get("TRACKIO_PROJECT", "rrtf-trl")
    return {"project": project, "name": name, "space": os.environ.get("TRACKIO_SPACE_ID")}


def _init(run: RunFolder, config: Mapping[str, Any]) -> None:
    noted = run.read_json(FILE)
    trackio.init(
        project=noted["project"],
        name=noted["name"],
        space_id=noted["space"],
        config=_flat(config),
        resume="allow",
        embed=False,
    )


def _flat(node: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return a configuration as dotted names and plain values, without names that suggest secrets."""
    found: dict[str, Any] = {}
    for name, value in node.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{path}{name}.")
        elif not any(word in str(name).lower() for word in ("key", "token", "secret", "password")):
            found[f"{path}{name}"] = value if isinstance(value, int | float | str | None) else str(value)
    return found
