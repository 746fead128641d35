"""What the judge has to fill in. Needs pydantic, which comes with the openai client."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator


class Words(BaseModel):
    """The judge's words, in every form."""

    model_config = ConfigDict(extra="ignore", strict=True)

    reason: str = ""


class Pair(Words):
    """Which of two answers is better."""

    winner: Literal["A", "B", "tie"]

    @field_validator("winner", mode="before")
    @classmethod
    def _as_meant(cls, value: object) -> object:
        word = str(value).strip().strip(".").lower()
        return {"a": "A", "b": "B", "tie": "tie", "draw": "tie", "equal": "tie", "neither": "tie"}.get(word, value)


def grade_form(lowest: int, highest: int) -> type[Words]:
    """Return the form of a grade: ``score`` is a whole number in the range."""
    return create_model("Grade", __base__=Words, score=(int, Field(ge=lowest, le=highest)))


def ranking_form(labels: list[str]) -> type[Words]:
    """Return the form of a ranking: ``ranking`` is a list of groups with each label once."""

    class Ranking(Words):
        ranking: list[list[str]]

        @field_validator("ranking", mode="before")
        @classmethod
        def _single_labels_are_groups(cls, value: object) -> object:
            if isinstance(value, list):
                return [[entry] if isinstance(entry, str) else entry for entry in value]
            return value

        @field_validator("ranking")
        @classmethod
        def _each_label_once(cls, value: list[list[str]]) -> list[list[str]]:
            given = [label.strip() for group in value for label in group]
            if sorted(given) != sorted(labels):
                raise ValueError(f"must hold each of the labels {', '.join(labels)} once, got {', '.join(given)}")
            return [[label.strip() for label in group] for group in value if group]

    return Ranking
