"""Memory between the stages of a run: what one stage loaded is gone before the next one loads."""

from __future__ import annotations

import gc


def free_memory() -> None:
    """Free the models that nothing refers to any more.

    Trainers, and models with hooks or an adapter, refer to themselves: without a collection they stay until Python
    happens to do one, and on a GPU their memory stays reserved by torch after that.
    """
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
