import io

import pytest
from rich.console import Console

from rrtf_trl.monitoring.results_table import figure_label, interval, results_table

ROW = {
    "n": 8,
    "problems": 200,
    "decoding": {"temperatures": [0.8], "top_ps": [1.0]},
    "base": {"value": 0.344, "low": 0.3, "high": 0.39},
    "trained": {"value": 0.8, "low": 0.75, "high": 0.849},
    "gain": {"value": 0.456, "low": 0.4, "high": 0.51},
}


def test_a_figure_is_named_with_its_decoding() -> None:
    assert figure_label("greedy pass@1", ROW) == "pass@1, greedy"
    assert figure_label("sampled pass@4", ROW) == "pass@4, n=8, T=0.8"
    nucleus = {**ROW, "decoding": {"temperatures": [0.2], "top_ps": [0.95]}}
    assert figure_label("sampled pass@1", nucleus) == "pass@1, n=8, T=0.2, top_p=0.95"


def test_an_interval_is_told_in_percent() -> None:
    assert interval(ROW["base"]) == "34.4 (30.0-39.0)"  # type: ignore[arg-type]
    assert interval({"value": -0.01, "low": -0.05, "high": 0.03}, sign=True) == "-1.0 (-5.0 to +3.0)"


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_a_narrow_terminal(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    console.print(results_table({"greedy pass@1": ROW, "sampled pass@1": ROW}))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    for part in ("200 held-out problems", "pass@1, n=8, T=0.8", "34.4 (30.0-39.0)", "+45.6 (+40.0 to +51.0)"):
        assert part in text
