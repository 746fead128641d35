from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser

from rrtf_trl.config.overrides import spelled_out, user_config_dirs
from rrtf_trl.plugins.folders import config_dir


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model=org/name", ["model=hub", "model.path=org/name"]),
        ("model=embedded", ["model=embedded"]),
        ("model=mine", ["model=mine"]),
        ("model=a/b,c/d", ["model=hub", "model.path=a/b,c/d"]),
        ("model.path=org/name", ["model.path=org/name"]),
        ("benchmark=none.jsonl", ["benchmark=files", "benchmark.path=none.jsonl"]),
        ("benchmark=humaneval", ["benchmark=humaneval"]),
        ("benchmark=hub:org/name", ["benchmark=files", "benchmark.path=hub:org/name"]),
        ("ranking=a/b", ["ranking=a/b"]),
    ],
)
def test_models_and_files_may_be_given_by_path(override: str, expected: list[str]) -> None:
    assert spelled_out(override, [config_dir()]) == expected


def test_a_choice_of_the_users_own_comes_before_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "conf" / "model").mkdir(parents=True)
    assert spelled_out("model=mine", [config_dir()]) == ["model=hub", "model.path=mine"]
    (tmp_path / "conf" / "model" / "mine.yaml").write_text("path: x\n")
    for arguments in (["--config-dir", "conf"], ["--config-dir=conf"], ["-cd", "conf"], ["-cp", "conf"]):
        folders = user_config_dirs(get_args_parser().parse_args(arguments))
        assert folders == [Path("conf")]
        assert spelled_out("model=mine", [config_dir(), *folders]) == ["model=mine"]
