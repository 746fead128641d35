"""The report of a sweep, from folders as a sweep leaves them; and of a real one, by the command."""

import csv
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.cli.sweep_report import sweep_report
from rrtf_trl.errors import UserError
from rrtf_trl.statistics.pass_at_k import mean_interval
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.sweeps.effects import effects
from rrtf_trl.sweeps.folder import JobFolder, JobNote, job_name
from rrtf_trl.sweeps.table import read_sweep

HOSTILE = "<script>alert(1)</script>"
PROBLEMS = 40


def add_job(sweep: Path, settings: dict[str, Any], solved: int | None, error: str | None = None) -> None:
    """Write a job's folder and its run's; ``solved`` problems of 40, or ``None`` for a job that failed."""
    varied = [f"{key}={value}" for key, value in settings.items()]
    job = JobFolder(sweep / job_name(varied))
    run = RunFolder(sweep.parents[1] / f"run-{job.path.name}")
    job.write(
        JobNote(varied, varied, f"rrtf run {' '.join(varied)} api_key=abc", "l", f"../../../{run.path.name}", error)
    )
    if solved is None:
        run.describe(outcome={"state": "failed", "error": error})
        return
    run.describe(outcome={"state": "done"})
    run.note("train", seconds=12.5)
    counts = {f"t/{index}": [1, int(index < solved)] for index in range(PROBLEMS)}
    run.write_json("evaluation/trained.json", {"greedy": {"n": 1, "counts": counts}})
    estimate = mean_interval([c for _, c in counts.values()]).__dict__
    run.write_json("results.json", {"greedy pass@1": {"trained": estimate, "base": estimate, "gain": estimate}})
    with run.writing("report.html") as file:
        file.write("a run")


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "sweeps" / "mine"
    for weight, better in ((0.1, 0), (1, 10), (10, 2)):
        for seed in (1, 2):
            add_job(folder, {"trainer.rank_weight": weight, "ranking": "rltf", "seed": seed}, 20 + better + seed)
    add_job(folder, {"trainer.rank_weight": -1, "ranking": "rltf", "seed": 1}, None, f"negative {HOSTILE}")
    return folder


def test_the_table_says_what_differed_and_what_was_best(sweep: Path) -> None:
    table = read_sweep(sweep)
    assert table.settings == ["trainer.rank_weight", "seed"], "the ranking is the same in all"
    assert table.figures == ["greedy pass@1"]
    best = table.measured[0]
    assert best.settings == {"trainer.rank_weight": 1.0, "seed": 2.0}
    assert best.figures["greedy pass@1"]["value"] == 32 / PROBLEMS
    assert table.as_good == 1, "31 of 40 is not told from 32, 24 is: the eight problems between are all lost"
    assert [row.state for row in table.rows] == ["done"] * 6 + ["failed"]


def test_marginal_means_are_of_the_runs_that_share_a_value(sweep: Path) -> None:
    found = effects(read_sweep(sweep))
    weights = found["trainer.rank_weight"]
    assert [(level.label, level.runs) for level in weights] == [("0.1", 2), ("1", 2), ("10", 2)]
    assert [level.mean.value * PROBLEMS for level in weights] == pytest.approx([21.5, 31.5, 23.5])
    assert [level.mean.value * PROBLEMS for level in found["seed"]] == pytest.approx([25, 26])
    for level in [*weights, *found["seed"]]:
        assert level.mean.low < level.mean.value < level.mean.high
        if level.runs == 2:  # about a binomial's: the two runs have nearly the same problems right
            spread = 1.96 * math.sqrt(level.mean.value * (1 - level.mean.value) / PROBLEMS)
            assert (level.mean.high - level.mean.low) / 2 == pytest.approx(spread, rel=0.2)
    assert found["seed"][0].mean.high - found["seed"][0].mean.low > 2 * spread, "runs of other weights lie far apart"


def test_a_searched_number_is_cut_into_ranges(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "sweeps" / "search"
    for index in range(12):
        add_job(folder, {"trainer.learning_rate": 10.0 ** -(index + 1)}, 30 - index)
    (levels,) = effects(read_sweep(folder)).values()
    assert [level.runs for level in levels] == [3, 3, 3, 3]
    assert levels[0].label == "1e-12 to 1e-10"


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [
            value for name, value in attrs if name in ("href", "src") and value and not value.startswith("#")
        ]


def test_the_page_shows_all_jobs_and_runs_no_script_of_theirs(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep_report(str(sweep)) == 0
    text = (sweep / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert "script" not in page.tags
    assert "svg" in page.tags
    assert "Best greedy pass@1 of 6 runs: 80.0%" in text
    assert "1 other run is not clearly worse" in text
    assert "negative &lt;script&gt;" in text
    assert "rrtf run trainer.rank_weight=-1 ranking=rltf seed=1 api_key=(hidden)" in text
    assert "abc" not in text
    reports = [link for link in page.links if not link.startswith("https://arxiv.org")]
    assert len(reports) == 6
    assert "#0a0a0" not in text
    output = capsys.readouterr().out
    assert "7 jobs" in output
    assert "failed" in output


def test_csv_and_parquet_hold_the_same_rows(sweep: Path) -> None:
    import pyarrow.parquet as pq

    sweep_report(str(sweep))
    with (sweep / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = pq.read_table(sweep / "runs.parquet").to_pylist()
    assert len(rows) == len(columns) == 7
    for row, column in zip(rows, columns, strict=True):
        assert row["job"] == column["job"]
        assert float(row["trainer.rank_weight"]) == column["trainer.rank_weight"]
        assert (row["greedy pass@1"] or None) == (
            None if column["greedy pass@1"] is None else str(column["greedy pass@1"])
        )
    assert rows[-1]["error"] == f"negative {HOSTILE}"


def test_jobs_without_figures_and_folders_without_jobs(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "sweeps" / "failed"
    add_job(folder, {"seed": 1}, None, "no")
    assert sweep_report(str(folder)) == 0
    assert "No run of this sweep has figures yet" in (folder / "report.html").read_text()
    with pytest.raises(UserError, match="no jobs of a sweep"):
        sweep_report(str(tmp_path))
