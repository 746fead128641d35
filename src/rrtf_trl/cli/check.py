"""`rrtf check`: test a file of samples."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="rrtf check", description="Judge a file of samples by unit tests, in the sandbox."
    )
    parser.add_argument("--problems", required=True, metavar="P.jsonl", help="ours, HumanEval's or MBPP's file")
    parser.add_argument("--samples", required=True, metavar="S.jsonl", help="rows of task_id and completion")
    parser.add_argument(
        "--out", metavar="R.jsonl", help="each row with `passed` and `result` added; by default S.jsonl_results.jsonl"
    )
    parser.add_argument(
        "--k", type=_numbers, default="1,10,100", help="report pass@k for these, where there are enough samples"
    )
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
        "cheats passes, and each row is marked weak",
    )
    parser.add_argument(
        "--allow-unsafe", action="store_true", help="run even if this machine offers no isolation (see `rrtf doctor`)"
    )
    options = parser.parse_args(arguments)
    from rrtf_trl.pipeline.check import check_samples  # heavy, and not needed for --help

    return check_samples(
        problems=options.problems,
        samples=options.samples,
        out=options.out,
        ks=options.k,
        timeout=options.timeout,
        memory_mb=options.memory_mb,
        workers=options.workers,
        allow_unsafe=options.allow_unsafe,
        trust=options.trust,
    )


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected whole numbers such as 1,10, got {text!r}") from None
