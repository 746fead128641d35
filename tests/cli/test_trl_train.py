"""`rrtf trl-train`, as a user meets it: real processes, flags, YAML and files of rows."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM
from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, TrlParser
from trl.scripts.dpo import make_parser

import rrtf_trl
from rrtf_trl import RRTFConfig
from rrtf_trl.cli.trl_train import main
from support.warm_python import python

ROWS = [
    {
        "prompt": f"def f{i}(x):\n",
        "responses": [f"    return x + {i}\n", "    pass\n", "    print(x)\n"],
        "scores": [1.0, 0.0, 0.5],
    }
    for i in range(4)
]
OPTIONS: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "dataloader_pin_memory": False,
    "report_to": "none",
    "disable_tqdm": True,
    "save_strategy": "no",
    "logging_steps": 1,
    "max_steps": 2,
    "learning_rate": 0.01,
    "per_device_train_batch_size": 2,
}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A JSONL file of ranked rows."""
    path = tmp_path / "ranked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture
def job(tmp_path: Path, rows: Path, llama_path: str) -> Path:
    """A YAML file for a short run."""
    path = tmp_path / "job.yaml"
    own = {"model_name_or_path": llama_path, "dataset_name": str(rows), "output_dir": str(tmp_path / "out")}
    path.write_text(yaml.safe_dump({**OPTIONS, **own}))
    return path


def launch(*command: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    source = Path(rrtf_trl.__file__).parents[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")])),
        "OMP_NUM_THREADS": "1",
        "PYTHON_EXEC": python(),  # the processes that torchrun starts
    }
    command_of = [python(), "-m"]
    if processes > 1:
        command_of += ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), "-m"]
    return subprocess.run([*command_of, *command], capture_output=True, text=True, timeout=120, env=environment)


def changed(folder: Path, llama_path: str) -> bool:
    trained, base = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (folder, llama_path))
    return any(not torch.equal(weight, base[name]) for name, weight in trained.items())


@pytest.mark.slow
def test_yaml_and_flags_train_and_save(
    job: Path, tmp_path: Path, llama_path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(job), "--max_steps", "1"]) == 0
    told = capfd.readouterr().out
    assert f"Model saved to {tmp_path / 'out'}." in told
    assert told.count("'grad_norm'") == 1  # one step: the flag won over the file
    assert changed(tmp_path / "out", llama_path)


@pytest.mark.slow
def test_two_processes_share_the_rows(job: Path, tmp_path: Path, llama_path: str) -> None:
    finished = launch("rrtf_trl.cli.trl_train", "--config", str(job), processes=2)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert finished.stdout.count("Model saved to") == 1
    assert changed(tmp_path / "out", llama_path)


@pytest.mark.slow
def test_options_of_accelerate_start_it(job: Path, tmp_path: Path, llama_path: str) -> None:
    settings = yaml.safe_load(job.read_text())
    job.write_text(yaml.safe_dump({**settings, "num_processes": 1}))  # in the file or as a flag
    finished = launch("rrtf_trl.cli", "trl-train", "--config", str(job), "--num_machines", "1")
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert changed(tmp_path / "out", llama_path)


def test_the_options_are_those_of_trl_dpo() -> None:
    ours = TrlParser((ScriptArguments, RRTFConfig, ModelConfig, DatasetMixtureConfig))
    assert set(make_parser()._option_string_actions) <= set(ours._option_string_actions)


def test_help_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: rrtf trl-train")
    assert all(flag in text for flag in ("--dataset_name", "--rank_weight", "--truncation_mode", "--use_peft"))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["folder", "mixture", "file in a mixture", "stream", "csv"])
def test_where_rows_come_from(form: str, job: Path, rows: Path, tmp_path: Path, llama_path: str) -> None:
    settings = yaml.safe_load(job.read_text())
    if form == "folder":
        folder = tmp_path / "rows"
        folder.mkdir()
        rows.rename(folder / "train.jsonl")
        settings["dataset_name"] = str(folder)
    elif form == "mixture":
        del settings["dataset_name"]
        settings["datasets"] = [{"path": "json", "data_files": str(rows)}]
    elif form == "file in a mixture":
        del settings["dataset_name"]
        settings["datasets"] = [{"path": str(rows)}]
    elif form == "csv":
        cells = [json.dumps(row["responses"]).replace('"', '""') for row in ROWS]
        lines = [f'"{row["prompt"]}","{cell}","{row["scores"]}"' for row, cell in zip(ROWS, cells, strict=True)]
        (tmp_path / "rows.csv").write_text("\n".join(["prompt,responses,scores", *lines]) + "\n")
        settings["dataset_name"] = str(tmp_path / "rows.csv")
    else:
        settings["dataset_streaming"] = True
    job.write_text(yaml.safe_dump(settings))
    assert main(["--config", str(job), "--max_steps", "1"]) == 0
    assert changed(tmp_path / "out", llama_path)


@pytest.mark.slow
def test_an_adapter_by_flags(job: Path, tmp_path: Path) -> None:
    flags = ["--use_peft", "--lora_r", "2", "--lora_target_modules", "q_proj", "v_proj", "--max_steps", "1"]
    assert main(["--config", str(job), *flags]) == 0
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["r"] == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--lerning_rate", "1"], "no option --lerning_rate; did you mean --learning_rate?"),
        (["stray"], "no option stray"),
        (["--loss_type", "ipo"], "is a loss of TRL's DPOTrainer"),
        (["--eval_strategy", "steps"], "has no split 'test', only train. Choose one with `--dataset_test_split`"),
        (["--dataset_train_split", "dev"], "has no split 'dev', only train. Choose one with `--dataset_train_split`"),
        (["--config", "missing.yaml"], "missing.yaml"),
        (["--accelerate_config", "zero9"], "Accelerate config zero9 is neither a file nor a valid config"),
        (["--max_length", "3"], "raise `max_length`"),
        (["--dataset_name", "none.csv"], "none.csv: no such file"),
        (["--dataset_name", __file__], "cannot be read as a data set"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    job: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = flags if flags[0] == "--config" else ["--config", str(job), *flags]
    assert main(arguments) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rrtf trl-train: ")]
    assert len(told) == 1
    assert message in told[0]


@pytest.mark.parametrize(
    ("missing", "message"), [("model_name_or_path", "--model_name_or_path"), ("dataset_name", "--dataset_name")]
)
def test_what_is_missing_is_named(job: Path, missing: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = yaml.safe_load(job.read_text())
    del settings[missing]
    job.write_text(yaml.safe_dump(settings))
    assert main(["--config", str(job)]) == 1
    assert message in capsys.readouterr().err
