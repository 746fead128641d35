"""Held-out problems before and after: how they are spread, sampled, and marked where they differ."""

import json
from collections import Counter

import pytest

from rrtf_trl.report import write_report
from rrtf_trl.report.differences import marked
from rrtf_trl.report.distributions import _ks, drift, pass_curves, quantile, scored_pairs, spreads
from rrtf_trl.report.heldout import KINDS, changes
from rrtf_trl.storage.run_folder import RunFolder

HOSTILE = "<script>document.title='owned'</script>"


def sample(task, passed, code="return 1\n", score=None, finish="stop"):
    state = "passed" if passed else "partial"
    return {
        "task_id": task, "completion": code, "solution": code, "response": code, "passed": passed, "result": state,
        "state": state, "message": HOSTILE, "score": float(passed) if score is None else score,
        "finish_reason": finish,
    }  # fmt: skip


def jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def measured(tmp_path):
    """A run's folder with 200 held-out problems: 100 fixed, 50 still wrong, 50 solved both times."""
    tasks = [f"h/{number}" for number in range(200)]
    prompts = [f'"""Task {task} {HOSTILE}"""\ndef f():\n' for task in tasks]
    jsonl(
        tmp_path / "heldout.jsonl",
        [{"task_id": task, "prompt": prompt} for task, prompt in zip(tasks, prompts, strict=True)],
    )
    solved = {"base": range(150, 200), "trained": [*range(100), *range(150, 200)]}
    for which, passing in solved.items():
        greedy = [sample(task, number in passing, f"return {which!r}\n") for number, task in enumerate(tasks)]
        jsonl(tmp_path / f"evaluation/{which}.greedy.jsonl", greedy)
        draws = [
            sample(task, number in passing and draw == 0, "x" * (10 + 10 * (which == "trained")), finish="length")
            for number, task in enumerate(tasks)
            for draw in range(4)
        ]
        jsonl(tmp_path / f"evaluation/{which}.sampled.jsonl", draws)
        counts = {
            "greedy": {task: [1, int(number in passing)] for number, task in enumerate(tasks)},
            "sampled": {task: [4, int(number in passing)] for number, task in enumerate(tasks)},
        }
        found = {name: {"n": 1 if name == "greedy" else 4, "counts": count} for name, count in counts.items()}
        (tmp_path / f"evaluation/{which}.json").write_text(json.dumps(found))
    return RunFolder(tmp_path)


def test_all_problems_are_counted_and_a_bounded_sample_is_shown(measured):
    counts, shown = changes(measured)
    assert counts == {"fixed": 100, "still wrong": 50, "solved both times": 50}
    assert Counter(change.kind for change in shown) == {
        kind: limit for kind, limit in KINDS.items() if kind != "broken"
    }
    assert changes(measured) == (counts, shown), "the same files, the same sample"
    numbers = [int(change.task_id[2:]) for change in shown if change.kind == "fixed"]
    assert numbers == sorted(numbers)
    assert max(numbers) > KINDS["fixed"], "not the first of the file"
    assert shown[0].sampled == ("0/4", "1/4")
    assert shown[0].title == f"Task {shown[0].task_id} {HOSTILE}"


def test_pass_at_k_over_k(measured):
    (curve,) = pass_curves(measured)
    assert (curve.name, curve.ks) == ("sampled", [1, 2, 3, 4])
    before, after = ([point["value"] for point in curve.estimates[side]] for side in ("before", "after"))
    assert before == pytest.approx([0.0625, 0.125, 0.1875, 0.25])  # a quarter of the problems, one of four passes
    assert after == pytest.approx([0.1875, 0.375, 0.5625, 0.75])
    assert curve.estimates["after"][1]["low"] < 0.375 < curve.estimates["after"][1]["high"]


@pytest.mark.parametrize(("n", "least"), [(1, 1), (8, 8), (200, 11), (10_000, 11)])
def test_a_curve_has_few_points_from_one_to_n(n, least):
    ks = _ks(n)
    assert ks[0] == 1
    assert ks[-1] == n
    assert least <= len(ks) <= 12
    assert ks == sorted(set(ks))


def test_lengths_and_scores_before_and_after(measured):
    found = spreads(measured)
    assert [(spread.measurement, spread.which, spread.total) for spread in found] == [
        ("greedy", "before", 200), ("greedy", "after", 200), ("sampled", "before", 800), ("sampled", "after", 800),
    ]  # fmt: skip
    last = drift(found)[-1]
    assert (last["median"], last["change"], last["cut_off"]) == (20, pytest.approx(100), 800)
    assert drift(found)[0]["change"] is None
    assert scored_pairs(found)["greedy"]["before"] == [0.75, 0, 0, 0, 0, 0.25]


def test_files_of_before_scores_were_kept_are_read(measured):
    for path in (measured / "evaluation").glob("*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        jsonl(path, [{k: v for k, v in row.items() if k not in ("score", "finish_reason")} for row in rows])
    found = spreads(measured)
    assert scored_pairs(found) == {}
    assert drift(found)[0]["cut_off"] is None


@pytest.mark.parametrize(
    ("lengths", "share", "expected"),
    [({}, 0.5, None), ({7: 1}, 0.1, 7), ({1: 5, 9: 5}, 0.9, 9), ({1: 9, 9: 1}, 0.5, 1)],
)
def test_quantiles(lengths, share, expected):
    assert quantile(Counter(lengths), share) == expected


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        ("if x >= k:\n", "if x > k:\n", "if x &gt;<mark>=</mark> k:\n"),
        ("a = 1\nb = 2\n", "a = 1\n", "a = 1\n<mark>b = 2</mark>\n"),
        ("same <b>\n", "same <b>\n", "same &lt;b&gt;\n"),
        ("    return <x>\n", "", "    <mark>return &lt;x&gt;</mark>\n"),
    ],
)
def test_what_the_other_does_not_have_is_marked(text, other, expected):
    assert marked(text, other) == expected


@pytest.mark.slow
def test_a_text_has_a_bounded_number_of_marks():
    text = "".join(f"a{number} b\n" for number in range(200))
    assert marked(text, "b\n" * 200).count("<mark>") <= 40


@pytest.mark.slow
def test_the_page_in_a_browser(measured, open_browser):
    browser = open_browser(width=1200)
    browser.get(write_report(measured.path).as_uri())
    assert browser.title.endswith("rrtf-trl run"), "no script of an answer has run"
    rows = browser.find_elements("css selector", "details.row")
    assert len(rows) == 70
    assert sum(row.is_displayed() for row in rows) == 70
    browser.find_element("id", "kind-3").click()
    shown = [row for row in rows if row.is_displayed()]
    assert len(shown) == KINDS["still wrong"]
    assert not browser.find_element("id", "kind-2").is_enabled(), "none is broken"
    shown[0].find_element("tag name", "summary").click()
    marks = [mark.text for mark in shown[0].find_elements("tag name", "mark")]
    assert marks == ["base", "trained"]
    for width in (1200, 390):
        browser.set_window_size(width, 900)
        assert browser.execute_script("return document.body.scrollWidth <= document.documentElement.clientWidth")
    light = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") != light
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not browser.find_element("class name", "filter").is_displayed()
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
