"""Wrong values are told by key and place; what is built from a configuration knows nothing of Hydra."""

import functools
import io
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from rrtf_trl.config.error_messages import error_message
from rrtf_trl.config.instantiate import build_pipeline, check_choices
from rrtf_trl.config.types import check_types, fits
from rrtf_trl.errors import UserError
from rrtf_trl.feedback import UnitTests
from rrtf_trl.plugins.folders import config_dir
from rrtf_trl.storage.run_folder import RunFolder

NOT_TRAINING = ("trainer", "quantization", "adapter")


def composed(*overrides: str, name: str = "config") -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose(name, list(overrides))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=x", "seed: expected int, got 'x'"),
        ("rounds=two", "rounds: expected int, got 'two'"),
        ("evaluation.n=many", "evaluation.n: expected int, got 'many'"),
        ("problems.train.limit=x", r"problems.train.limit: expected int \| null, got 'x'"),
        ("sampler.transformers.temperatures=[hot]", r"sampler.transformers.temperatures: expected list\[float\]"),
        ("feedback.unit_tests.timeout=long", "feedback.unit_tests.timeout: expected float, got 'long'"),
        ("ranking.scores.passed=high", r"ranking.scores: expected dict\[str, float\]"),
        ("ranking.combine=papr", r"ranking.combine: expected one of lexicographic, weighted, paper"),
        ("ranking.drop_teacher_below=1", "ranking.drop_teacher_below: expected bool, got 1"),
    ],
)
def test_a_value_of_the_wrong_type_is_told_by_its_key(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_types(composed(override), NOT_TRAINING)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["sampler=[transformers,openai,reference]", "+sampler.openai.client.model=m"],
        ["experiment=my_model", "model.path=m", "problems.train.path=a", "problems.heldout.path=b", "ranking=rltf"],
        ["evaluation=paper", "feedback=[unit_tests,teacher]", "+feedback.teacher.client.model=m"],
    ],
)
def test_what_is_right_passes(overrides: list[str]) -> None:
    check_types(composed(*overrides), NOT_TRAINING)


@pytest.mark.slow
@pytest.mark.parametrize(("ranking", "passed"), [("ordinal", 3.0), ("rltf", 1.0), ("pass_ratio", 1.0)])
@pytest.mark.parametrize("limit", ["sft_min_score", "rank_min_score"])
def test_answers_that_pass_are_preferred_whatever_the_scores(ranking: str, passed: float, limit: str) -> None:
    assert composed(f"ranking={ranking}").trainer[limit] == passed
    assert composed(f"ranking={ranking}", f"trainer.{limit}=null").trainer[limit] is None


@pytest.mark.slow
def test_scores_between_0_and_1_want_a_limit_of_their_own() -> None:
    weighted = ["ranking.combine=weighted", "ranking.weights={unit_tests: 1}"]
    told = r"trainer\.sft_min_score=3 and trainer\.rank_min_score=3: with .*weighted scores are between 0 and 1"
    with pytest.raises(UserError, match=told):
        check_choices(composed(*weighted))
    with pytest.raises(UserError, match=r"^trainer\.rank_min_score=3: with"):
        check_choices(composed(*weighted, "trainer.sft_min_score=0.9"))
    for limit in ("0.9", "null"):
        check_choices(composed(*weighted, f"trainer.sft_min_score={limit}", f"trainer.rank_min_score={limit}"))


def test_every_trainer_option_that_we_set_is_of_its_type() -> None:
    check_types(composed("adapter=lora"), ("quantization",))
    with pytest.raises(UserError, match=r"trainer\.learning_rate: expected float, got 'fast'"):
        check_types(composed("trainer.learning_rate=fast"))


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, float, True),
        (True, int, False),
        (True, float, False),
        (1.0, int, False),
        (None, int | None, True),
        ("a", Literal["a", "b"], True),
        ("c", Literal["a", "b"], False),
        ([1, 2], list[int], True),
        ([1, "2"], list[int], False),
        ({"a": 1}, dict[str, float], True),
        ("text", Path, True),
        ("text", Callable[[str], int] | str, True),
        ("text", RunFolder | None, True),
        ("text", "a name of a type checker's", True),
        ([1, 2], tuple[int, int], True),
        ("text", Sequence[str], False),
        (["text"], Sequence[str], True),
        ({"a": None}, Mapping[str, float | None], True),
        ({"a": "b"}, Mapping[str, float | None], False),
        (True, Literal["auto", True], True),
        ([1], Any, True),
    ],
)
def test_fits(value: Any, kind: Any, expected: bool) -> None:
    assert fits(value, kind) is expected


def reached(thing: Any, seen: set[int], path: str) -> Iterator[tuple[str, Any]]:
    """Yield everything that an object holds, however deep, with the way to it."""
    if id(thing) in seen or isinstance(thing, str | int | float | bytes | type | None):
        return
    seen.add(id(thing))
    yield path, thing
    parts: dict[str, Any] = {}
    if isinstance(thing, dict):
        parts = {f"[{key!r}]": value for key, value in thing.items()}
    elif isinstance(thing, list | tuple | set):
        parts = {f"[{index}]": value for index, value in enumerate(thing)}
    elif isinstance(thing, types.FunctionType):
        parts = {"()": [cell.cell_contents for cell in thing.__closure__ or ()]}
    elif isinstance(thing, functools.partial):
        parts = {"()": [thing.args, thing.keywords]}
    elif type(thing).__module__.partition(".")[0] in ("rrtf_trl", "trl", "transformers", "peft"):
        parts = {f".{name}": value for name, value in getattr(thing, "__dict__", {}).items()}
    for name, part in parts.items():
        yield from reached(part, seen, path + name)


@pytest.mark.slow
def test_nothing_of_hydra_gets_into_what_is_built(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    pytest.importorskip("bitsandbytes")
    config = composed(
        f"runs_dir={tmp_path}",
        "quantization=bnb_4bit",
        "adapter=lora",
        "sampler=[transformers,reference]",
        "+trainer.optim_args='a=b'",
        "+trainer.gradient_checkpointing_kwargs={use_reentrant: false}",
        "+trainer.lr_scheduler_kwargs={num_cycles: 1}",
    )
    pipeline = build_pipeline(config, RunFolder(tmp_path / "run"), Console(file=io.StringIO()))
    found = dict(reached(pipeline, set(), "pipeline"))
    assert len(found) > 30
    assert any(type(thing).__name__ == "RRTFConfig" for thing in found.values())
    assert any(type(thing).__name__ == "LoraConfig" for thing in found.values())
    leaks = [path for path, thing in found.items() if OmegaConf.is_config(thing)]
    assert leaks == []
    pipeline.store.close()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rankng=rltf", "no option 'rankng'; did you mean 'ranking'?"),
        ("ranking=rltff", "ranking has no choice 'rltff'; did you mean 'rltf'?"),
        ("sampler=[transformerz]", "sampler has no choice 'transformerz'; did you mean 'transformers'?"),
        ("trainer.rank_wieght=1", "no option 'trainer.rank_wieght'; did you mean 'trainer.rank_weight'?"),
    ],
)
def test_a_mistyped_name_gets_the_nearest_right_one(override: str, message: str) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 (Hydra's own)
        composed(override)
    explained = error_message(raised.value)
    assert explained is not None
    assert explained.startswith(message)


def test_what_is_not_chosen_is_left_aside_and_told_where_a_user_sets_it(tmp_path: Path) -> None:
    """The quick start sets options of the transformers sampler and of decontamination; each may be left away."""
    config = composed(f"runs_dir={tmp_path}", "sampler=[reference]", "decontamination=none")
    pipeline = build_pipeline(config, RunFolder(tmp_path / "run"), Console(file=io.StringIO()), "rank")
    assert list(pipeline.samplers) == ["reference"]
    assert pipeline.decontaminator is None
    with pytest.raises(UserError, match="unit_tests must be among them"):
        build_pipeline(
            composed(f"runs_dir={tmp_path}", "feedback=[human]", "feedback.human.labels=l.jsonl"),
            RunFolder(tmp_path / "run"),
            Console(file=io.StringIO()),
            "rank",
        )


@pytest.mark.slow
def test_options_of_unit_tests_apply_to_evaluation_when_they_do_not_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tests_of(option: str) -> UnitTests:
        overrides = [f"runs_dir={tmp_path}", "feedback=[human]", f"feedback.human.labels={tmp_path}/l.jsonl", option]
        limits = ["trainer.sft_min_score=null", "trainer.rank_min_score=null"]
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            config = compose("config", [*overrides, *limits], return_hydra_config=True)
        monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
        HydraConfig.instance().set_config(config)
        config = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
        pipeline = build_pipeline(config, RunFolder(tmp_path / "run"), Console(file=io.StringIO()), "rank")
        assert list(pipeline.feedback) == ["human"]
        assert isinstance(pipeline.tests, UnitTests)
        return pipeline.tests

    (tmp_path / "l.jsonl").touch()
    assert tests_of("+feedback.unit_tests.timeout=2.5").timeout == 2.5
    with pytest.raises(UserError, match=r"feedback\.unit_tests\.timeout: expected float, got 'long'"):
        tests_of("+feedback.unit_tests.timeout=long")
    with pytest.raises(UserError, match=r"feedback\.teacher\.votes: teacher is not chosen"):
        tests_of("+feedback.teacher.votes=3")
