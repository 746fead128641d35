"""The helper processes of a run under `accelerate launch` or `torchrun`, which train together with the first one."""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import OmegaConf
from rich.console import Console

from rrtf_trl.config.helper_processes import messages
from rrtf_trl.config.instantiate import quiet_libraries, train_callable
from rrtf_trl.storage.run_folder import RunFolder


def help_train() -> int:
    """Do what the messages of the first process ask for until it ends; return the exit status."""
    train, folder = None, RunFolder(".")
    with Path(os.devnull).open("w") as devnull:
        for message in messages():
            if message["do"] == "end":
                break
            if message["do"] == "build":
                quiet_libraries()
                config, folder = OmegaConf.create(message["config"]), RunFolder(message["folder"])
                train = train_callable(config, message["config"], message["policy"], folder, Console(file=devnull))
            else:
                assert train is not None, "asked to train before it was built"
                train(folder)
    return 0
