"""Commands with Hydra's arguments: the configuration is composed once, or once for each job of a sweep."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import warnings

import hydra.version
from hydra._internal.utils import _run_hydra, get_args_parser
from omegaconf import DictConfig

from rrtf_trl.config import completion, search_path
from rrtf_trl.config import helper_processes as distributed
from rrtf_trl.config.error_messages import error_message
from rrtf_trl.config.groups import refuse_never_used
from rrtf_trl.config.home import at_home
from rrtf_trl.config.overrides import settings, user_config_dirs
from rrtf_trl.errors import UserError
from rrtf_trl.plugins import plugins
from rrtf_trl.plugins.folders import config_dir
from rrtf_trl.sweeps.job import FolderOf, Work
from rrtf_trl.sweeps.launch import Sweep, is_sweep, launcher_error

# No dated folder and log files of Hydra: a run has its own folder.
_ONE_RUN = ["hydra.run.dir=.", "hydra.output_subdir=null"]
_QUIET = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
_OVERRIDE = re.compile(r"~|\+{0,2}[^-=][^=]*=")


def hydra_application(command: str, arguments: list[str], config_name: str, folder_of: FolderOf, work: Work) -> int:
    """Compose a configuration from Hydra's ``arguments`` and do the work of a command, once for each job.

    Args:
        command: The sub-command of ``rrtf``.
        arguments: The arguments after it.
        config_name: The configuration to start from.
        folder_of: Returns the folder of the results for a configuration.
        work: Does the work; called with the configuration, that folder, and the command line.

    Returns:
        The exit status.
    """
    # Hydra then raises errors instead of printing them and exiting; `command_line` prints them.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    # Hydra 1.4 warns about things that 1.5 drops; 1.3 needs them.
    warnings.filterwarnings(
        "ignore", message=r"\s*(hydra\.utils\.instantiate\(\) resolved|The version_base parameter)"
    )
    hydra.version.setbase("1.3")
    search_path.install()
    # Hydra wants all overrides together; `rrtf run a=1 --multirun b=2` should work too.
    overrides = [argument for argument in arguments if _OVERRIDE.match(argument)]
    flags = [argument for argument in arguments if not _OVERRIDE.match(argument)]
    parser = get_args_parser()
    parser.prog = f"rrtf {command}"
    chosen = parser.parse_args([*overrides, *flags])
    if chosen.experimental_rerun is not None:
        raise UserError("--experimental-rerun is not supported; to continue a run, use the command in its run.json")
    folders = [*plugins().config_folders(), *user_config_dirs(chosen)]
    sweeps = is_sweep(chosen.overrides, flags)
    values = settings(chosen.overrides, folders, config_name, flags, sweeps)
    if sweeps:
        refuse_never_used(values, folders)
    sweep = Sweep.of(command, values, flags, folder_of, work) if sweeps else None
    if distributed.processes() > 1:
        if sweep is not None:
            raise UserError(
                "a sweep starts its own processes: do not use accelerate or torchrun, or run its jobs one by one"
            )
        if config_name != "config":
            spelled = "evaluate benchmark=..." if command == "evaluate" else command
            raise UserError(f"`rrtf {spelled}` works in one process: do not use accelerate or torchrun")
    chosen.overrides = [*(_ONE_RUN if sweep is None else sweep.settings), *_QUIET, *values]
    failed: list[str] = []
    all_ran = False

    def alone(config: DictConfig) -> None:
        try:
            config = at_home(config)
            work(config, folder_of(config), shlex.join(["rrtf", command, *arguments]))
        except Exception as error:
            message = error_message(error)
            if message is None:
                raise
            print(f"rrtf: {message}", file=sys.stderr)
            failed.append(message)

    completes = chosen.shell_completion or chosen.help or chosen.hydra_help  # help describes completion
    try:
        with completion.as_one_command() if completes else contextlib.nullcontext():
            # `hydra.main` would read the arguments of the process instead of `arguments`.
            _run_hydra(
                args=chosen,
                args_parser=parser,
                task_function=alone if sweep is None else sweep.job,
                config_path=str(config_dir()),
                config_name=config_name,
            )
        all_ran = True
    except Exception as error:
        stopped = launcher_error(error) if sweep is not None else None
        if stopped is None:
            raise
        raise stopped from error
    finally:
        if sweep is not None:
            failed += sweep.report(all_ran)
    return 1 if failed else 0
