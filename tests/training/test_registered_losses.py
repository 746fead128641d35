"""Losses of one's own: registered by name, called by the trainer, and the listwise one of the examples."""

from __future__ import annotations

import importlib.util
import itertools
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from rrtf_trl import RRTFConfig, RRTFTrainer, hookimpl
from rrtf_trl.plugins import PluginError, plugins, register
from rrtf_trl.training import LossOutput, imitation_loss, ordered_pairs

Configure = Callable[..., RRTFConfig]
Build = Callable[..., RRTFTrainer]

EXAMPLE = Path(__file__).parents[2] / "examples" / "listwise_loss.py"


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
    spec = importlib.util.spec_from_file_location("listwise_loss", EXAMPLE)
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
    [("rrft", "got 'rrft'. Did you mean 'rrtf'?"), ("list", "must be one of rrtf, rrhf, got 'list'. A loss of your")],
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


# -- ListMLE, the example --------------------------------------------------------------------------------


def plackett_luce(values: list[float]) -> dict[tuple[int, ...], float]:
    """Return the probability of every order, drawing first places one after the other."""
    found = {}
    for order in itertools.permutations(range(len(values))):
        probability, left = 1.0, list(order)
        for item in order:
            probability *= math.exp(values[item]) / sum(math.exp(values[other]) for other in left)
            left.remove(item)
        found[order] = probability
    return found


def test_list_mle_is_the_likelihood_of_the_order(config: Configure, example: ModuleType) -> None:
    draw = torch.Generator().manual_seed(0)
    logps = -torch.rand(7, dtype=torch.float64, generator=draw) * 10
    lengths = torch.randint(1, 9, (7,), generator=draw)
    groups = torch.tensor([0, 0, 0, 0, 1, 1, 1])
    scores = torch.tensor([0.0, 3.0, 1.0, 2.0, 5.0, -1.0, 0.5], dtype=torch.float64)
    found = example.list_mle(logps, lengths, scores, groups, config()).rank_loss
    values = (logps / lengths).tolist()
    assert sum(plackett_luce(values[:4]).values()) == pytest.approx(1)
    assert found[0].item() == pytest.approx(-math.log(plackett_luce(values[:4])[1, 3, 2, 0]), abs=1e-12)
    assert found[1].item() == pytest.approx(-math.log(plackett_luce(values[4:])[0, 2, 1]), abs=1e-12)


def test_list_mle_does_not_compare_equals(config: Configure, example: ModuleType) -> None:
    logps = torch.tensor([-1.0, -9.0, -2.0], dtype=torch.float64, requires_grad=True)
    ones, group = torch.ones(3), torch.zeros(3, dtype=torch.long)
    tied = example.list_mle(logps, ones, torch.tensor([1.0, 1.0, 1.0]), group, config())
    assert tied.rank_loss.tolist() == [0]
    assert len(tied.margins) == 0
    # Two equals above a third: each is drawn against the third alone.
    loss = example.list_mle(logps, ones, torch.tensor([2.0, 2.0, 1.0]), group, config()).rank_loss
    expected = math.log1p(math.exp(-2 + 1)) + math.log1p(math.exp(-2 + 9))
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    loss.sum().backward()
    assert torch.isfinite(logps.grad).all()


def test_list_mle_of_two_is_the_logistic_loss(config: Configure, example: ModuleType) -> None:
    logps = torch.tensor([-3.0, -1.5], dtype=torch.float64)
    group, scores = torch.zeros(2, dtype=torch.long), torch.tensor([1.0, 0.0])
    found = example.list_mle(logps, torch.tensor([2, 3]), scores, group, config()).rank_loss
    torch.testing.assert_close(found, -torch.nn.functional.logsigmoid(torch.tensor([-1.0], dtype=torch.float64)))


def test_list_mle_imitates_as_rrtf_does(config: Configure, example: ModuleType) -> None:
    logps, lengths = torch.tensor([-4.0, -2.0]), torch.tensor([2, 4])
    arguments = logps, lengths, torch.tensor([1.0, 0.0]), torch.zeros(2, dtype=torch.long), config()
    assert example.list_mle(*arguments).sft_loss.tolist() == [2.0]
    better, worse = ordered_pairs(*arguments[2:4], "all")
    assert (better.tolist(), worse.tolist()) == ([0], [1])
    assert example.list_mle(*arguments).margins.tolist() == [-1.5]
