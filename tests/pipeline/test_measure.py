import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rrtf_trl.errors import InputError
from rrtf_trl.evaluation import Evaluation, Measured, Measurement, before_and_after, figures
from rrtf_trl.evaluation.measurement import completion_of
from rrtf_trl.feedback import UnitTests
from rrtf_trl.pipeline.benchmark import Benchmark
from rrtf_trl.pipeline.collector import Collector
from rrtf_trl.pipeline.measure import measure
from rrtf_trl.problems import ProblemFile, render_prompt
from rrtf_trl.records import AssertTests, Candidate, CaseTests, Problem, to_json
from rrtf_trl.samplers import Samples
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.store import Store

PROMPT = 'def inc(x):\n    """Add one."""\n'
RIGHT, WRONG, LATE = "    return x + 1\n", "    return x\n", "    return x + 1 if x < 2 else 9\n"


class Answers:
    """A sampler that draws the same answers for every problem."""

    batch_size = 2

    def __init__(self, *bodies: str, **decoding: Any) -> None:
        self.bodies, self.decoding = bodies, decoding
        self.draws = len(bodies)

    def identity(self) -> dict[str, Any]:
        return {"sampler": "answers", "bodies": self.bodies, "model": "sha256:abc", **self.decoding}

    def sample(self, problems: list[Problem]) -> Samples:
        samples = Samples(skipped={p.task_id: "too long" for p in problems if p.task_id == "skip"})
        rest: Any = {"source": "student", "model": "m", "finish_reason": "stop"}
        for problem in problems:
            for index, body in enumerate(self.bodies):
                if problem.task_id != "skip":
                    fields = {"task_id": problem.task_id, "response": body, "code": PROMPT + body}
                    samples.candidates.append(Candidate.create(**fields, sampling={"index": index}, **rest))
        return samples

    def close(self) -> None:
        pass


def problem(task: str, **metadata: Any) -> Problem:
    tests = AssertTests([f"assert inc({x}) == {x + 1}" for x in range(4)])
    return Problem(task, PROMPT, tests, "inc", PROMPT + RIGHT, metadata)


def run(tmp_path: Path, problems: list[Problem], *bodies: str, ks: tuple[int, ...] = (1,)) -> dict[str, Any]:
    n = len(bodies)
    evaluation = Evaluation(
        sampler=lambda model, n, temperatures, top_ps, seed: Answers(
            *bodies, temperatures=temperatures, top_ps=top_ps, seed=seed
        ),
        measurements={"one": Measurement(n=n, temperature=0.2 if n > 1 else 0.0, top_p=0.95, ks=ks)},
    )
    collector = Collector(Store(tmp_path / "store.sqlite"), Console(file=io.StringIO()))
    folder, tests = RunFolder(tmp_path / "run"), UnitTests(workers=1)
    found = measure("", "m", evaluation, lambda: iter(problems), tests, collector, folder, "samples/")
    return figures(found, evaluation.measurements)


def test_a_figure_stands_with_all_that_it_was_measured_with(tmp_path: Path) -> None:
    rows = run(tmp_path, [problem("a"), problem("b")], RIGHT, WRONG, ks=(1, 2))
    assert rows["one pass@1"]["value"] == 0.5
    assert rows["one pass@2"]["value"] == 1.0
    assert rows["one pass@1"] == {
        "value": 0.5, "low": 0.5, "high": 0.5, "problems": 2, "n": 2,
        "decoding": {"sampler": "answers", "temperatures": [0.2], "top_ps": [0.95], "seed": 1},
    }  # fmt: skip


def test_base_tests_have_a_figure_of_their_own(tmp_path: Path) -> None:
    rows = run(tmp_path, [problem("a", base_tests=2), problem("b", base_tests=2)], LATE)
    assert rows["one pass@1"]["value"] == 0.0
    assert rows["one pass@1"]["base"]["value"] == 1.0


def test_a_problem_that_could_not_be_asked_is_one_not_solved(tmp_path: Path) -> None:
    assert run(tmp_path, [problem("a"), problem("skip")], RIGHT)["one pass@1"]["value"] == 0.5


def test_a_figure_that_one_of_two_policies_lacks_is_left_out() -> None:
    evaluation = Evaluation(
        sampler=lambda **how: pytest.fail("nothing is sampled here"),
        measurements={"some": Measurement(n=4, temperature=0.8, ks=(1, 4))},
    )
    whole = {"some": Measured(4, {"a": [4, 2], "b": [4, 0]}, {}, {}, "m")}
    short = {"some": Measured(4, {"a": [4, 3], "b": [3, 0]}, {}, {}, "m")}  # one answer could not be drawn
    for before, after in ((whole, short), (short, whole)):
        assert list(before_and_after(before, after, evaluation)) == ["some pass@1"]


def test_samples_are_human_evals_rows_with_verdicts(tmp_path: Path) -> None:
    run(tmp_path, [problem("a")], RIGHT, WRONG)
    one, other = (json.loads(line) for line in (tmp_path / "run/samples/one.jsonl").read_text().splitlines())
    assert (one["task_id"], one["completion"], one["solution"]) == ("a", RIGHT, PROMPT + RIGHT)
    assert (one["passed"], one["result"], one["state"]) == (True, "passed", "passed")
    assert (other["passed"], other["state"]) == (False, "partial")
    assert other["result"].startswith("failed: test 0: assert inc(0) == 1")


def test_a_completion_always_follows_the_benchmarks_own_prompt() -> None:
    asked = render_prompt(problem("a"), "chat")
    whole = "def inc(x):\n    return x + 1\n"
    assert completion_of(problem("a"), PROMPT + RIGHT) == RIGHT
    assert completion_of(asked, PROMPT + RIGHT) == RIGHT
    scope: dict[str, Any] = {}
    exec(PROMPT + completion_of(asked, whole), scope)
    assert scope["inc"](1) == 2
    prose = Problem("MBPP/1", "Add one.", CaseTests([{"args": [1], "expected": 2}]), "inc", whole)
    assert completion_of(render_prompt(prose, "completion"), whole) == whole


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 2}, "temperature 0 is greedy decoding"),
        ({"n": 2, "temperature": 1.0, "ks": [3]}, r"ks: expected numbers from 1 to n=2, got \[3\]"),
        ({"n": 2, "temperature": 1.0, "ks": []}, "ks: expected"),
        ({"temperature": -1.0}, "expected n >= 1"),
        ({"top_p": 0.0}, "0 < top_p"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Measurement(**options)


def benchmark(tmp_path: Path, path: Path, train: Path | None = None) -> Benchmark:
    return Benchmark(
        name="mine",
        problems=ProblemFile(path),
        model="m",
        model_name="m",
        evaluation=Evaluation(lambda **_: Answers(RIGHT), {"greedy": Measurement()}, prompt_form="as_is"),
        tests=UnitTests(workers=1),
        train=None if train is None else str(train),
        collector=Collector(Store(tmp_path / "store.sqlite"), Console(file=io.StringIO())),
        folder=RunFolder(tmp_path / "evaluation"),
    )


def write(path: Path, *problems: Problem) -> Path:
    path.write_text("".join(json.dumps(to_json(item)) + "\n" for item in problems))
    return path


def test_leaked_problems_are_told_and_a_figure_is_given_without_them(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", problem("a"), Problem("b", "def inc(y):\n", problem("b").tests, "inc"))
    train = write(tmp_path / "t.jsonl", problem("t"))
    results = benchmark(tmp_path, file, train).run({"python": "3"})
    assert [leak["task_id"] for leak in results["leakage"]["problems"]] == ["a"]
    row = results["figures"]["greedy pass@1"]
    assert (row["value"], row["without_leaks"]["value"]) == (1.0, 1.0)
    assert (row["model"], row["model_hash"], row["prompt_form"]) == ("m", "sha256:abc", "as_is")
    assert json.loads((tmp_path / "evaluation" / "results.json").read_text()) == results


@pytest.mark.slow
def test_a_file_that_changed_is_read_anew(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", problem("a"))
    assert benchmark(tmp_path, file).run({})["benchmark"]["problems"] == 1
    write(file, problem("a"), problem("b"))
    assert benchmark(tmp_path, file).run({})["benchmark"]["problems"] == 2


def test_a_bad_last_row_is_refused_before_any_work(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", problem("a"))
    file.write_text(file.read_text() + "{}\n")
    with pytest.raises(InputError, match=r"p\.jsonl:2: field tests: missing"):
        benchmark(tmp_path, file).run({})
    assert not (tmp_path / "evaluation" / "samples").exists()
