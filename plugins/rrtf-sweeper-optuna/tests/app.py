"""A Hydra application of a few milliseconds a job, which writes down its calls, and fails or hangs if told so."""

import os
import time
from pathlib import Path

import hydra
from omegaconf import DictConfig

from rrtf_trl.sweeps.job import JobResult


@hydra.main(config_path=None, config_name="app", version_base="1.3")
def app(config: DictConfig) -> JobResult:
    with Path("calls").open("a") as file:
        file.write(f"{config.x}\n")
    hang = os.environ.get("HANG_AT")
    if hang and len(Path("calls").read_text().splitlines()) >= int(hang):
        time.sleep(60)
    if config.fail:
        return JobResult("failed", {})
    return JobResult("done", {"far": abs(float(config.x) - 2), "cost": float(config.x)})


if __name__ == "__main__":
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(
        name="app", node={"x": 0.0, "y": 0, "fail": False, "trainer": {"eval_strategy": "no"}}
    )
    app()
