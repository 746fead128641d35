"""The form of the teacher's reply. Needs pydantic, which comes with the openai client."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, field_validator

from .seeds import function_of


class NewTask(BaseModel):
    """A task and the function that it asks for."""

    model_config = ConfigDict(extra="ignore", strict=True)

    task: str
    signature: str

    @field_validator("signature")
    @classmethod
    def _one_function(cls, value: str) -> str:
        signature = value.strip().removesuffix(":").strip().strip("`")
        signature = signature if signature.startswith("def ") else f"def {signature}"
        function_of(signature)
        return signature
