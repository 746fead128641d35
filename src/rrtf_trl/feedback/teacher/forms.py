"""The forms of the judge's replies. Needs pydantic, which is installed with the openai client.

Names, fields and docstrings of forms are in the schema that is sent with a request, and so in the key of its cached
reply: a change of them has every reply paid for again.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator


class WithReason(BaseModel):
    """What every form has."""

    model_config = ConfigDict(extra="ignore", strict=True)

    reason: str = ""


class Pair(WithReason):
    """Which of two answers is better."""

    winner: Literal["A", "B", "tie"]

    @field_validator("winner", mode="before")
    @classmethod
    def _normalize(cls, value: object) -> object:
        word = str(value).strip().strip(".").lower()
        return {"a": "A", "b": "B", "tie": "tie", "draw": "tie", "equal": "tie", "neither": "tie"}.get(word, value)


def grade_form(lowest: int, highest: int) -> type[WithReason]:
    """Return the form of a grade: ``score`` is a whole number in the range."""
    return create_model("Grade", __base__=WithReason, score=(int, Field(ge=lowest, le=highest)))


def ranking_form(labels: list[str]) -> type[WithReason]:
    """Return the form of a ranking: ``ranking`` is a list of groups with each label once."""

    class Ranking(WithReason):
        ranking: list[list[str]]

        @field_validator("ranking", mode="before")
        @classmethod
        def _wrap_single_labels(cls, value: object) -> object:
            if isinstance(value, list):
                return [[entry] if isinstance(entry, str) else entry for entry in value]
            return value

        @field_validator("ranking")
        @classmethod
        def _check_labels(cls, value: list[list[str]]) -> list[list[str]]:
            groups = [[label.strip() for label in group] for group in value if group]
            found = [label for group in groups for label in group]
            if sorted(found) != sorted(labels):
                raise ValueError(f"must hold each of the labels {', '.join(labels)} once, got {', '.join(found)}")
            return groups

    return Ranking
