"""`rrtf config`, and what any Hydra application can do, by the command line."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from rrtf_trl.cli.config import main
from rrtf_trl.config.error_messages import error_message
from rrtf_trl.config.options import choices
from rrtf_trl.errors import UserError
from rrtf_trl.plugins.folders import config_dir
from support.warm_python import python

ROOT = Path(__file__).parents[2]


def rrtf(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [python(), "-m", "rrtf_trl.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=dict(os.environ))


def needs_what_the_files_name() -> None:
    for package in ("peft", "bitsandbytes"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'rrtf-trl[dev]'")


def test_the_page_of_options_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    needs_what_the_files_name()
    assert main(["options", "--markdown"]) == 0
    written = capsys.readouterr().out
    assert (ROOT / "docs" / "options.md").read_text() == written, (
        "RRTF_PLUGINS=none rrtf config options --markdown > docs/options.md"
    )


def test_every_group_and_option_says_what_it_is() -> None:
    needs_what_the_files_name()
    for choice in choices([config_dir()]):
        assert choice.help, f"{choice.group}/{choice.name}.yaml begins with no comment"
        for option in choice.options:
            assert option.help, f"{choice.group}/{choice.name}.yaml: {option.key} has no comment"
            assert option.type or option.default in ("null", "must be given") or "${" in option.default, option.key


def test_the_documentation_names_every_group() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    for group in {choice.group for choice in choices([config_dir()], ["model", "ranking", "problems"])}:
        assert f"`{group}`" in text
    for folder in config_dir().iterdir():
        if folder.is_dir():
            assert f"`{folder.name}`" in text, folder.name
            for file in folder.glob("[!_]*.yaml"):
                assert f"{file.stem}`" in text or f"[{file.stem}]`" in text, file


def test_options_of_a_group_come_from_classes_and_comments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options", "ranking", "feedback"]) == 0
    output = capsys.readouterr().out
    assert "    ranking.partial_slope=0.0  (float)  " in output
    assert (
        "    feedback.unit_tests.workers=null  (int | null)  checks at a time; null is one a processor core" in output
    )
    assert "Literal['lexicographic', 'weighted', 'paper']" in output
    assert "trainer." not in output
    with pytest.raises(UserError, match=r"no group 'rankng'; there are config, .*ranking"):
        main(["options", "rankng"])


def test_options_of_a_folder_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ranking").mkdir()
    (tmp_path / "ranking" / "mine.yaml").write_text("# Mine.\ndefaults: [ordinal]\ntie_break: 0.25 # narrow\n")
    assert main(["options", "ranking", "--config-dir", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert "ranking=mine  Mine.\n    sets ordinal\n    ranking.tie_break=0.25  (float)  narrow\n" in output


@pytest.mark.parametrize(
    "doc",
    [
        "Ranks.\n\nArgs:\n    weight: What it weighs. And more.",
        "Ranks.\n\nArgs:\n    > A heading\n\n    weight (`float`, *optional*):\n        What it weighs. And more.",
        "Ranks.\n\nParameters\n----------\nweight : float\n    What it weighs. And more.",
        "Ranks.\n\n:param weight: What it weighs. And more.",
    ],
)
def test_a_class_of_anyones_tells_of_its_options(doc: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"class Mine:\n    def __init__(self, weight: float) -> None: ...\n\nMine.__doc__ = {doc!r}\n"
    monkeypatch.delitem(sys.modules, "their_rank", raising=False)
    importlib.invalidate_caches()
    (tmp_path / "their_rank.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "conf" / "ranking").mkdir(parents=True)
    (tmp_path / "conf" / "ranking" / "mine.yaml").write_text("# Mine.\n_target_: their_rank.Mine\nweight: 0.5\n")
    (choice,) = choices([tmp_path / "conf"])
    assert [(option.type, option.help) for option in choice.options] == [("float", "What it weighs")]


@pytest.mark.parametrize(
    ("name", "overrides", "right"),
    [
        ("config", ["sampler=[openai]", "sampler.openai.modle=x"], "sampler.openai.client.model"),
        ("config", ["sampler=[openai]", "sampler.openai.client.modle=x"], "sampler.openai.client.model"),
        ("config", ["sampler=[openai]", "sampler.openai.batch=x"], "sampler.openai.batch_size"),
        ("config", ["feedback=[unit_tests,teacher]", "feedback.teacher.modell=x"], "feedback.teacher.client.model"),
        ("config", ["trianer.learning_rate=1"], "trainer.learning_rate"),
        ("config", ["learning_rate=1"], "trainer.learning_rate"),
        ("evaluate", ["leakage_kindz=[]"], "leakage_kinds"),
        ("evaluate", ["benchmark.pth=x"], "benchmark.path"),
    ],
)
def test_a_mistyped_option_is_told_with_the_right_one(name: str, overrides: list[str], right: str) -> None:
    with (
        initialize_config_dir(str(config_dir()), version_base="1.3"),
        pytest.raises(ConfigCompositionException) as caught,
    ):
        compose(name, overrides)
    key = overrides[-1].partition("=")[0]
    assert str(error_message(caught.value)).startswith(f"no option {key!r}; did you mean {right!r}?")


def test_show_prints_the_whole_configuration_resolved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ranking").mkdir()
    (tmp_path / "ranking" / "mine.yaml").write_text("defaults: [ordinal]\ntie_break: 0.25\n")
    assert main(["show", "seed=7", "ranking=mine", "model=some/model", "-cd", str(tmp_path)]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["trainer"]["seed"] == shown["problems"]["train"]["seed"] == 7
    assert shown["ranking"]["tie_break"] == 0.25
    assert shown["model"]["path"] == shown["sampler"]["transformers"]["model"] == "some/model"
    assert main(["show", "problems=files"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["problems"]["train"]["path"] == "???"
    assert main(["show", "-cn", "evaluate", "benchmark=humaneval"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["benchmark"]["name"] == "humaneval"


def test_diff_tells_what_differs_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, weight in (("a", 1.0), ("b", 2.0)):
        (tmp_path / name).mkdir()
        config = {"trainer": {"rank_weight": weight, "bf16": True}, "only": {"here": None}} if name == "a" else {}
        OmegaConf.save(config or {"trainer": {"rank_weight": weight, "bf16": True}}, tmp_path / name / "config.yaml")
        (tmp_path / name / "run.json").write_text(f'{{"versions": {{"torch": "{weight}", "trl": "1"}}}}')
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert ["trainer.rank_weight", "1.0", "2.0"] in lines
    assert ["only.here", "null", "(not", "there)"] in lines
    assert ["torch", "(version)", "1.0", "2.0"] in lines
    assert not any("bf16" in line or "trl" in line for line in lines)
    main(["diff", str(tmp_path / "a" / "config.yaml"), str(tmp_path / "a")])
    assert "the same configuration" in capsys.readouterr().out
    with pytest.raises(UserError, match="expected the folder of a run"):
        main(["diff", str(tmp_path), str(tmp_path / "a")])


@pytest.mark.slow
def test_what_any_hydra_application_does(tmp_path: Path) -> None:
    found = rrtf(tmp_path, "run", "--cfg", "job", "seed=5")
    assert yaml.safe_load(found.stdout)["seed"] == 5
    assert yaml.safe_load(found.stdout)["trainer"]["seed"] == "${seed}"
    assert "Defaults Tree" in rrtf(tmp_path, "run", "--info", "defaults-tree").stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_tab_completion_in_a_real_shell(tmp_path: Path) -> None:
    """As bash does it: the line and the word so far are set, and the function that Hydra installs is called."""
    (tmp_path / "rrtf").write_text(f'#!/bin/sh\nexec {python()} -m rrtf_trl.cli "$@"\n')
    (tmp_path / "rrtf").chmod(0o755)
    script = """
eval "$(rrtf -sc install=bash)"
complete -p rrtf
ask() { COMP_LINE="$1"; COMP_POINT=${#1}; COMP_CWORD=$2; hydra_bash_completion; echo "${COMPREPLY[@]}"; }
ask "rrtf qu" 1
ask "rrtf run ranking=" 2
ask "rrtf run seed=1 trainer.rank_w" 3
ask "rrtf doc" 1
ask "rrtf doctor --" 2
ask "rrtf evaluate benchmark=mbpp_p" 2
"""
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    found = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=path, capture_output=True, text=True, check=True)
    installed, command, choice, option, other, flags, benchmark = found.stdout.splitlines()
    assert installed.endswith("-F hydra_bash_completion rrtf")
    assert command == "quantize"
    assert choice.split() == ["ranking=coderl", "ranking=ordinal", "ranking=pass_ratio", "ranking=rltf"]
    assert option.startswith("trainer.rank_weight=")
    assert (other, flags) == ("doctor", "")
    assert benchmark == "benchmark=mbpp_plus"


@pytest.mark.slow
def test_a_folder_of_ones_own_beside_ours(tmp_path: Path) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\nname: mine\nseed: nine\n")
    found = rrtf(tmp_path, "rank", "--config-dir", "conf", "experiment=mine")
    assert found.returncode == 1
    assert "rrtf: seed: expected int, got 'nine' (set in " in found.stderr
    assert "conf/experiment/mine.yaml)" in found.stderr
