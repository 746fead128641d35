"""The gain of training: each figure before and after, paired over the same problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rrtf_trl.statistics.pass_at_k import paired_gain

from .measurement import Evaluation, Measured, figures, pass_at_ks


def before_and_after(
    before: Mapping[str, Measured], after: Mapping[str, Measured], evaluation: Evaluation
) -> dict[str, dict[str, Any]]:
    """Return the content of ``results.json``: each figure of both policies with its interval, and the paired gain.

    A figure is left out where one policy lacks it, since a problem has fewer than k samples.

    Args:
        before: Results of the policy that training started from, by measurement.
        after: Results of the trained policy, on the same problems.
        evaluation: How both were measured.
    """
    base, trained = (figures(measured, evaluation.measurements) for measured in (before, after))
    results: dict[str, dict[str, Any]] = {}
    for figure, row in base.items():
        if figure not in trained:
            continue
        name, k = figure.split(" pass@")
        gain = paired_gain(pass_at_ks(before[name].counts, int(k)), pass_at_ks(after[name].counts, int(k)))
        results[figure] = {
            "n": row["n"],
            "problems": row["problems"],
            "decoding": before[name].decoding,
            "prompt_form": evaluation.prompt_form,
            "models": {"base": before[name].model_hash, "trained": after[name].model_hash},
            "base": {part: row[part] for part in ("value", "low", "high")},
            "trained": {part: trained[figure][part] for part in ("value", "low", "high")},
            "gain": asdict(gain),
        }
    return results
