"""What a report says in words: the result in one sentence, what was asked, names of states and reasons."""

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
"""The states of an answer from best to worst, each in words."""

CURVES = {
    "loss": "what is minimized: the two losses below, weighted",
    "rank_loss": "how far worse answers are still preferred to better ones; 0 when all are in order",
    "sft_loss": "negative log-likelihood of what is imitated",
    "margins": "by how much better answers are preferred to worse ones, on average",
    "ranking_accuracy": "share of pairs that the policy puts in the right order",
    "entropy": "how undecided the policy is about the next token",
}
"""What of a training's log is drawn, each in words."""

_SECRET = re.compile(
    r"((?:api_?key|secret|password|(?:hub|hf|access|auth)_token)\w*['\"]?\s*[:=]\s*)(?!null\b)('[^'\n]*'|\"[^\"\n]*\"|\S+)",
    re.IGNORECASE,
)


def headline(results: dict[str, Any]) -> str:
    """Return the first of the results as a sentence that claims no more than its interval bears out."""
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


def so_far(stages: dict[str, Any]) -> str:
    """Return how far a run without results has come, as a sentence."""
    done = [name for name in ("problems", "sample", "feedback", "rank", "train") if name in stages]
    if not done:
        return "No stage of this run has finished yet."
    rank = stages.get("rank", {})
    ranked = f", with {rank['responses']} answers to {rank['groups']} problems in order" if "groups" in rank else ""
    return f"Finished up to the stage “{done[-1]}”{ranked}. There are no results yet."


def asked(stages: dict[str, Any], config: dict[str, Any]) -> str:
    """Return what the run set out to do, as far as its files tell, as a sentence."""
    model = _at(config, "model", "path")
    loss = _at(config, "trainer", "loss_type")
    train, heldout = (_at(stages, "problems", split) for split in ("train", "heldout"))
    answers = sampled(stages)
    judges = ", ".join(name.replace("_", " ") for name in _at(config, "feedback") or {})
    text = (
        f"Train the policy “{Path(model).name if Path(model).is_absolute() else model}”"
        if model
        else "Train the policy"
    )
    text += f" with the loss “{loss}”" if loss else ""
    text += f" on {answers:,} answers" if answers else " on answers"
    text += f" to {train:,} problems" if train else ""
    text += f", judged by {judges} and ranked" if judges else ", ranked"
    text += f"; measure it before and after on {heldout:,} other problems" if heldout else ""
    return f"{text}."


def sampled(stages: dict[str, Any]) -> int:
    """Return how many answers to the training problems were sampled, now or in an earlier run."""
    sources = [counts for counts in stages.get("sample", {}).values() if isinstance(counts, dict)]
    return sum(source.get("drawn", 0) + source.get("reused", 0) for source in sources)


def percent(value: float) -> str:
    """Return a share in percent, for instance ``43.0%``."""
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
    """Return how the samples behind a figure were drawn, ``200 problems, n = 8, temperature 0.8`` and so on."""
    parts = [f"{row['problems']:,} problems", f"n = {row['n']}"]
    for key, name in (("temperatures", "temperature"), ("top_ps", "top_p")):
        values = row.get("decoding", {}).get(key)
        if values:
            parts.append(f"{name} {', '.join(f'{value:g}' for value in values)}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a time as a person would say it, for instance ``3 min 12 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds >= 0.05 else "under 0.1 s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def counts(facts: dict[str, Any]) -> str:
    """Return what a stage noted of itself, for instance ``63 groups, 425 responses``."""
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
