"""What a part is given, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """What a part found.

    Args:
        measured: In words and figures.
        ok: The verdict; ``None`` where this machine cannot give one.
    """

    measured: str
    ok: bool | None


@dataclass(frozen=True)
class Setting:
    """What a part is given.

    Args:
        folder: For its files, shared by all parts.
        tiny: Whether to take the least sizes, which a processor computes in seconds.
    """

    folder: Path
    tiny: bool

    @property
    def on_gpu(self) -> bool:
        """Whether there is one."""
        import torch  # heavy

        return torch.cuda.is_available()

    def shape(self, name: str) -> str:
        """Return the name of the model's shape that stands for another one."""
        return "tiny" if self.tiny else name

    def model(self, shape: str, dtype: str = "bfloat16") -> str:
        """Return the folder of a model of random weights, which the first part to ask for it makes."""
        import torch
        from contestants import save_model

        folder = self.folder / f"{self.shape(shape)}-{dtype}"
        if not (folder / "tokenizer.json").exists():  # the last file to be written
            save_model(self.shape(shape), str(folder), getattr(torch, dtype))
        return str(folder)
