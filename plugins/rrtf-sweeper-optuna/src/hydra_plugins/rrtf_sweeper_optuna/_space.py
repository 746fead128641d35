"""The search space: from Hydra's grammar to Optuna's distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins  # noqa: F401 (the parser needs Hydra's plugins to be there)
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from rrtf_trl.errors import UserError


@dataclass(frozen=True)
class Space:
    """The searched and the fixed settings.

    Args:
        searched: A distribution for each key.
        fixed: Overrides of every trial.
    """

    searched: dict[str, BaseDistribution]
    fixed: list[str]

    @classmethod
    def of(cls, parser: OverridesParser, params: dict[str, str], arguments: list[str]) -> Space:
        """Read the space from the sweeper's ``params`` and the command line, which takes precedence.

        Raises:
            UserError: If there is nothing to search.
        """
        searched: dict[str, BaseDistribution] = {}
        fixed: dict[str, str] = {}
        for override in parser.parse_overrides([*(f"{key}={value}" for key, value in params.items()), *arguments]):
            key = override.get_key_element()
            searched.pop(key, None)
            fixed.pop(key, None)
            if override.is_sweep_override():
                searched[key] = distribution(override)
            else:
                fixed[key] = f"{key}={override.get_value_element_as_str()}"
        if not searched:
            raise UserError(
                "hydra/sweeper=rrtf_optuna: nothing to search; give a range, as 'trainer.rank_weight=interval(0.1,10)'"
            )
        return cls(searched, list(fixed.values()))


def distribution(override: Override) -> BaseDistribution:
    """Return the distribution that an override describes.

    ``a,b,c`` and ``choice(a,b,c)`` are choices; ``range(1,10)`` are steps; ``interval(a,b)`` is continuous, and
    ``int(interval(a,b))`` integers; ``tag(log,...)`` searches on a log scale.
    """
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        low, high = sweep.start, sweep.end
        assert low is not None
        assert high is not None
        log = "log" in sweep.tags
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(float(low), float(high), log=log)
    if isinstance(sweep, RangeSweep) and not sweep.shuffle:
        start, stop, step = sweep.start or 0, sweep.stop, sweep.step
        assert stop is not None
        last = start + (math.ceil((stop - start) / step) - 1) * step  # Hydra excludes the end, Optuna includes it
        if isinstance(start, int) and isinstance(last, int) and isinstance(step, int):
            return IntDistribution(start, last, step=step)
        return FloatDistribution(float(start), float(last), step=float(step))
    return CategoricalDistribution(list(override.sweep_string_iterator()))
