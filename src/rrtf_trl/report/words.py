"""The text of a report: the result in one sentence, the goal, the meaning of states and metrics, numbers as text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

STATES = {
    "passed": "all tests passed",
    "partial": "ran, but failed a test",
    "runtime_error": "stopped with an error",
    "timeout": "ran too long",
    "memory": "needed too much memory",
    "refused": "did something forbidden",
    "compile_error": "is not a program",
}
"""The states of a candidate from best to worst, and what they mean."""

CURVES = {
    "loss": "what is minimized: the two losses below, weighted",
    "rank_loss": "how far worse responses are still preferred to better ones; 0 when all are in order",
    "sft_loss": "negative log-likelihood of what is imitated",
    "margins": "by how much better responses are preferred to worse ones, on average",
    "ranking_accuracy": "fraction of pairs that the policy puts in the right order",
    "entropy": "how undecided the policy is about the next token",
}
"""The values of the training log that are drawn, and what they mean."""

_SECRET = re.compile(
    r"((?:api_?key|secret|password|(?:hub|hf|access|auth)_token)\w*['\"]?\s*[:=]\s*)(?!null\b)('[^'\n]*'|\"[^\"\n]*\"|\S+)",
    re.IGNORECASE,
)


def headline(results: dict[str, Any]) -> str:
    """Return the first of the results as a sentence that states no more than its interval supports."""
    name, row = next(iter(results.items()))
    before, after, gain = row["base"], row["trained"], row["gain"]
    lead = f"{name[:1].upper()}{name[1:]} on {row['problems']} held-out problems"
    change = f"from {percent(before['value'])} to {percent(after['value'])}: {points(gain['value'])} points"
    around = interval(gain, sign=True)
    if gain["low"] > 0:
        return f"{lead} rose {change} (95% interval {around})."
    if gain["high"] < 0:
        return f"{lead} fell {change} (95% interval {around})."
    doubt = f"the 95% interval ({around}) includes zero, so this run does not show that training changed it."
    if abs(gain["value"]) < 5e-4:
        return f"{lead} stayed at {percent(after['value'])}; {doubt}"
    return f"{lead} went {change}, but {doubt}"


def progress(stages: dict[str, Any]) -> str:
    """Return the last finished stage of a run without results, as a sentence."""
    if not stages:
        return "No stage of this run has finished yet."
    rank = stages.get("rank", {})
    ranked = f", with {rank['responses']} ranked candidates of {rank['groups']} problems" if "groups" in rank else ""
    return f"Finished up to the stage “{next(reversed(stages))}”{ranked}. There are no results yet."


def goal(stages: dict[str, Any], config: dict[str, Any]) -> str:
    """Return the goal of the run, as far as its files state it, as a sentence."""
    model = _at(config, "model", "path")
    loss = _at(config, "trainer", "loss_type")
    train, heldout = (_at(stages, "problems", split) for split in ("train", "heldout"))
    candidates = sampled(stages)
    judges = ", ".join(name.replace("_", " ") for name in _at(config, "feedback") or {})
    text = (
        f"Train the policy “{Path(model).name if Path(model).is_absolute() else model}”"
        if model
        else "Train the policy"
    )
    text += f" with the loss “{loss}”" if loss else ""
    text += f" on {candidates:,} candidates" if candidates else " on candidates"
    text += f" of {train:,} problems" if train else ""
    text += f", judged by {judges} and ranked" if judges else ", ranked"
    text += f"; measure it before and after on {heldout:,} other problems" if heldout else ""
    return f"{text}."


def sampled(stages: dict[str, Any]) -> int:
    """Return how many candidates of the training problems were sampled, by this run or an earlier one."""
    sources = [counts for counts in stages.get("sample", {}).values() if isinstance(counts, dict)]
    return sum(source.get("drawn", 0) + source.get("reused", 0) for source in sources)


def percent(value: float) -> str:
    """Return a fraction in percent, for instance ``43.0%``."""
    return f"{100 * value:.1f}%"


def points(value: float) -> str:
    """Return a difference in percentage points with its sign, for instance ``+52.0``."""
    return f"{100 * value:+.1f}".replace("-", "−")


def signed(value: float) -> str:
    """Return a whole number with its sign, for instance ``+12``."""
    return f"{value:+.0f}".replace("-", "−")


def interval(estimate: dict[str, float], sign: bool = False) -> str:
    """Return the ends of an estimate's interval in percent, for instance ``45.0 to 59.0``."""
    low, high = estimate["low"], estimate["high"]
    return f"{points(low)} to {points(high)}" if sign else f"{100 * low:.1f} to {100 * high:.1f}"


def decoding(row: dict[str, Any]) -> str:
    """Return how the candidates behind a figure were drawn, as ``200 problems, n = 8, temperature 0.8, by vllm``."""
    parts = [f"{row['problems']:,} problems", f"n = {row['n']}"]
    for key, name in (("temperatures", "temperature"), ("top_ps", "top_p")):
        values = row.get("decoding", {}).get(key)
        if values:
            parts.append(f"{name} {', '.join(f'{value:g}' for value in values)}")
    if sampler := row.get("decoding", {}).get("sampler"):
        parts.append(f"by {sampler}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a duration as text, for instance ``3 min 12 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds >= 0.05 else "under 0.1 s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def counts(facts: dict[str, Any]) -> str:
    """Return the counts among a stage's notes as text, for instance ``63 groups, 425 responses``."""
    parts = []
    for name, value in facts.items():
        if isinstance(value, dict):
            parts.append(f"{name}: {counts(value)}")
        elif isinstance(value, int) and value:
            parts.append(f"{value:,} {name.replace('_', ' ')}")
    return ", ".join(parts)


def without_secrets(text: str) -> str:
    """Return a configuration or command with the values of keys, passwords and tokens hidden."""
    return _SECRET.sub(r"\1(hidden)", text)


def _at(tree: Any, *path: str) -> Any:
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree
