"""The stage commands of `rrtf`: each runs its stage, and those before it where they have not been run yet."""

from __future__ import annotations

import os
from functools import partial


def _stage(command: str, overrides: list[str]) -> int:
    # While a line is completed, it stands in the environment.
    settings = os.environ["COMP_LINE"].split() if "COMP_LINE" in os.environ else overrides
    if command == "evaluate" and any(value.lstrip("+").startswith("benchmark") for value in settings):
        from .evaluate import main

        return main(overrides)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and int(os.environ.get("RANK", "0")) > 0:
        from .helper_process import help_train

        return help_train()
    from .hydra_command import run_application

    return run_application(command, overrides)


run = partial(_stage, "run")
sample = partial(_stage, "sample")
feedback = partial(_stage, "feedback")
rank = partial(_stage, "rank")
train = partial(_stage, "train")
evaluate = partial(_stage, "evaluate")
report = partial(_stage, "report")
