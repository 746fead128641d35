"""The commands of `rrtf` that work on files by flags, as they are called. What they need is imported after parsing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def check(arguments: Sequence[str]) -> int:
    """`rrtf check`: judge a file of samples by unit tests."""
    parser = argparse.ArgumentParser(
        prog="rrtf check", description="Judge a file of samples by unit tests, in the sandbox."
    )
    parser.add_argument("--problems", required=True, metavar="P.jsonl", help="ours, HumanEval's or MBPP's file")
    parser.add_argument("--samples", required=True, metavar="S.jsonl", help="rows of task_id and completion")
    parser.add_argument(
        "--out", metavar="R.jsonl", help="each row with `passed` and `result` added; by default S.jsonl_results.jsonl"
    )
    parser.add_argument("--k", default="1,10,100", help="report pass@k for these, where there are enough samples")
    parser.add_argument(
        "--timeout", type=float, default=5.0, metavar="SECONDS", help="processor time a sample may take"
    )
    parser.add_argument("--memory-mb", type=int, default=1024, metavar="MIB", help="memory a sample may take")
    parser.add_argument("--workers", type=int, default=None, help="checks at a time; by default one a core")
    parser.add_argument(
        "--trust",
        choices=["strict", "weak"],
        default="strict",
        help="weak runs the tests in the sample's own process, for tests that cannot be run otherwise: a sample that "
        "cheats passes, and each row says so",
    )
    parser.add_argument(
        "--allow-unsafe", action="store_true", help="go on where this machine offers no isolation (see `rrtf doctor`)"
    )
    options = parser.parse_args(arguments)
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


def decontaminate(arguments: Sequence[str]) -> int:
    """`rrtf decontaminate`: leave out problems that are in a benchmark."""
    parser = argparse.ArgumentParser(
        prog="rrtf decontaminate", description="Leave out problems that are in a benchmark."
    )
    parser.add_argument("--problems", required=True, metavar="P.jsonl", help="ours, HumanEval's or MBPP's file")
    parser.add_argument(
        "--against",
        required=True,
        metavar="humaneval,mbpp,FILE",
        help="benchmarks by name (in RRTF_DATA_DIR), or files",
    )
    parser.add_argument("--out", required=True, metavar="CLEAN.jsonl", help="the problems that are in none of them")
    parser.add_argument("--report", metavar="R.jsonl", help="what was found and why; by default beside --out")
    parser.add_argument("--kinds", metavar="ngram,signature,ast,tests", help="what counts; by default all of it")
    options = parser.parse_args(arguments)
    from rrtf_trl.problems.decontamination.command import decontaminate_file

    return decontaminate_file(
        problems=options.problems,
        against=options.against.split(","),
        out=options.out,
        report=options.report,
        kinds=options.kinds.split(",") if options.kinds else None,
    )


def compare(arguments: Sequence[str]) -> int:
    """`rrtf compare`: compare two or three models on the same problems."""
    parser = argparse.ArgumentParser(
        prog="rrtf compare", description="Compare two or three models on the same problems."
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="folder of rrtf evaluate, or file with verdicts")
    parser.add_argument("--measurement", default="greedy", help="of a folder, which samples; greedy by default")
    parser.add_argument("--out", metavar="C.json", help="write the figures here too")
    options = parser.parse_args(arguments)
    from rrtf_trl.evaluate import compare_files

    return compare_files(options.models, options.measurement, options.out)


def explain(arguments: Sequence[str]) -> int:
    """`rrtf explain`: tell why an answer stands where it does."""
    parser = argparse.ArgumentParser(
        prog="rrtf explain", description="Tell why an answer stands where it does in the ranking."
    )
    parser.add_argument(
        "what", metavar="CANDIDATE|TASK", help="a candidate's id, or its start; or a problem's task_id"
    )
    parser.add_argument("--run", metavar="FOLDER", help="the run; by default the newest that knows it")
    parser.add_argument("--runs-dir", default="runs", metavar="FOLDER", help="where runs are (runs)")
    options = parser.parse_args(arguments)
    from rrtf_trl.explain import explain

    return explain(options.what, options.run, options.runs_dir)


def watch(arguments: Sequence[str]) -> int:
    """`rrtf watch`: show what a run is doing."""
    parser = argparse.ArgumentParser(
        prog="rrtf watch", description="Show what a run is doing, live in the terminal, until it ends."
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="the run's folder; by default the one at work last")
    parser.add_argument("--runs-dir", default="runs", metavar="FOLDER", help="where runs are (runs)")
    parser.add_argument("--once", action="store_true", help="show one frame, and do not wait for the run's end")
    options = parser.parse_args(arguments)
    from rrtf_trl.watch import watch as show

    return show(options.run, options.runs_dir, options.once)


def sweep_report(arguments: Sequence[str]) -> int:
    """`rrtf sweep-report`: write one page on the runs of a sweep."""
    parser = argparse.ArgumentParser(prog="rrtf sweep-report", description="Write one page on the runs of a sweep.")
    parser.add_argument("folder", metavar="FOLDER", help="the sweep's, runs/sweeps/NAME")
    options = parser.parse_args(arguments)
    from rrtf_trl.sweeps.report import sweep_report

    return sweep_report(options.folder)


def doctor(arguments: Sequence[str]) -> int:
    """`rrtf doctor`: tell what this machine can do."""
    argparse.ArgumentParser(prog="rrtf doctor", description="Tell what this machine can do.").parse_args(arguments)
    from rrtf_trl.doctor import doctor

    return doctor()
