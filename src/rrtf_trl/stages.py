"""The stage commands of `rrtf`: each runs its stage, and those before it where they have not been run yet."""

from __future__ import annotations

import os
import sys
from functools import partial


def _stage(command: str, overrides: list[str]) -> int:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        print(f"rrtf: `rrtf {command}` runs as one process; start it without a distributed launcher.", file=sys.stderr)
        return 2
    if command == "evaluate" and any(value.lstrip("+").startswith("benchmark") for value in overrides):
        from rrtf_trl.evaluate import evaluate_application

        return evaluate_application(overrides)
    from rrtf_trl.application import run_application

    return run_application(command, overrides)


run = partial(_stage, "run")
sample = partial(_stage, "sample")
feedback = partial(_stage, "feedback")
rank = partial(_stage, "rank")
train = partial(_stage, "train")
evaluate = partial(_stage, "evaluate")
report = partial(_stage, "report")
