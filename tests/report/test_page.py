import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from rrtf_trl.report import write_report

HOSTILE = "<script>alert(1)</script>"
VOID = {"meta", "br", "img", "link", "hr", "input"}


def estimate(value, low, high):
    return {"value": value, "low": low, "high": high}


def figure(base, trained, gain, n=1, temperature=0.0):
    decoding = {"temperatures": [temperature], "top_ps": [0.95], "max_new_tokens": 128, "seed": 0}
    return {"n": n, "decoding": decoding, "problems": 200, "base": base, "trained": trained, "gain": gain}


RISEN = figure(estimate(0.43, 0.36, 0.5), estimate(0.95, 0.92, 0.98), estimate(0.52, 0.45, 0.59))


def candidate(number, task, response, source="student", finish="stop"):
    sampling = {"temperature": 1.0, "index": number}
    return {
        "candidate_id": f"c{number}",
        "task_id": task,
        "response": response,
        "code": f"def f(x):\n{response}",
        "source": source,
        "model": "policy",
        "sampling": sampling,
        "finish_reason": finish,
    }


def judgement(number, state, message=""):
    detail = {"passed": 1, "total": 2, "message": message}
    return {"candidate_id": f"c{number}", "feedback": "unit_tests", "state": state, "score": 0.5, "detail": detail}


def sample(task, state, completion="    return 1\n", message=""):
    return {
        "task_id": task,
        "completion": completion,
        "code": completion,
        "passed": state == "passed",
        "result": state,
        "message": message,
    }


def jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def run(tmp_path):
    """A whole run's folder: two problems, four held out."""
    folder = tmp_path / "demo-0123abcd"
    folder.mkdir()
    stages = {
        "problems": {"seconds": 0.01, "train": 2, "heldout": 4},
        "sample": {"seconds": 75.0, "transformers": {"drawn": 4, "reused": 2, "skipped": 0}},
        "feedback": {"seconds": 1.5, "unit_tests": {"judged": 6, "reused": 0}},
        "rank": {"seconds": 0.1, "groups": 1, "responses": 2, "no_order": 1, "repeated": 1, "truncated": 1},
        "train": {"seconds": 3.0, "key": "0"},
    }
    command = f"rrtf run sampler.api.api_key=s3cr3t name='{HOSTILE}'"
    (folder / "run.json").write_text(
        json.dumps({"command": command, "versions": {"rrtf-trl": "0.1.0"}, "stages": stages})
    )
    (folder / "config.yaml").write_text(
        "model:\n  path: tiny\ntrainer:\n  loss_type: rrtf\nfeedback:\n  unit_tests: {}\n"
    )
    sampled = figure(estimate(0.5, 0.4, 0.6), estimate(0.51, 0.4, 0.6), estimate(0.01, -0.02, 0.04), 8, 0.8)
    (folder / "results.json").write_text(json.dumps({"greedy pass@1": RISEN, "sampled pass@4": sampled}))

    good, bad = "    return x\n", f"    return '{HOSTILE}'\n"
    jsonl(
        folder / "candidates.jsonl",
        [
            candidate(0, "t/0" + HOSTILE, bad),
            candidate(1, "t/0" + HOSTILE, good),
            candidate(2, "t/0" + HOSTILE, good),
            candidate(3, "t/0" + HOSTILE, "    return (\n", finish="length"),
            candidate(4, "t/1", good),
            candidate(5, "t/1", good + "\n"),
        ],
    )
    jsonl(
        folder / "judgements.jsonl",
        [
            judgement(0, "partial", f"case 1: returned '{HOSTILE}'"),
            judgement(1, "passed"),
            judgement(2, "passed"),
            judgement(3, "compile_error", "SyntaxError"),
            judgement(4, "passed"),
            judgement(5, "passed"),
        ],
    )
    group = {
        "prompt": "def f(x):\n",
        "responses": [bad, good],
        "scores": [2.0, 3.0],
        "sources": ["student", "student"],
        "task_id": "t/0" + HOSTILE,
        "candidate_ids": ["c0", "c1"],
    }
    jsonl(folder / "ranked.jsonl", [group])
    jsonl(folder / "pairs.jsonl", [{"row": 0, "imitated": [1], "pairs": [[1, 0, 1.0]]}])
    jsonl(
        folder / "dropped.jsonl",
        [
            {"task_id": "t/0" + HOSTILE, "reason": "truncated", "candidate_ids": ["c3"]},
            {"task_id": "t/0" + HOSTILE, "reason": "repeated", "candidate_ids": ["c2"]},
            {"task_id": "t/1", "reason": "no_order", "candidate_ids": ["c4", "c5"]},
        ],
    )
    log = [{"rank_loss": 1 / step, "sft_loss": 0.5, "entropy": float("nan"), "step": step} for step in range(1, 1001)]
    jsonl(folder / "train_log.jsonl", [*log, {"train_runtime": 3.0, "step": 1000}])

    tasks = [f"h/{number}" for number in range(4)]
    jsonl(
        folder / "heldout.jsonl", [{"task_id": task, "prompt": [{"role": "user", "content": task}]} for task in tasks]
    )
    before, after = ["partial", "passed", "timeout", "passed"], ["passed", "partial", "timeout", "passed"]
    for which, states in (("base", before), ("trained", after)):
        made = [sample(task, state, f"# {which} {HOSTILE}") for task, state in zip(tasks, states, strict=True)]
        jsonl(folder / f"evaluation/{which}.greedy.jsonl", made)
        jsonl(folder / f"evaluation/{which}.sampled.jsonl", made)
    return folder


class Page(HTMLParser):
    """Collects a page's tags and its text, and fails where they are not balanced."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


def read(folder):
    path = write_report(folder)
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


def test_the_whole_page(run):
    page = Page(read(run))
    for expected in (
        "Greedy pass@1 on 200 held-out problems rose from 43.0% to 95.0%: +52.0 points (95% interval +45.0 to +59.0).",
        "Train the policy “tiny” with the loss “rrtf” on 6 candidates of 2 problems",
        "200 problems, n = 8, temperature 0.8, top_p 0.95",
        "−2.0 to +4.0",
        "66.7%",  # 4 of 6 answers passed
        "cut off at max_new_tokens, or empty",
        "score 3 · student · drawn 2 times · trained on: imitated, better in 1 pair",
        "score 2 · student · trained on: worse in 1 pair",
        "unranked · student · not trained on: cut off at max_new_tokens",
        "1 fixed, 1 broken, 1 still wrong, 1 solved both times.",
        "h/0 h/0",
        "1 min 15 s",
        "rrtf-trl 0.1.0",
        "loss_type: rrtf",
        "rank loss",
    ):
        assert expected in page.text, expected
    assert "entropy how" not in page.text, "a curve without one finite value is left out"
    assert str(run.parent) not in page.text


def test_what_was_sampled_adds_up_to_what_was_ranked(run):
    text = Page(read(run)).text
    account = text[text.index("What was dropped") : text.index("Ranked candidates")]
    for line in ("sampled 2 6", f"t/0{HOSTILE} −1", "t/1 −1 −2", "ranked 1 2"):
        assert line in account
    assert account.count("−1") == 3


def test_answers_stand_in_rank_order(run):
    text = Page(read(run)).text
    assert text.index("1. score 3") < text.index("2. score 2") < text.index("unranked")


def test_hostile_text_stays_text(run):
    html = read(run)
    page = Page(html)
    assert "<script" not in html
    assert page.text.count(HOSTILE) >= 5, "it is shown as text: task id, answer, message, command, held-out answer"


def test_nothing_is_loaded_from_outside(run):
    html = read(run)
    for tag, attributes in Page(html).tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "base")
        for name, value in attributes.items():
            if name in ("href", "xlink:href") and tag != "a":
                assert value.startswith("#")
            assert name not in ("src", "srcset", "data", "action")
            assert not name.startswith("on")
    assert "@import" not in html
    assert set(re.findall(r"url\((.)", html)) <= {"#"}


def test_the_same_files_give_the_same_page(run):
    assert read(run) == read(run)
    assert not list(run.glob("*.part"))


def test_ids_in_the_page_are_unique(run):
    ids = [attributes["id"] for _, attributes in Page(read(run)).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "keep", [[], ["run.json"], ["ranked.jsonl"], ["run.json", "candidates.jsonl", "ranked.jsonl"]]
)
def test_a_run_that_was_stopped_has_a_page(run, keep):
    for path in run.rglob("*"):
        if path.is_file() and path.name not in keep:
            path.unlink()
    text = Page(read(run)).text
    assert "No results.json" in text
    assert "No train_log.jsonl" in text
    assert ("There are no results yet." in text) == ("run.json" in keep)
    assert ("score 3" in text) == ("ranked.jsonl" in keep)


@pytest.mark.parametrize("names", [["greedy", "low", "high"], ["greedy"]], ids=["paper", "greedy"])
def test_answers_to_held_out_problems_are_counted_however_they_are_measured(run, names):
    rows = {name: (1 if name == "greedy" else 4) for name in names}
    for which in ("base", "trained"):
        folder = run / "evaluation"
        (folder / f"{which}.json").write_text(json.dumps({name: {"n": n, "counts": {}} for name, n in rows.items()}))
        (folder / f"{which}.sampled.jsonl").unlink()
        for name in names[1:]:
            jsonl(folder / f"{which}.{name}.jsonl", [sample(f"h/{i}", "passed") for i in range(4)] * 4)
    text = Page(read(run)).text
    answers = text[text.index("Candidates by state") :]
    for line in ("held-out problems, before", "held-out problems, after"):
        assert f"{line} {4 * rows[names[min(1, len(names) - 1)]]}" in answers


@pytest.mark.parametrize("name", ["dropped.jsonl", "pairs.jsonl", "heldout.jsonl", "config.yaml", "judgements.jsonl"])
def test_any_one_file_may_be_missing(run, name):
    (run / name).unlink()
    assert "rose from 43.0% to 95.0%" in Page(read(run)).text


@pytest.mark.slow
def test_a_large_run_has_a_small_page(run):
    answers = [('"' * 4000) + str(number) for number in range(40)]
    group = {"prompt": "<" * 9000, "responses": answers, "scores": [float(n) for n in range(40)]}
    jsonl(run / "ranked.jsonl", [{**group, "task_id": f"t/{number}"} for number in range(25)])
    tasks = [f"h/{number}" for number in range(300)]
    jsonl(run / "heldout.jsonl", [{"task_id": task, "prompt": "&" * 9000} for task in tasks])
    for which, state in (("base", "partial"), ("trained", "passed")):
        made = [sample(task, state, "é" * 9000, "<" * 9000) for task in tasks]
        jsonl(run / f"evaluation/{which}.greedy.jsonl", made)
    (run / "config.yaml").write_text("note: " + "'" * 500_000 + "\n")
    html = read(run)
    assert len(html.encode()) < 1_500_000
    assert "28 more candidates with places between are not shown." in Page(html).text


def test_unseen_characters_are_shown(run):
    made = [sample(f"h/{number}", "partial", "a\u202eb\x00c\ud800d") for number in range(4)]
    jsonl(run / "evaluation/base.greedy.jsonl", made)
    jsonl(run / "dropped.jsonl", [{"task_id": "\ud800" * 9999, "reason": "no_order", "candidate_ids": ["c4"]}])
    assert "a\\u202eb\u2400c?d" in Page(read(run)).text


def test_secrets_are_hidden(run):
    assert "s3cr3t" not in read(run)


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("rrtf_trl.report", {"matplotlib", "jinja2", "omegaconf", "torch"}),
        ("rrtf_trl.report.figures", {"matplotlib.pyplot"}),
    ],
)
def test_importing_imports_nothing_heavy(module, heavy):
    code = f"import sys, {module}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# -- Several judges ------------------------------------------------------------------------------------------


def test_who_judged_and_where_they_disagree(run):
    (run / "config.yaml").write_text("feedback:\n  unit_tests: {}\n  teacher: {}\n  human: {}\n")
    notes = json.loads((run / "run.json").read_text())
    notes["stages"]["rank"]["conflicts"] = {"unit_tests against teacher": {"pairs": 40, "opposed": 10}}
    (run / "run.json").write_text(json.dumps(notes))
    (run / "feedback").mkdir()
    share = {"share": 0.75, "low": 0.6, "high": 0.86, "n": 40, "expected": 0.5}
    (run / "feedback" / "teacher.json").write_text(
        json.dumps({"judge": HOSTILE, "abstained": 2, "position": {"first_wins": share}, "length": None})
    )
    (run / "feedback" / "human.json").write_text(
        json.dumps({"alpha_ranks": 0.8123, "people": [{"name": "ann", "labels": 7, "earlier": None}]})
    )
    standing = {"candidate_id": "c0", "score": 3.0, "opinions": {"unit_tests": 3.0, "teacher": 0.5, "human": None}}
    jsonl(run / "standings.jsonl", [{"task_id": "t/0" + HOSTILE, "standings": [standing]}])
    said = [{"feedback": "teacher", "state": None, "score": 0.5, "detail": {"why": "long" + HOSTILE}}]
    said += [{"feedback": "human", "state": None, "score": None, "detail": {"abstained": "nobody labelled it"}}]
    with (run / "judgements.jsonl").open("a") as file:
        file.writelines(json.dumps({"candidate_id": "c0", **row}) + "\n" for row in said)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", write_report(run).read_text()))
    assert "Who judged" in text
    assert "position, first wins 75% (60 to 86; of 40, expected 50%)" in text
    assert "alpha ranks 0.812" in text
    assert "people, ann, labels 7" in text
    assert "unit tests against teacher 40 10 25.0%" in text
    assert "what led to this place unit_tests: passed" in text
    assert "teacher: 0.5; why long&lt;script&gt;" in text
    assert "human: abstained: nobody labelled it" in text
    assert "It has place 1 of 1, with the score 3." in text
    assert "It was trained on as better than" in text
    assert HOSTILE not in write_report(run).read_text()


def test_one_judge_alone_has_no_section_of_its_own(run):
    assert "Who judged" not in write_report(run).read_text()
