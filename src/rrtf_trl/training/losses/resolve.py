"""Losses by name."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from rrtf_trl import registry

from .contract import NEEDS, LossInputs, LossOptions, LossOutput, passing_score, requirements

logger = logging.getLogger(__name__)

Loss: TypeAlias = "Callable[..., LossOutput]"
"""``(inputs, config, **options) -> LossOutput`` marked by :func:`~rrtf_trl.training.losses.token_loss`; or ``(logps,
lengths, scores, group_ids, config) -> LossOutput``, with the arguments of :func:`rrtf_loss`, which is called with
``from_teacher`` too if it has this parameter."""


class ResolvableOptions(LossOptions, Protocol):
    """The options that choose a loss and set its own options."""

    @property
    def loss_kwargs(self) -> Any:
        """A dict, or ``None``."""


@dataclass(frozen=True)
class ResolvedLoss:
    """The loss that a config chooses, to be called on a batch.

    Args:
        name: Its ``loss_type``.
        needs: Which optional :class:`LossInputs` it reads.
        sees_tokens: Whether it gets :class:`LossInputs`; if not, scores are float32 for it.
        compute: The loss with its options.
    """

    name: str
    needs: tuple[str, ...]
    sees_tokens: bool
    compute: Callable[[LossInputs], LossOutput]

    def __call__(self, inputs: LossInputs) -> LossOutput:
        """Return the loss of a batch.

        Raises:
            ValueError: If inputs that it needs are missing, or it does not return one value per group for each term.
        """
        for need in self.needs:
            if getattr(inputs, need) is None:
                raise ValueError(f"The loss {self.name!r} needs `{need}`: {NEEDS[need]}, or choose another loss.")
        output = self.compute(inputs)
        _check_shapes(self.name, output, inputs.groups)
        return output


def resolve_loss(config: ResolvableOptions) -> ResolvedLoss:
    """Return the loss of ``config.loss_type`` with the options of ``config.loss_kwargs``.

    Raises:
        KeyError: If there is no loss of this name.
        TypeError: If a plugin's function does not have the parameters of a loss.
        ValueError: If the loss has no such option, or needs to know which score passes and this is not set.
    """
    name = config.loss_type
    loss = find_loss(name)
    options = dict(config.loss_kwargs or {})
    check_loss_kwargs(name, options)
    needed = requirements(loss)
    if needed is None:
        _speak_of_sums(name)
        return ResolvedLoss(name, (), False, lambda inputs: _of_sums(loss, inputs, config))
    if needed.passing_score and passing_score(config) is None:
        raise ValueError(
            f"The loss {name!r} learns from which responses pass: set `rank_min_score` to the least score that does, "
            "or train on a data set with the column `passing_score`, which `rrtf_trl.rank` writes."
        )
    return ResolvedLoss(name, needed.needs, True, lambda inputs: loss(inputs, config, **options))


@functools.cache
def _speak_of_sums(name: str) -> None:
    logger.warning(
        f"The loss {name!r} is of contract 1: it gets the sums of log-probabilities, and works as before. One that is "
        "marked by `rrtf_trl.training.token_loss` sees each token."
    )


def find_loss(name: str) -> Loss:
    """Return the built-in or registered loss of a ``loss_type``.

    Raises:
        KeyError: If there is no loss of this name.
        TypeError: If a plugin's function does not have the parameters of a loss.
    """
    loss: Loss = registry.find("loss", name)
    sees_tokens = requirements(loss) is not None
    arguments = "inputs, config" if sees_tokens else "logps, lengths, scores, group_ids, config"
    keywords = _options(loss) if sees_tokens else _extras(loss)
    try:
        inspect.signature(loss).bind(*[None] * len(arguments.split(", ")), **dict.fromkeys(keywords))
    except (TypeError, ValueError) as error:
        raise TypeError(f"The loss {name!r} cannot be called as ({arguments}): {error}.") from error
    return loss


def check_loss_kwargs(name: str, options: Mapping[str, Any]) -> None:
    """Check the options of the loss of a ``loss_type``.

    Raises:
        ValueError: If it has no such option, or one without a default is not set.
    """
    loss = find_loss(name)
    known = _options(loss) if requirements(loss) is not None else {}
    for option in options:
        if option not in known:
            has = f"has {', '.join(known)}" if known else "has none"
            raise ValueError(f"`loss_kwargs` has {option!r}, which is no option of the loss {name!r}: it {has}.")
    for option, parameter in known.items():
        if parameter.default is parameter.empty and option not in options:
            raise ValueError(f"The loss {name!r} needs its option {option!r}: set it in `loss_kwargs`.")


def _of_sums(loss: Loss, inputs: LossInputs, config: LossOptions) -> LossOutput:
    logps = inputs.logps
    extras = {"from_teacher": inputs.from_teacher} if _extras(loss) else {}
    return loss(logps, inputs.lengths, inputs.scores.to(logps.dtype), inputs.group_ids, config, **extras)


def _options(loss: Loss) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(loss).parameters
    return {name: parameter for name, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY}


def _extras(loss: Loss) -> list[str]:
    return [name for name in ("from_teacher",) if name in inspect.signature(loss).parameters]


def _check_shapes(name: str, output: LossOutput, groups: int) -> None:
    for term in ("rank_loss", "sft_loss"):
        shape = tuple(getattr(output, term).shape)
        if shape != (groups,):
            raise ValueError(
                f"The loss {name!r} returned `{term}` of shape {shape} for {groups} groups; it must have one value "
                f"per group, shape ({groups},)."
            )


# -- Groups that add nothing -----------------------------------------------------------------------------

_RANKED = ("rrtf", "rrhf", "list_mle", "lipo", "dpo_pl", "simpo")
"""Losses that rank only below responses of at least ``rank_min_score``."""

_MIXED = ("nft", "real", "tree_credit")
"""Losses to which a group adds nothing if all of its responses fail."""


def least_score(config: LossOptions) -> float | None:
    """Return the score that a group's best response must have for the group to add to the loss; ``None`` for any.

    For a registered loss this is not known: ``None``.
    """
    if config.loss_type not in (*_RANKED, *_MIXED):
        return None
    rank_score = config.rank_min_score if config.loss_type in _RANKED else passing_score(config)
    terms = ((config.rank_weight, rank_score), (config.sft_weight, config.sft_min_score))
    needed = [min_score for weight, min_score in terms if weight > 0]
    return None if None in needed else min(score for score in needed if score is not None)
