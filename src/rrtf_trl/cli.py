"""`rrtf`: a sub-command a stage.

Nothing heavy is imported before a command needs it, so that ``rrtf --help`` answers at once. The stage
commands are Hydra applications: ``rrtf run KEY=VALUE ...``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from rrtf_trl import __version__

_STAGES = {
    "run": "the whole run: sample, judge, rank, train, evaluate, report",
    "sample": "draw answers for the problems",
    "feedback": "judge the answers",
    "rank": "put the answers in order",
    "train": "train the policy on the ranked answers",
    "evaluate": "measure the policy before and after on held-out problems",
    "report": "write the report of a run",
}

_EPILOG = """\
A stage command runs that stage, and the ones before it where they have not been run yet. Options are
Hydra's: `rrtf run trainer.learning_rate=1e-4 seed=2`, `rrtf run --cfg job` prints the configuration,
`rrtf run --multirun trainer.rank_weight=0.1,1,10` sweeps. With no options it is the quick start.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 done, 1 could not be done, 2 wrongly called, 130 stopped."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    if arguments and arguments[0] in _STAGES:
        return _guarded(lambda: _run_stage(arguments[0], arguments[1:]))
    if arguments and arguments[0] == "trl-train":
        from rrtf_trl.training.cli import main as trl_train

        return trl_train(arguments[1:])
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    return _guarded(lambda: _run_tool(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rrtf",
        description="Align a code model with ranked test, teacher and human feedback (RRTF, on TRL).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rrtf-trl {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, text in _STAGES.items():
        commands.add_parser(name, help=text, add_help=False)
    check = commands.add_parser("check", help="judge a file of samples by unit tests, in the sandbox")
    check.add_argument("--problems", required=True, metavar="P.jsonl", help="ours, HumanEval's or MBPP's file")
    check.add_argument("--samples", required=True, metavar="S.jsonl", help="rows of task_id and completion")
    check.add_argument(
        "--out", metavar="R.jsonl", help="each row with `passed` and `result` added; by default S.jsonl_results.jsonl"
    )
    check.add_argument("--k", default="1,10,100", help="report pass@k for these, where there are enough samples")
    check.add_argument(
        "--timeout", type=float, default=5.0, metavar="SECONDS", help="processor time a sample may take"
    )
    check.add_argument("--memory-mb", type=int, default=1024, metavar="MIB", help="memory a sample may take")
    check.add_argument("--workers", type=int, default=None, help="checks at a time; by default one a core")
    check.add_argument(
        "--trust",
        choices=["strict", "weak"],
        default="strict",
        help="weak runs the tests in the sample's own process, for tests that cannot be run otherwise: a sample that "
        "cheats passes, and each row says so",
    )
    check.add_argument(
        "--allow-unsafe", action="store_true", help="go on where this machine offers no walls (see `rrtf doctor`)"
    )
    commands.add_parser("trl-train", help="RRTFTrainer by TRL's flags or YAML, as `trl dpo`", add_help=False)
    commands.add_parser("doctor", help="tell what this machine can do")
    return parser


def _run_tool(options: argparse.Namespace) -> int:
    if options.command == "doctor":
        from rrtf_trl.doctor import doctor

        return doctor()
    from rrtf_trl.check import check_samples

    return check_samples(
        problems=options.problems,
        samples=options.samples,
        out=options.out,
        ks=[int(k) for k in options.k.split(",")],
        timeout=options.timeout,
        memory_mb=options.memory_mb,
        workers=options.workers,
        allow_unsafe=options.allow_unsafe,
        trust=options.trust,
    )


def _run_stage(command: str, overrides: list[str]) -> int:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        print(f"rrtf: `rrtf {command}` runs as one process; start it without a distributed launcher.", file=sys.stderr)
        return 2
    from rrtf_trl.application import run_application

    return run_application(command, overrides)


def _guarded(work: Callable[[], int]) -> int:
    """Turn what a user can cause into one line that says what to do; let our own mistakes show in full."""
    try:
        return work()
    except KeyboardInterrupt:
        print("\nStopped. What is done is kept: the same command goes on from here.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        from rrtf_trl.errors import explain

        message = explain(error)
        if message is None or os.environ.get("HYDRA_FULL_ERROR") == "traceback":
            raise
        print(f"rrtf: {message}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
