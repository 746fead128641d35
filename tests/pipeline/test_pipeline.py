"""The pipeline on answers that are given, without a model: what is drawn, judged and ranked, and how often."""

import fcntl
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rrtf_trl import hookimpl
from rrtf_trl.errors import FeedbackError, InputError, NothingToTrainOn
from rrtf_trl.evaluation import Estimate, Evaluation, Measurement
from rrtf_trl.feedback import UnitTests
from rrtf_trl.pipeline.pipeline import Pipeline
from rrtf_trl.plugins import plugins, register
from rrtf_trl.plugins.hooks import PluginHooks
from rrtf_trl.ranking import Ranking
from rrtf_trl.records import Candidate, CaseTests, Judgement, Problem, Source
from rrtf_trl.samplers import ReferenceSampler, Samples
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.store import Store

RIGHT, WRONG, CRASH, BROKEN = "    return x + 1\n", "    return x\n", "    return x.y\n", "    return (x\n"


class Answers:
    """A sampler that says what it is told, and counts how often it is asked."""

    def __init__(self, *bodies: str, source: Source = "student", batch_size: int = 2) -> None:
        self.bodies, self.source, self.batch_size = bodies, source, batch_size
        self.draws = len(bodies)
        self.asked: list[str] = []

    def identity(self) -> dict[str, Any]:
        return {"sampler": "answers", "bodies": self.bodies, "source": self.source}

    def sample(self, problems: list[Problem]) -> Samples:
        self.asked += [problem.task_id for problem in problems]
        samples = Samples(skipped={p.task_id: "too long" for p in problems if p.task_id == "skip"})
        for problem in problems:
            for index, body in enumerate(self.bodies):
                if problem.task_id not in samples.skipped:
                    code = str(problem.prompt) + body
                    fields = {"task_id": problem.task_id, "response": body, "code": code, "source": self.source}
                    fields |= {"model": "m", "sampling": {"index": index}, "finish_reason": "stop"}
                    samples.candidates.append(Candidate.create(**fields))
        return samples

    def close(self) -> None:
        pass


class CountingTests(UnitTests):
    """Unit tests that count what they run, and can be told to stop after some."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__(timeout=2, memory_mb=256, workers=1)
        self.judged: list[str] = []
        self.stop_after = stop_after

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        for judgement in super().judge(items):
            if self.stop_after is not None and len(self.judged) >= self.stop_after:
                raise FeedbackError("the power went out")
            self.judged.append(judgement.candidate_id)
            yield judgement


class Labels:
    """People's labels: the longer an answer, the better; without one for a program that crashes."""

    name = "human"

    def __init__(self) -> None:
        self.asked = 0

    def identity(self) -> dict[str, Any]:
        return {"feedback": self.name}

    def check(self, problem: Problem) -> None:
        pass

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        for _, candidate in items:
            self.asked += 1
            score = None if candidate.response == CRASH else len(candidate.response) / 100
            yield Judgement(candidate.candidate_id, self.name, None, score)


def problems(count: int, split: str = "train") -> list[Problem]:
    tests = CaseTests([{"args": [n], "expected": n + 1} for n in range(3)])
    return [Problem(f"{split}/{i}", f"# {split} {i}\ndef f(x):\n", tests, "f") for i in range(count)]


def pipeline(tmp_path: Path, **changes: Any) -> Pipeline:
    parts: dict[str, Any] = {
        "folder": RunFolder(tmp_path / "run"),
        "store": Store(tmp_path / "store.sqlite"),
        "problems": {"train": problems(3), "heldout": problems(2, "heldout")},
        "samplers": {"answers": Answers(RIGHT, WRONG, CRASH, BROKEN, WRONG)},
        "feedback": {"unit_tests": CountingTests()},
        "ranking": Ranking(),
        "model": "base",
        "train": lambda folder: [],
        "train_key": "key",
        "evaluation": Evaluation(
            sampler=sampler_of,
            measurements={"greedy": Measurement(), "sampled": Measurement(n=2, temperature=1.0, ks=[1, 2])},
        ),
        "console": Console(file=io.StringIO(), soft_wrap=True),
    }
    return Pipeline(**(parts | changes))


def sampler_of(model: str, n: int, **decoding: Any) -> Answers:
    answer = RIGHT if model != "base" else WRONG
    return Answers(answer) if n == 1 else Answers(RIGHT, answer if model != "base" else BROKEN)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_folder_shows_which_answers_which_verdicts_and_which_order(tmp_path: Path) -> None:
    pipeline(tmp_path).run("rank")
    run = tmp_path / "run"
    assert len(rows(run / "problems.jsonl")) == 3
    assert len(rows(run / "candidates.jsonl")) == len(rows(run / "judgements.jsonl")) == 15
    states = {row["state"] for row in rows(run / "judgements.jsonl")}
    assert states == {"passed", "partial", "runtime_error", "compile_error"}
    group = rows(run / "ranked.jsonl")[0]
    assert group["responses"] == [RIGHT, WRONG, CRASH, BROKEN]
    assert group["scores"] == [3.0, 2.0, 1.0, 0.0]
    candidates = {row["candidate_id"]: row for row in rows(run / "candidates.jsonl")}
    assert [candidates[i]["response"] for i in group["candidate_ids"]] == group["responses"]
    assert [row["reason"] for row in rows(run / "dropped.jsonl")] == ["repeated"] * 3


def test_the_same_code_is_judged_once(tmp_path: Path) -> None:
    tests = CountingTests()
    pipeline(tmp_path, feedback={"unit_tests": tests}).run("feedback")
    assert len(tests.judged) == 3 * 4  # five answers a problem, two of them the same


def test_a_second_run_draws_and_judges_nothing(tmp_path: Path) -> None:
    pipeline(tmp_path).run("rank")
    sampler, tests = Answers(RIGHT, WRONG, CRASH, BROKEN, WRONG), CountingTests()
    other = RunFolder(tmp_path / "other-run")
    pipeline(tmp_path, folder=other, samplers={"answers": sampler}, feedback={"unit_tests": tests}).run("rank")
    assert (sampler.asked, tests.judged) == ([], [])
    assert (other / "ranked.jsonl").read_bytes() == (tmp_path / "run" / "ranked.jsonl").read_bytes()


@pytest.mark.slow
def test_judging_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = CountingTests(stop_after=5)
    with pytest.raises(FeedbackError, match="power"):
        pipeline(tmp_path, feedback={"unit_tests": first}).run("rank")
    second = CountingTests()
    pipeline(tmp_path, feedback={"unit_tests": second}).run("rank")
    assert len(first.judged) == 5
    assert len(second.judged) == 12 - 5
    assert not set(first.judged) & set(second.judged)


def test_only_what_changed_is_done_again(tmp_path: Path) -> None:
    trained: list[str] = []

    def train(folder: RunFolder) -> list[dict[str, float]]:
        trained.append("once")
        (folder / "policy").mkdir(exist_ok=True)
        return [{"loss": 1.0}]

    pipeline(tmp_path, train=train).run("train")
    pipeline(tmp_path, train=train).run("train")
    assert len(trained) == 1
    pipeline(tmp_path, train=train, train_key="another learning rate").run("train")
    assert len(trained) == 2
    pipeline(tmp_path, train=train, train_key="another learning rate", ranking=Ranking(tie_break=0)).run("train")
    assert len(trained) == 2  # the same rows came out
    pipeline(
        tmp_path, train=train, train_key="another learning rate", samplers={"answers": Answers(RIGHT, WRONG)}
    ).run("train")
    assert len(trained) == 3


def test_more_problems_keep_the_samples_of_the_first_ones(tmp_path: Path) -> None:
    pipeline(tmp_path, problems={"train": problems(4), "heldout": problems(1, "heldout")}).run("sample")
    sampler = Answers(RIGHT, WRONG, CRASH, BROKEN, WRONG)
    more = {"train": problems(6), "heldout": problems(1, "heldout")}
    pipeline(tmp_path, problems=more, samplers={"answers": sampler}).run("sample")
    assert sampler.asked == ["train/4", "train/5"]


def test_sources_are_ranked_together(tmp_path: Path) -> None:
    train = [
        Problem(p.task_id, p.prompt, p.tests, p.entry_point, str(p.prompt) + "    return 1 + x\n") for p in problems(2)
    ]
    samplers = {"answers": Answers(RIGHT, WRONG), "reference": ReferenceSampler()}
    pipeline(tmp_path, problems={"train": train, "heldout": problems(1, "heldout")}, samplers=samplers).run("rank")
    group = rows(tmp_path / "run" / "ranked.jsonl")[1]
    assert group["sources"] == ["student", "student", "reference"]
    assert group["scores"] == [3.0, 2.0, 3.5]


@pytest.mark.slow
def test_a_run_without_tests_is_ranked_by_people_and_evaluated_by_tests(tmp_path: Path) -> None:
    tests = CountingTests()
    pipeline(tmp_path, feedback={"human": Labels()}, tests=tests).run("evaluate")
    group = rows(tmp_path / "run" / "ranked.jsonl")[0]
    assert group["responses"] == [RIGHT, WRONG, CRASH, BROKEN]
    assert group["scores"] == pytest.approx([1.0, 0.0, 2 / 3, 1 / 3])
    assert {row["feedback"] for row in rows(tmp_path / "run" / "judgements.jsonl")} == {"human"}
    heldout = {row["task_id"] for row in rows(tmp_path / "run" / "heldout.jsonl")}
    assert len(tests.judged) > 0
    assert {row["task_id"] for row in rows(tmp_path / "run" / "evaluation" / "base.greedy.jsonl")} == heldout


def test_evaluation_goes_by_the_tests_of_the_feedback_or_by_ones_of_its_own(tmp_path: Path) -> None:
    run = pipeline(tmp_path)
    assert run.evaluation_tests is run.feedback["unit_tests"]
    assert isinstance(pipeline(tmp_path, feedback={"human": Labels()}).evaluation_tests, UnitTests)


@pytest.mark.slow
def test_results_hold_before_after_and_paired_gain(tmp_path: Path) -> None:
    pipeline(tmp_path).run("evaluate")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert set(results) == {"greedy pass@1", "sampled pass@1", "sampled pass@2"}
    assert Estimate(**results["greedy pass@1"]["gain"]) == Estimate(1.0, 1.0, 1.0)
    assert results["sampled pass@1"]["base"]["value"] == 0.5
    assert results["sampled pass@2"]["base"]["value"] == 1.0
    samples = rows(tmp_path / "run" / "evaluation" / "base.greedy.jsonl")
    assert [(row["completion"], row["passed"], row["state"]) for row in samples] == [
        (f"# heldout {index}\ndef f(x):\n{WRONG}", False, "partial") for index in range(2)
    ]


@pytest.mark.slow
def test_a_problem_that_cannot_be_sampled_counts_as_not_solved_and_is_told(tmp_path: Path) -> None:
    tests = problems(1)[0].tests
    heldout = [Problem("skip", "# skip\ndef f(x):\n", tests, "f"), *problems(1, "heldout")]
    run = pipeline(tmp_path, problems={"train": problems(1), "heldout": heldout})
    run.run("evaluate")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["greedy pass@1"]["trained"]["value"] == 0.5
    assert "1 problems skipped, for instance skip: too long" in run.console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("bodies", "reason"),
    [
        ([WRONG, "    return x - 1\n"], "3 because all candidates score the same"),
        ([RIGHT, "    return 1 + x\n"], "3 because all candidates score the same"),
        ([RIGHT, RIGHT], "3 because fewer than two different whole candidates"),
    ],
)
def test_nothing_to_train_on_is_explained(tmp_path: Path, bodies: list[str], reason: str) -> None:
    with pytest.raises(NothingToTrainOn, match=f"{reason}.*If all candidates fail, sample more"):
        pipeline(tmp_path, samplers={"answers": Answers(*bodies)}).run("train")


def test_bad_problems_are_refused_before_any_work(tmp_path: Path) -> None:
    sampler = Answers(RIGHT)
    none = {"train": [], "heldout": problems(1)}
    with pytest.raises(InputError, match=r"problems\.train: no problems"):
        pipeline(tmp_path, problems=none, samplers={"answers": sampler}).run()
    same = {"train": problems(2), "heldout": problems(1)}
    with pytest.raises(InputError, match=r"problems\.heldout: train/0 has a prompt that is in the training problems"):
        pipeline(tmp_path, problems=same, samplers={"answers": sampler}).run()
    assert sampler.asked == []


@pytest.mark.slow
def test_checkpoints_of_other_rows_are_forgotten(tmp_path: Path) -> None:
    seen: list[bool] = []

    def train(folder: RunFolder) -> list[dict[str, float]]:
        checkpoint = folder / "checkpoints" / "checkpoint-1"
        seen.append(checkpoint.is_dir())
        checkpoint.mkdir(parents=True, exist_ok=True)
        raise FeedbackError("the power went out")

    for bodies in ([RIGHT, WRONG], [RIGHT, WRONG], [RIGHT, CRASH]):
        with pytest.raises(FeedbackError, match="power"):
            pipeline(tmp_path, train=train, samplers={"answers": Answers(*bodies)}).run("train")
    assert seen == [False, True, False]


def test_the_note_of_a_stage_that_had_nothing_to_do_stands(tmp_path: Path) -> None:
    pipeline(tmp_path).run("feedback")
    stages = json.loads((tmp_path / "run" / "run.json").read_text())["stages"]
    pipeline(tmp_path).run("feedback")
    again = json.loads((tmp_path / "run" / "run.json").read_text())["stages"]
    assert again["sample"] == stages["sample"]
    assert again["feedback"] == stages["feedback"]
    assert stages["feedback"]["unit_tests"] == {"judged": 12, "reused": 3}


def test_where_nothing_changed_the_store_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline(tmp_path).run("rank")
    files = ["candidates.jsonl", "judgements.jsonl", "ranked.jsonl", "standings.jsonl", "dropped.jsonl"]
    before = {name: (tmp_path / "run" / name).read_bytes() for name in files}
    again = pipeline(tmp_path)

    def refuse(*_: Any) -> None:
        raise AssertionError("the store was asked")

    for name in ("candidates", "judgements", "present", "skipped", "lock", "add_unit", "add_judgements"):
        monkeypatch.setattr(again.store, name, refuse)
    again.run("rank")
    assert {name: (tmp_path / "run" / name).read_bytes() for name in files} == before
    output = again.console.file.getvalue()  # type: ignore[attr-defined]
    assert "sample answers: nothing to do, 15 re-used\nfeedback unit_tests: nothing to do, 15 re-used\n" in output


@pytest.mark.parametrize("name", ["candidates.jsonl", "judgements.jsonl"])
def test_a_file_that_was_changed_or_lost_is_written_anew(tmp_path: Path, name: str) -> None:
    pipeline(tmp_path).run("rank")
    file = tmp_path / "run" / name
    before = file.read_bytes()
    for spoil in (lambda: file.write_bytes(before[:-9]), file.unlink):
        spoil()
        tests = CountingTests()
        pipeline(tmp_path, feedback={"unit_tests": tests}).run("rank")
        assert file.read_bytes() == before
        assert tests.judged == []


@pytest.mark.slow
def test_a_stage_that_others_did_the_work_of_is_known_by_its_own_key_afterwards(tmp_path: Path) -> None:
    few, many = {"answers": Answers(RIGHT, WRONG)}, {"answers": Answers(RIGHT, WRONG, CRASH)}
    for samplers in (few, many, few):
        pipeline(tmp_path, samplers=samplers).run("rank")
    stages = json.loads((tmp_path / "run" / "run.json").read_text())["stages"]
    assert stages["sample"]["candidates"] == 6
    pipeline(tmp_path, samplers=few).run("rank")
    assert len(rows(tmp_path / "run" / "candidates.jsonl")) == len(rows(tmp_path / "run" / "judgements.jsonl")) == 6


def test_a_problem_without_answers_is_dropped_in_its_place(tmp_path: Path) -> None:
    skip = Problem("skip", "# skip\ndef f(x):\n", problems(1)[0].tests, "f")
    train = [skip, *problems(2), Problem("skip", "# last\ndef f(x):\n", skip.tests, "f")]
    feedback = {"unit_tests": CountingTests(), "human": Labels()}
    pipeline(tmp_path, problems={"train": train, "heldout": problems(1, "heldout")}, feedback=feedback).run("rank")
    standings = rows(tmp_path / "run" / "standings.jsonl")
    assert [row["task_id"] for row in standings] == ["skip", "train/0", "train/1", "skip"]
    assert [len(row["standings"]) for row in standings] == [0, 4, 4, 0]
    assert standings[1]["standings"][2]["opinions"] == {"unit_tests": 1.0, "human": None, "sample": 0.0}


@pytest.mark.slow
def test_a_stages_own_error_comes_before_that_of_a_strict_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        RRTF_CONTRACT = 1

        @hookimpl
        def rrtf_stage_ended(self, stage: str, error: BaseException | None) -> None:
            if error is not None:
                raise KeyError(stage)

    plugins.cache_clear()
    monkeypatch.setenv("RRTF_PLUGINS", "none")
    monkeypatch.setenv("RRTF_STRICT_PLUGINS", "1")
    try:
        register(Broken(), "broken")
        with pytest.raises(FeedbackError, match="power"):
            pipeline(tmp_path, feedback={"unit_tests": CountingTests(stop_after=0)}, hooks=PluginHooks()).run("rank")
        told = capsys.readouterr().err
        assert "rrtf: plugin broken (this process): hook rrtf_stage_ended raised KeyError: 'feedback'\n" in told
    finally:
        plugins.cache_clear()


def test_whoever_looks_whether_a_run_is_worked_on_does_not_lock_it(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert not run.is_locked()
    with run.working("name: x\n"):
        assert run.is_locked()
    assert not run.is_locked()
    with (tmp_path / ".lock").open() as another:
        fcntl.flock(another, fcntl.LOCK_SH)  # which is all that NFS gives to who only reads
        assert not run.is_locked()
