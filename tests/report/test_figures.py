from xml.etree import ElementTree

from rrtf_trl.report.figures import curve_figure, result_figure

RISEN = {
    "n": 1,
    "decoding": {"temperatures": [0.0]},
    "problems": 200,
    "base": {"value": 0.43, "low": 0.36, "high": 0.5},
    "trained": {"value": 0.95, "low": 0.92, "high": 0.98},
    "gain": {"value": 0.52, "low": 0.45, "high": 0.59},
}


def test_the_result_figure_stands_alone():
    svg = result_figure({"greedy <pass@1>": RISEN})
    assert svg.startswith("<svg xmlns=")
    assert "prefers-color-scheme: dark" in svg
    assert "+52.0 points (+45.0 to +59.0)" in svg
    assert "#0a0a0" not in svg, "every colour follows the reader's setting"
    assert "greedy <pass@1>" in "".join(ElementTree.fromstring(svg).itertext())


def test_a_curve_of_one_point_is_drawn():
    svg = curve_figure("rank_loss", [1], [0.5])
    assert ElementTree.fromstring(svg).get("aria-label") == "rank_loss: from 0.5 to 0.5 in 1 steps"
