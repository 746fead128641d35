"""`rrtf`: dispatches to the registered commands (:mod:`rrtf_trl.plugins.builtin`, and plugins).

A heavy module is imported only by a command that needs it, so that ``rrtf --help`` is fast.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from rrtf_trl import __version__
from rrtf_trl.models.memory import importing

_EPILOG = """\
A stage command runs that stage, and earlier stages that have not been run yet. Options are
Hydra's: `rrtf run trainer.learning_rate=1e-4 seed=2`, `rrtf run --cfg job` prints the configuration,
`rrtf run --multirun trainer.rank_weight=0.1,1,10` sweeps. Without options it is the quick start.
"""
_STRICT_FLAG = "--strict-plugins"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 success, 1 failure, 2 wrong usage, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if _STRICT_FLAG in arguments:
        arguments = [argument for argument in arguments if argument != _STRICT_FLAG]
        os.environ["RRTF_STRICT_PLUGINS"] = "1"  # for the processes that a command starts, too
    if arguments and arguments[0] in ("-sc", "--shell-completion"):
        from rrtf_trl.config.completion import complete

        command = complete(arguments)
        if command is None:
            return 0
        arguments = [command, *arguments]
    return _guarded(lambda: _run(arguments))


def _run(arguments: list[str]) -> int:
    from rrtf_trl.plugins import plugins

    plugins().quiet = arguments[:1] == ["plugins"]  # it prints the faults itself
    commands = plugins().registered("command")
    if arguments and arguments[0] in commands:
        with importing():
            command: Callable[[list[str]], int] = commands[arguments[0]].load()
        return command(arguments[1:])
    parser = _parser({name: command.target.help for name, command in commands.items()})
    parser.parse_args(arguments)
    parser.print_help()
    return 2


def _parser(commands: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rrtf",
        description="Align a code model with ranked test, teacher and human feedback (RRTF, on TRL).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rrtf-trl {__version__}")
    parser.add_argument(_STRICT_FLAG, action="store_true", help="with any command: a faulty plugin is an error")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, text in commands.items():
        subparsers.add_parser(name, help=text.replace("%", "%%"), add_help=False)
    return parser


def _guarded(work: Callable[[], int]) -> int:
    """Do the work; print an error that the user can correct as one line, and raise others."""
    try:
        return work()
    except KeyboardInterrupt:
        print("\nStopped. Finished work is kept: run the same command to continue.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        from rrtf_trl.config.error_messages import error_message  # imports Hydra

        message = error_message(error)
        if message is None or os.environ.get("HYDRA_FULL_ERROR") == "traceback":
            raise
        print(f"rrtf: {message}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
