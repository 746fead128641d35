"""The stage commands of `rrtf`: each runs its stage, and those before it where they have not been run yet."""

from __future__ import annotations

import os
from functools import partial


def _stage(command: str, overrides: list[str]) -> int:
    # While a line is completed, what is said stands there.
    said = os.environ["COMP_LINE"].split() if "COMP_LINE" in os.environ else overrides
    if command == "evaluate" and any(value.lstrip("+").startswith("benchmark") for value in said):
        from rrtf_trl.evaluate import evaluate_application

        return evaluate_application(overrides)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and int(os.environ.get("RANK", "0")) > 0:
        from rrtf_trl.distributed import help_train

        return help_train()
    from rrtf_trl.application import run_application

    return run_application(command, overrides)


run = partial(_stage, "run")
sample = partial(_stage, "sample")
feedback = partial(_stage, "feedback")
rank = partial(_stage, "rank")
train = partial(_stage, "train")
evaluate = partial(_stage, "evaluate")
report = partial(_stage, "report")
