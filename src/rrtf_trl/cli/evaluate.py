"""`rrtf evaluate benchmark=...` and `rrtf compare`: configuration and files in, figures out."""

from __future__ import annotations

import time
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
    return hydra_application("evaluate", arguments, "evaluate", evaluation_folder, evaluate_config)


def evaluation_folder(config: DictConfig) -> RunFolder:
    """Return the folder of an evaluation's results."""
    check_benchmark(config)
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    decisive = {key: value for key, value in plain.items() if key not in ("runs_dir", "executor")}
    return RunFolder(Path(config.runs_dir) / f"evaluate-{config.benchmark.name}-{content_hash(decisive)[:8]}")


def evaluate_config(config: DictConfig, folder: RunFolder, command: str) -> None:
    """Measure one model on one benchmark as a configuration says, and write the results to a folder."""
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
        train=config.train or _train_problems_of(model),
        collector=Collector(store, console, executor),
        folder=folder,
        leakage_kinds=list(config.leakage_kinds or []) or _kinds_of_the_run(model),
    )
    try:
        with (
            folder.working(OmegaConf.to_yaml(config, resolve=True), command=command, versions=versions()),
            published(folder),
        ):
            _tell(benchmark.run(versions()), folder, console)
    finally:
        executor.close()
        store.close()
    console.print(f"done in {time.monotonic() - started:.0f} s: {folder / 'results.json'}", highlight=False)


def check_benchmark(config: DictConfig) -> None:
    """Refuse a benchmark whose file is not given."""
    if OmegaConf.is_missing(config.benchmark, "path"):
        name = config.benchmark.name
        raise UserError(f"benchmark={name} needs its file, as published: benchmark.path=FILE (docs/evaluation.md)")


def _train_problems_of(model: str) -> str | None:
    """The training problems of a run, where the model is the policy that it trained."""
    problems = Path(model).parent / "problems.jsonl"
    return str(problems) if Path(model).name == "policy" and problems.is_file() else None


def _kinds_of_the_run(model: str) -> list[str] | None:
    """By what a run looked for held-out problems among its training problems, where the model is its policy."""
    path = Path(model).parent / "config.yaml"
    if Path(model).name != "policy" or not path.is_file():
        return None
    kinds = OmegaConf.select(OmegaConf.load(path), "decontamination.kinds")
    return None if kinds is None else list(kinds)


def _tell(results: dict[str, Any], folder: RunFolder, console: Console) -> None:
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
