"""`rrtf evaluate benchmark=...`: measure one model on one benchmark."""

from __future__ import annotations

import time
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any, cast

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from rrtf_trl.assets import model_path
from rrtf_trl.config.instantiate import build_evaluation, check_choices, quiet_libraries
from rrtf_trl.config.types import check_types
from rrtf_trl.errors import UserError
from rrtf_trl.monitoring.evaluation_tables import (
    failure_rows,
    figure_rows,
    markdown_table,
    terminal_table,
)
from rrtf_trl.monitoring.status_file import published
from rrtf_trl.pipeline.benchmark import Benchmark
from rrtf_trl.pipeline.collector import Collector
from rrtf_trl.records import content_hash
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.store import Store
from rrtf_trl.storage.versions import versions

from .hydra_command import hydra_application


def main(arguments: list[str]) -> int:
    """Run `rrtf evaluate benchmark=...`; return the exit status."""
    folder_of = partial(benchmark_folder, "evaluate", ("runs_dir", "executor"))
    return hydra_application("evaluate", arguments, "evaluate", folder_of, evaluate_config)


def benchmark_folder(command: str, not_decisive: Collection[str], config: DictConfig) -> RunFolder:
    """Return the folder of a command's results on a benchmark; the same configuration gives the same folder.

    Args:
        command: The command's name.
        not_decisive: Keys that do not change the folder.
        config: The configuration.

    Raises:
        UserError: If the benchmark's file is not set.
    """
    name = config.benchmark.name
    if OmegaConf.is_missing(config.benchmark, "path"):
        raise UserError(f"benchmark={name} needs its file, as published: benchmark.path=FILE (docs/evaluation.md)")
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    decisive = {key: value for key, value in plain.items() if key not in not_decisive}
    return RunFolder(Path(config.runs_dir) / f"{command}-{name}-{content_hash(decisive)[:8]}")


def evaluate_config(config: DictConfig, folder: RunFolder, command: str) -> None:
    """Measure a model on a benchmark, and write the results to a folder."""
    started = time.monotonic()
    console = Console(soft_wrap=True)
    console.print(f"evaluation: {folder.path}", highlight=False)
    problems = cast(dict[str, Any], OmegaConf.to_container(config.benchmark, resolve=True))
    name = problems.pop("name")
    quiet_libraries()
    check_types(config)
    check_choices(config)
    store = Store(Path(config.runs_dir) / "store.sqlite")
    executor = instantiate(config.executor, _convert_="all")
    model = model_path(config.model.path)
    benchmark = Benchmark(
        name=name,
        problems=instantiate(problems, _convert_="all"),
        model=model,
        model_name=config.model.path,
        evaluation=build_evaluation(config),
        tests=instantiate(config.feedback.unit_tests, _convert_="all"),
        train=config.train or _train_problems(model),
        collector=Collector(store, console, executor),
        folder=folder,
        leakage_kinds=list(config.leakage_kinds or []) or _leakage_kinds(model),
        chat_template_kwargs=cast(Any, OmegaConf.to_container(config, resolve=True))["model"]["chat_template_kwargs"],
    )
    try:
        with (
            folder.working(OmegaConf.to_yaml(config, resolve=True), command=command, versions=versions()),
            published(folder),
        ):
            _print_results(benchmark.run(versions()), folder, console)
    finally:
        executor.close()
        store.close()
    console.print(f"done in {time.monotonic() - started:.0f} s: {folder / 'results.json'}", highlight=False)


def _train_problems(model: str) -> str | None:
    """Return the training problems of the run whose policy the model is, or ``None``."""
    problems = Path(model).parent / "problems.jsonl"
    return str(problems) if Path(model).name == "policy" and problems.is_file() else None


def _leakage_kinds(model: str) -> list[str] | None:
    """Return the ``decontamination.kinds`` of the run whose policy the model is, or ``None``."""
    path = Path(model).parent / "config.yaml"
    if Path(model).name != "policy" or not path.is_file():
        return None
    kinds = OmegaConf.select(OmegaConf.load(path), "decontamination.kinds")
    return None if kinds is None else list(kinds)


def _print_results(results: dict[str, Any], folder: RunFolder, console: Console) -> None:
    benchmark, figures = results["benchmark"], results["figures"]
    first: dict[str, Any] = next(iter(figures.values()), {})
    title = (
        f"{benchmark['name']}, {benchmark['problems']} problems, asked as {first.get('prompt_form')}: "
        f"{first.get('model')} ({first.get('model_hash')}), with 95% intervals"
    )
    head, rows = figure_rows(figures)
    console.print(terminal_table(title, head, rows))
    failed_head, failed = failure_rows(results["failures"])
    if failed:
        console.print(terminal_table("samples that failed", failed_head, failed, left=2))
    with folder.writing("results.md") as file:
        file.write(f"{title}\n\n{markdown_table(head, rows)}")
        if failed:
            file.write(f"\nSamples that failed:\n\n{markdown_table(failed_head, failed)}")
