"""The helper processes of a run under `accelerate launch` or `torchrun`: they draw, judge and train with the first."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from rrtf_trl.config.helper_processes import judges, messages
from rrtf_trl.config.instantiate import build_pipeline
from rrtf_trl.pipeline.pipeline import Pipeline
from rrtf_trl.storage.run_folder import RunFolder


def help_run() -> int:
    """Do what the messages of the first process ask for until it ends; return the exit status."""
    pipeline: Pipeline | None = None
    console = Console(soft_wrap=True)
    with Path(os.devnull).open("w") as devnull:
        for message in messages():
            if message["do"] == "end":
                break
            if message["do"] == "build":
                config = cast(DictConfig, OmegaConf.create(message["config"]))
                quiet = Console(file=devnull)
                pipeline = build_pipeline(config, RunFolder(message["folder"]), quiet, message["until"])
                continue
            assert pipeline is not None, "asked for work before it was built"
            if message["do"] == "train":
                pipeline.train(pipeline.folder)
                continue
            for name, number in pipeline.help(message["stage"], judges()).items():
                if number:
                    done = "judged" if message["stage"] == "feedback" else "drawn"
                    console.print(
                        f"{message['stage']} {name}: {number} {done} by process {os.environ['RANK']}", highlight=False
                    )
    return 0
