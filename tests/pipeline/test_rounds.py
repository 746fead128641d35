"""Iterated rounds: which policy a round starts from, which is kept, when they end."""

import io
import json
import os
import re
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from rich.console import Console

from rrtf_trl.config.round_values import resolved_but_for_rounds
from rrtf_trl.errors import NothingToTrainOn, UserError
from rrtf_trl.evaluation import Evaluation, Measured, Measurement, before_and_after
from rrtf_trl.pipeline.pipeline import measured_in
from rrtf_trl.pipeline.rounds import EarlyStopping, run_rounds
from rrtf_trl.plugins.folders import config_dir
from rrtf_trl.storage.run_folder import RunFolder
from support.warm_python import python

EVALUATION = Evaluation(
    sampler=lambda **how: pytest.fail("nothing is sampled here"),
    measurements={"greedy": Measurement(), "sampled": Measurement(n=4, temperature=0.8, ks=(1, 4))},
)


class Runs:
    """Runs whose policies solve as many of 10 problems as they are told; notes what each started from."""

    def __init__(self, folder: RunFolder, *solved: int) -> None:
        self.folder, self.solved = folder, solved
        self.started: list[str] = []

    def __call__(self, number: int, model: str) -> RunFolder:
        self.started.append(model)
        if number >= len(self.solved):
            raise NothingToTrainOn("every answer is right")
        run = RunFolder(self.folder / "rounds" / str(number))
        for which, count in zip(("base", "trained"), self.solved[number - 1 : number + 1], strict=True):
            measured = {
                name: asdict(Measured(n, {str(i): [n, n * (i < count)] for i in range(10)}, {}, {}, which))
                for name, n in (("greedy", 1), ("sampled", 4))
            }
            run.write_json(f"evaluation/{which}.json", measured)
        before, after = (measured_in(run, which) for which in ("base", "trained"))  # type: ignore[arg-type]
        run.write_json("results.json", before_and_after(before, after, EVALUATION))
        run.note("rank", groups=3, responses=9, seconds=1.0)
        (run / "policy").mkdir()
        return run


def rounds(tmp_path: Path, count: int, *solved: int, **stopping: Any) -> tuple[dict[str, Any], Runs, RunFolder]:
    folder = RunFolder(tmp_path / "run-rounds")
    runs = Runs(folder, *solved)
    told = run_rounds(
        folder, count, "start", runs, EVALUATION, EarlyStopping(**stopping), Console(file=io.StringIO(), width=200)
    )
    return told, runs, folder


def test_each_round_starts_from_the_policy_of_the_one_before(tmp_path: Path) -> None:
    told, runs, folder = rounds(tmp_path, 3, 2, 4, 7, 6)
    assert runs.started == ["start", str(folder / "rounds/1/policy"), str(folder / "rounds/2/policy")]
    assert (told["best"], told["kept"]) == (2, 3), "all rounds were asked for: the last policy is kept"
    assert os.readlink(folder / "policy") == "rounds/3/policy"
    results = folder.read_json("results.json")["greedy pass@1"]
    assert (results["base"]["value"], results["trained"]["value"]) == (0.2, 0.6)
    assert results["gain"]["value"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("patience", "solved", "last", "kept"),
    [
        (1, (2, 4, 4, 9), 2, 1),  # an equal one is no new best
        (2, (2, 4, 3, 4, 9), 3, 1),
        (2, (2, 4, 3, 5, 4), 4, 3),
        (2, (6, 4, 5, 9), 2, 2),  # none was better than the start
    ],
)
def test_rounds_end_when_none_is_better(tmp_path: Path, patience: int, solved: Any, last: int, kept: int) -> None:
    told, runs, folder = rounds(tmp_path, 4, *solved, patience=patience, figure="sampled pass@4")
    assert (len(runs.started), told["kept"]) == (last, kept)
    assert os.readlink(folder / "policy") == f"rounds/{kept}/policy"
    assert [row["round"] for row in told["rounds"]] == list(range(1, last + 1))


def test_a_round_with_nothing_to_learn_ends_them_and_the_first_one_fails(tmp_path: Path) -> None:
    told, _, folder = rounds(tmp_path, 5, 2, 10)
    assert told["kept"] == 1
    assert "every answer is right" in folder.read_json("rounds.json")["ended"]
    with pytest.raises(NothingToTrainOn):
        rounds(tmp_path / "other", 2)


def test_what_ended_early_says_how_far_it_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: Runs, number: int, model: str) -> RunFolder:
        if number == 3:
            raise KeyboardInterrupt
        return undisturbed(self, number, model)

    undisturbed = Runs.__call__
    monkeypatch.setattr(Runs, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        rounds(tmp_path, 3, 2, 4, 7, 6)
    told = RunFolder(tmp_path / "run-rounds").read_json("rounds.json")
    assert (len(told["rounds"]), told["ended"]) == (2, "stopped before round 3")


def test_the_page_shows_the_curve_and_the_way_to_each_round(tmp_path: Path) -> None:
    _, _, folder = rounds(tmp_path, 2, 2, 4, 7)
    page = (folder / "report.html").read_text()
    assert "greedy pass@1 after each round: 40.0%, 70.0%" in page
    assert re.findall(r'href="([^"#]*)"', page) == ["rounds/1/report.html", "rounds/2/report.html"]


def test_wrong_settings_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rounds: expected a number from 1, got 0"):
        rounds(tmp_path, 0, 1, 1)
    with pytest.raises(UserError, match=r"no 'pass@1'; there are: greedy pass@1, sampled pass@1, sampled pass@4"):
        rounds(tmp_path, 1, 1, 1, figure="pass@1")
    with pytest.raises(ValueError, match="patience"):
        EarlyStopping(patience=0)
    assert not (tmp_path / "run-rounds").exists()


@pytest.mark.slow
def test_the_configuration_of_all_rounds_is_resolved_as_far_as_they_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RRTF_TRIED", "here")
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        settings = ["problems.train.seed=${round}", "name=${oc.env:RRTF_TRIED}", "model.path=${oc.env:RRTF_TRIED}"]
        config = compose("config", [*settings, "rounds=2"])
    found = resolved_but_for_rounds(config)
    said = OmegaConf.to_container(found, resolve=False)
    assert isinstance(said, dict)
    assert (said["name"], said["model"]["path"], said["round"]) == ("here", "here", 1)
    assert said["problems"]["train"]["seed"] == "${round}"
    assert said["sampler"]["transformers"]["model"] == "${model.path}"
    assert said["trainer"]["seed"] == 0
    assert OmegaConf.to_container(found, resolve=True) == OmegaConf.to_container(config, resolve=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "follows"),
    [
        ("data-${round}.jsonl", True),
        ("${oc.env:RRTF_ROUND_${round}}", True),
        ("${oc.select:model.path,none}", True),
        ("${model[path]}", True),
        ("${model}", True),
        ("${between}", True),
        ("${around.it}", True),
        ("${.beside}", True),
        ("${..between}", True),
        ("[0,'${..beside}']", True),
        ("${seed}", False),
        ("${rounds}", False),
        ("${model.other}", False),
        ("round", False),
        ("${oc.select:sampler.transformers.n,8}", False),
    ],
)
def test_what_follows_a_round_is_found_through_all_references(
    value: str, follows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RRTF_ROUND_1", "one")
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose(
            "config",
            ["+model.other=x", "+between=${round}", "+around.it=${between}", "+around.beside=${.it}",
             "+around.tried=0", "rounds=2"],
        )  # fmt: skip
    OmegaConf.update(config, "around.tried", yaml.safe_load(value) if value.startswith("[") else value)
    found = resolved_but_for_rounds(config)
    assert ("${" in str(OmegaConf.to_container(found, resolve=False)["around"]["tried"])) is follows  # type: ignore[index, call-overload]
    assert OmegaConf.to_container(found, resolve=True) == OmegaConf.to_container(config, resolve=True)


@pytest.mark.slow
def test_a_real_run_goes_on_with_its_adapter_on_new_problems(tmp_path: Path) -> None:
    settings = [
        "problems.train.limit=8", "problems.heldout.limit=3", "sampler.transformers.n=4", "evaluation.n=2",
        "evaluation.ks=[1]", "trainer.num_train_epochs=1", "adapter=lora", "quantization=bnb_8bit",
        "problems.train.seed=${round}",
    ]  # fmt: skip

    def rrtf(*more: str) -> str:
        command = [python(), "-m", "rrtf_trl.cli", "run", *settings, *more]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    rrtf("rounds=2")
    (folder,) = (tmp_path / "runs").glob("quickstart-*-rounds")
    first, second = (folder / "rounds" / number for number in "12")
    assert (first / "problems.jsonl").read_text() != (second / "problems.jsonl").read_text()
    adapters = [(run / "policy/adapter_model.safetensors").read_bytes() for run in (first, second)]
    assert adapters[0] != adapters[1]
    configs = [json.loads((run / "policy/adapter_config.json").read_text()) for run in (first, second)]
    assert configs[0]["base_model_name_or_path"] == configs[1]["base_model_name_or_path"], "one adapter, not two"
    before = json.loads((second / "evaluation/base.json").read_text())
    assert before == json.loads((first / "evaluation/trained.json").read_text()) | {
        name: {**found, "worked": False} for name, found in before.items()
    }
    assert rrtf("rounds=2").count("train: nothing to do") == 2
    config = (folder / "config.yaml").read_text()
    assert "${round}" in config, "it runs all rounds again"
    assert "${seed}" not in config
