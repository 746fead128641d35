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
    "evaluate": "measure the policy before and after on held-out problems; with benchmark=, any model on a benchmark",
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
    if arguments and arguments[0] in ("-sc", "--shell-completion"):
        from rrtf_trl.configuration.completion import complete

        command = complete(arguments, [*_STAGES, "quantize"])
        arguments = [command, *arguments] if command else []
        if not command:
            return 0
    if arguments and arguments[0] in _STAGES:
        return _guarded(lambda: _run_stage(arguments[0], arguments[1:]))
    if arguments and arguments[0] == "quantize":
        return _guarded(lambda: _quantize(arguments[1:]))
    if arguments and arguments[0] == "trl-train":
        from rrtf_trl.training.cli import main as trl_train

        return trl_train(arguments[1:])
    if arguments and arguments[0] == "evolve":
        from rrtf_trl.problems.evolution.command import evolve

        return _guarded(lambda: evolve(arguments[1:]))
    if arguments and arguments[0] == "config":
        return _guarded(lambda: _config(arguments[1:]))
    if arguments and arguments[0] == "label":
        return _guarded(lambda: _label(arguments[1:]))
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
    commands.add_parser("evolve", help="make harder problems, with tests, of a file of tasks", add_help=False)
    decontaminate = commands.add_parser("decontaminate", help="leave out problems that are in a benchmark")
    decontaminate.add_argument("--problems", required=True, metavar="P.jsonl", help="ours, HumanEval's or MBPP's file")
    decontaminate.add_argument(
        "--against",
        required=True,
        metavar="humaneval,mbpp,FILE",
        help="benchmarks by name (in RRTF_DATA_DIR), or files",
    )
    decontaminate.add_argument(
        "--out", required=True, metavar="CLEAN.jsonl", help="the problems that are in none of them"
    )
    decontaminate.add_argument("--report", metavar="R.jsonl", help="what was found and why; by default beside --out")
    decontaminate.add_argument(
        "--kinds", metavar="ngram,signature,ast,tests", help="what counts; by default all of it"
    )
    comparison = commands.add_parser("compare", help="compare two or three models on the same problems")
    comparison.add_argument(
        "models", nargs="+", metavar="MODEL", help="folder of rrtf evaluate, or file with verdicts"
    )
    comparison.add_argument("--measurement", default="greedy", help="of a folder, which samples; greedy by default")
    comparison.add_argument("--out", metavar="C.json", help="write the figures here too")
    commands.add_parser("quantize", help="export a policy as people deploy it, and measure each form", add_help=False)
    commands.add_parser("label", help="people rank answers on a page; import, export, agreement", add_help=False)
    commands.add_parser("trl-train", help="RRTFTrainer by TRL's flags or YAML, as `trl dpo`", add_help=False)
    why = commands.add_parser("explain", help="tell why an answer stands where it does in the ranking")
    why.add_argument("what", metavar="CANDIDATE|TASK", help="a candidate's id, or its start; or a problem's task_id")
    why.add_argument("--run", metavar="FOLDER", help="the run; by default the newest that knows it")
    why.add_argument("--runs-dir", default="runs", metavar="FOLDER", help="where runs are (runs)")
    commands.add_parser("config", help="show a configuration, list all options, compare two runs", add_help=False)
    sweep = commands.add_parser("sweep-report", help="write one page on the runs of a sweep")
    sweep.add_argument("folder", metavar="FOLDER", help="the sweep's, runs/sweeps/NAME")
    commands.add_parser("doctor", help="tell what this machine can do")
    return parser


def _run_tool(options: argparse.Namespace) -> int:
    if options.command == "doctor":
        from rrtf_trl.doctor import doctor

        return doctor()
    if options.command == "sweep-report":
        from rrtf_trl.sweeps.report import sweep_report

        return sweep_report(options.folder)
    if options.command == "explain":
        from rrtf_trl.explain import explain

        return explain(options.what, options.run, options.runs_dir)
    if options.command == "decontaminate":
        from rrtf_trl.problems.decontamination.command import decontaminate_file

        return decontaminate_file(
            problems=options.problems,
            against=options.against.split(","),
            out=options.out,
            report=options.report,
            kinds=options.kinds.split(",") if options.kinds else None,
        )
    if options.command == "compare":
        from rrtf_trl.evaluate import compare_files

        return compare_files(options.models, options.measurement, options.out)
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


def _config(arguments: list[str]) -> int:
    from rrtf_trl.configuration.command import main as config

    return config(arguments)


def _label(arguments: list[str]) -> int:
    from rrtf_trl.labeling.cli import main as label

    return label(arguments)


def _run_stage(command: str, overrides: list[str]) -> int:
    if command == "evaluate" and any(value.lstrip("+").startswith("benchmark") for value in overrides):
        from rrtf_trl.evaluate import evaluate_application

        return evaluate_application(overrides)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and int(os.environ.get("RANK", "0")) > 0:
        from rrtf_trl.distributed import help_train

        return help_train()
    from rrtf_trl.application import run_application

    return run_application(command, overrides)


def _quantize(overrides: list[str]) -> int:
    from rrtf_trl.quantize import quantize_application

    return quantize_application(overrides)


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
