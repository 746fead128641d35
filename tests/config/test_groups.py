"""``null`` for a group, and options of what is not chosen."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf

from rrtf_trl.config.error_messages import error_message
from rrtf_trl.config.groups import drop_unused, for_any_choice, refuse_never_used, refuse_unused, without_null
from rrtf_trl.config.home import at_home
from rrtf_trl.config.overrides import settings
from rrtf_trl.errors import UserError
from rrtf_trl.plugins.folders import config_dir

FOLDERS = [config_dir()]


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("config", settings(overrides, FOLDERS, "config"))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("adapter=null", "adapter=none"),
        ("+quantization=null", "+quantization=none"),
        ("decontamination=null", "decontamination=none"),
        ("adapter=null,lora", "adapter=none,lora"),
        ("adapter=none", "adapter=none"),
        ("adapter=lora", "adapter=lora"),
        ("adapter=", None),
        ("sampler=[reference]", "sampler=[reference]"),
        ("~experiment", "~experiment"),
        ("adapter.r=null", "adapter.r=null"),
        ("train=null", "train=null"),
    ],
)
def test_null_for_a_group_is_its_choice_none(override: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(UserError, match="adapter has no choice ''; there are lora, none"):
            without_null(override, FOLDERS)
    else:
        assert without_null(override, FOLDERS) == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("experiment=null", "experiment has no choice null; there are .*quickstart.*; ~experiment leaves it out"),
        ("ranking=null", "ranking has no choice null; there are coderl, ordinal"),
        ("sampler=null", "sampler has no choice null; there are openai"),
        ("sampler=[null]", r"sampler has no choice \[null\]; there are"),
        ("feedback=[unit_tests,3]", "feedback has no choice"),
        ("adapter=[]", r"adapter has no choice \[\]; there are lora, none"),
        ("adapter=true", "adapter has no choice true; there are lora, none"),
        ("adapter=1", "adapter has no choice 1; there are"),
        ("adapter={a:1}", "adapter has no choice"),
        ("ranking=ordinal,null", "ranking has no choice null"),
    ],
)
def test_what_is_no_choice_is_refused_with_the_choices(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        without_null(override, FOLDERS)


def test_null_and_none_are_the_same_configuration() -> None:
    assert composed("adapter=null", "decontamination=null") == composed("adapter=none", "decontamination=none")


REPLAY = "sampler.replay.path=a.jsonl"


@pytest.mark.parametrize("override", [REPLAY, f"+{REPLAY}", f"++{REPLAY}"])
def test_an_option_of_what_is_not_chosen_is_told_with_the_choice_to_make(override: str) -> None:
    overrides = settings(["sampler=[reference]", override], FOLDERS, "config")
    assert f"++{REPLAY}" in overrides
    with pytest.raises(UserError, match=r"replay is not chosen; add it: sampler=\[reference,replay\]$"):
        refuse_unused(composed("sampler=[reference]", override), overrides)
    refuse_unused(composed("sampler=[reference,replay]", override), overrides)


def test_a_mistyped_option_stays_one() -> None:
    for override in ("sampler.replay.pth=x", "sampler.rplay.path=x"):
        assert for_any_choice(override, FOLDERS) == override
        with pytest.raises(ConfigCompositionException):
            composed("sampler=[replay]", override)


@pytest.mark.parametrize(
    ("overrides", "dropped"),
    [
        (["sampler=[reference]", REPLAY, "sampler.replay.n=2"], [REPLAY, "sampler.replay.n=2"]),
        (["sampler=[reference,replay]", REPLAY], []),
        (["feedback=[unit_tests]", "feedback.teacher.client.model=m"], ["feedback.teacher.client.model=m"]),
        (["sampler=[reference]", "feedback=[human]", "feedback.unit_tests.timeout=1"], []),
    ],
)
def test_a_job_of_a_sweep_has_the_configuration_without_what_it_does_not_use(
    overrides: list[str], dropped: list[str]
) -> None:
    config = composed(*overrides)
    kept = drop_unused(config, overrides)
    assert kept == [override for override in overrides if override not in dropped]
    assert config == composed(*kept)
    refuse_unused(config, overrides)


def test_a_sweep_in_which_no_job_chooses_it_is_refused() -> None:
    sweep = "sampler=[reference],[transformers]"
    with pytest.raises(UserError, match=r"replay is not chosen in any job of sampler=\[reference\],\[transformers\]"):
        refuse_never_used([sweep, REPLAY], FOLDERS)
    refuse_never_used(["sampler=[reference],[reference,replay]", REPLAY], FOLDERS)
    refuse_never_used(["feedback=[human]", "feedback.unit_tests.timeout=1"], FOLDERS)
    refuse_never_used(["seed=1,2", REPLAY], FOLDERS)  # what an experiment chooses is seen in the job


def test_an_option_of_another_choice_is_told_with_the_choices_that_have_it() -> None:
    with (
        initialize_config_dir(str(config_dir()), version_base="1.3"),
        pytest.raises(ConfigCompositionException) as error,
    ):
        compose("evaluate", ["benchmark=exercises", "benchmark.prompt_form=chat"])
    message = error_message(error.value)
    assert message is not None
    assert message.startswith("no option 'benchmark.prompt_form' here; benchmark=apps, files, humaneval,")


def test_home_is_found_anywhere_in_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    config = composed(
        "model=~/m", "runs_dir=~/runs", "sampler=[replay]", "sampler.replay.path=~/a b.jsonl", "name=a~b"
    )
    found = at_home(config)
    assert (found.model.path, found.runs_dir, found.name) == ("/home/ann/m", "/home/ann/runs", "a~b")
    assert found.sampler.replay.path == "/home/ann/a b.jsonl"
    assert OmegaConf.is_struct(found) == OmegaConf.is_struct(config)
    assert at_home(found) is found
    nested = OmegaConf.create({"runs_dir": "~/r", "of": {"cache": "${runs_dir}/c"}, "paths": ["~/a", "~b", "~", 3]})
    assert at_home(nested).of.cache == "/home/ann/r/c"
    assert at_home(nested).paths == ["/home/ann/a", "~b", "/home/ann", 3]


def test_a_folder_of_ones_own_has_choices_too(tmp_path: Path) -> None:
    (tmp_path / "ranking").mkdir()
    (tmp_path / "ranking" / "none.yaml").write_text("{}\n")
    assert without_null("ranking=null", [*FOLDERS, tmp_path]) == "ranking=none"
