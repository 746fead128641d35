"""Losses of one's own: registered by name, called by the trainer, and the one of the examples."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from rrtf_trl import RRTFConfig, RRTFTrainer, hookimpl
from rrtf_trl.plugins import PluginError, plugins, register
from rrtf_trl.registry import BUILTIN
from rrtf_trl.training import LossOutput, imitation_loss
from support.loss_batches import Answer, as_inputs

Configure = Callable[..., RRTFConfig]
Build = Callable[..., RRTFTrainer]

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_loss.py"


@pytest.fixture(autouse=True)
def _forget_losses() -> Iterator[None]:
    yield
    plugins.cache_clear()


def register_loss(name: str, loss: Any, plugin: str = "mine") -> None:
    class Mine:
        RRTF_CONTRACT = 1

        @staticmethod
        @hookimpl
        def rrtf_losses() -> dict[str, Any]:
            return {name: loss}

    register(Mine, plugin)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("own_loss", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def terms(groups: int, value: float = 1.0) -> LossOutput:
    return LossOutput(torch.full((groups,), value), torch.zeros(groups), torch.zeros(0))


# -- The registry ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_registered_loss_trains(trainer: Build, llama_path: str) -> None:
    seen: dict[str, Any] = {}

    def mine(logps: Tensor, lengths: Tensor, scores: Tensor, group_ids: Tensor, config: RRTFConfig) -> LossOutput:
        seen.update(shapes={tuple(t.shape) for t in (logps, lengths, scores, group_ids)}, weight=config.rank_weight)
        groups = int(group_ids[-1]) + 1
        loss = logps.new_zeros(groups).index_add(0, group_ids, logps / lengths)
        return LossOutput(loss, torch.zeros_like(loss), (logps[:1] - logps[1:2]).detach())

    register_loss("mine", mine)
    # Seven groups of 21 responses in all.
    ours = trainer(llama_path, loss_type="mine", rank_weight=0.5, per_device_train_batch_size=7)
    before = {name: weight.clone() for name, weight in ours.model.state_dict().items()}
    ours.train()
    assert seen == {"shapes": {(21,)}, "weight": 0.5}
    log = ours.state.log_history[0]
    assert log["loss"] == pytest.approx(0.5 * log["rank_loss"], rel=1e-4)
    assert any(not torch.equal(weight, before[name]) for name, weight in ours.model.state_dict().items())


@pytest.mark.slow
def test_a_loss_that_asks_for_the_teachers_responses_gets_them(trainer: Build, llama_path: str) -> None:
    seen: list[Tensor] = []

    def mine(
        logps: Tensor, lengths: Tensor, scores: Tensor, group_ids: Tensor, config: RRTFConfig, from_teacher: Tensor
    ) -> LossOutput:
        seen.append(from_teacher)
        loss = imitation_loss(logps, lengths, scores, group_ids, config, from_teacher=from_teacher)
        return LossOutput(torch.zeros_like(loss), loss, logps.new_zeros(0))

    register_loss("mine", mine)
    trainer(llama_path, loss_type="mine", per_device_train_batch_size=7).train()
    assert seen[0].dtype == torch.bool
    assert seen[0].sum() == 11  # of the 21 responses


def test_a_name_is_given_once() -> None:
    def mine(logps: Tensor, lengths: Tensor, scores: Tensor, group_ids: Tensor, config: RRTFConfig) -> LossOutput:
        return terms(1)

    register_loss("mine", mine)
    register_loss("mine", mine)  # a cell of a notebook that is run again
    for name, owner in (("mine", "plugin mine"), ("rrtf", "rrtf-trl")):
        with pytest.raises(PluginError, match=f"loss '{name}' is refused: {owner}.* has this name"):
            register_loss(name, lambda a, b, c, d, e: terms(1), "another")
    assert plugins().registered("loss")["mine"].load() is mine


def test_a_loss_of_other_arguments_is_refused_at_once(config: Configure) -> None:
    register_loss("mine", lambda logps, scores: terms(1))
    with pytest.raises(TypeError, match=r"cannot be called as \(logps, lengths, scores, group_ids, config\)"):
        config(loss_type="mine")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rrft", "got 'rrft'. Did you mean 'rrtf'?"),
        ("focal", f"must be one of {', '.join(BUILTIN['loss'])}, got 'focal'. A loss of your"),
    ],
)
def test_an_unknown_loss_is_named_with_those_that_there_are(config: Configure, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        config(loss_type=name)


def test_a_registered_name_of_a_dpo_loss_is_taken(config: Configure) -> None:
    register_loss("ipo", lambda logps, lengths, scores, group_ids, config: terms(1))
    assert config(loss_type="ipo").loss_type == "ipo"


@pytest.mark.slow
def test_one_value_for_the_whole_batch_is_refused(trainer: Build, llama_path: str) -> None:
    def mine(logps: Tensor, lengths: Tensor, scores: Tensor, group_ids: Tensor, config: RRTFConfig) -> LossOutput:
        return LossOutput(logps.mean(), logps.mean(), logps.new_zeros(0))

    register_loss("mine", mine)
    with pytest.raises(ValueError, match=r"'mine' returned `rank_loss` of shape \(\) for 2 groups"):
        trainer(llama_path, loss_type="mine", per_device_train_batch_size=2).train()


# -- The example -----------------------------------------------------------------------------------------


def test_the_example_credits_tokens_where_the_policy_hesitates(config: Configure, example: ModuleType) -> None:
    logps = [-1.0, -2.0, -4.0]
    answers = [Answer([0, 1, 2], logps, logps, logps, score) for score in (3.0, 1.0)]
    inputs = replace(as_inputs([answers]), entropy=torch.tensor([0.1, 0.5, 2.0, 0.4, 0.6, 0.3]))
    output = example.forking_tokens(inputs, config(), least_entropy=0.5)
    # Advantages are 1 and -1; of the first response two tokens count, of the second one.
    assert output.rank_loss.item() == pytest.approx(((2 + 4) / 3 - 2 / 3) / 2)
    assert output.sft_loss.tolist() == pytest.approx([7 / 3])
    assert output.metrics["hesitates"].tolist() == [0, 1, 1, 0, 1, 0]
