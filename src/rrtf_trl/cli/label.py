"""`rrtf label`: the page, and the commands around a labels file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

_COMMANDS = ("agreement", "export", "import")

_EPILOG = """\
SOURCE is a run's folder, JSONL of prompts with responses, or a labels file. Around the labels there are

  rrtf label agreement SOURCE              how far people agree, and which way each one leans
  rrtf label export SOURCE --to FORMAT     labels for TRL, Label Studio, Argilla, spreadsheets
  rrtf label import FILE --into LABELS     labels from there

each with its own --help.
"""


def main(arguments: Sequence[str]) -> int:
    """Run ``rrtf label``; return the exit status."""
    if arguments and arguments[0] in _COMMANDS:
        command = {"agreement": _agreement, "export": _export, "import": _import}[arguments[0]]
        return command(list(arguments[1:]))
    parser = argparse.ArgumentParser(
        prog="rrtf label",
        description="Serve a page on which people put answers in order, by keys alone.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_source(parser)
    parser.add_argument("--per-item", type=int, default=1, metavar="N", help="people that each item goes to (1)")
    parser.add_argument("--answers", type=int, default=4, metavar="K", help="answers an item has at most, 2 to 9 (4)")
    parser.add_argument("--state", help="take only answers that tests found in this state, such as passed")
    parser.add_argument("--seed", type=int, default=0, help="decides which answers are taken, and their order (0)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8017, help="port; 0 takes a free one (8017)")
    parser.add_argument("--allow-remote", action="store_true", help="consent to an address that others reach")
    parser.add_argument("--public-url", metavar="URL", help="where a proxy in front of the page is reached")
    options = parser.parse_args(arguments)
    from .label_server import serve

    return serve(**vars(options))


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SOURCE", help="a run's folder, JSONL, or a labels file")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="the labels file; by default beside SOURCE")


def _agreement(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rrtf label agreement", description="Tell how far people agree, and which way each one leans."
    )
    _add_source(parser)
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    options = parser.parse_args(arguments)
    from rrtf_trl.labeling.agreement import agreement
    from rrtf_trl.labeling.label_file import read_labels
    from rrtf_trl.labeling.sources import default_labels

    from .label_tables import agreement_tables

    found = agreement(read_labels(options.labels or default_labels(options.source)))
    if options.json:
        print(json.dumps(asdict(found), indent=2))
    else:
        console = Console(soft_wrap=True, highlight=False, markup=False)
        for table in agreement_tables(found):
            console.print(table)
    return 0


def _export(arguments: list[str]) -> int:
    from rrtf_trl.labeling.aggregate import METHODS
    from rrtf_trl.labeling.formats import EXPORTS

    formats = "\n".join(f"  {name:22} {text}" for name, text in EXPORTS.items())
    parser = argparse.ArgumentParser(
        prog="rrtf label export",
        description="Write labels as other programs read them.",
        epilog=f"formats:\n{formats}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_source(parser)
    parser.add_argument("--to", required=True, metavar="FORMAT", choices=list(EXPORTS), help="see below")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--aggregation",
        default="borda",
        choices=METHODS,
        help="of several people's rankings, for ranked and trl (borda)",
    )
    options = parser.parse_args(arguments)
    from rrtf_trl.labeling.formats import export_labels
    from rrtf_trl.labeling.label_file import read_labels
    from rrtf_trl.labeling.labels import Ledger
    from rrtf_trl.labeling.sources import default_labels, read_items

    labels = options.labels or default_labels(options.source)
    # What is not labelled yet may go elsewhere to be labelled.
    ledger = read_labels(labels) if labels.is_file() else Ledger()
    items = list(ledger.items.values()) or read_items(options.source)
    count = export_labels(ledger, options.to, options.out, items=items, method=options.aggregation)
    Console(soft_wrap=True, highlight=False, markup=False).print(f"export: {count} rows to {options.out}")
    return 0


def _import(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rrtf label import",
        description="Add labels from our rows, TRL's preference rows, Label Studio's or Argilla's export, or CSV. "
        "Which of them a file is, its rows tell; a row that is none is refused by its line, and nothing is added.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="JSONL, a JSON array, or CSV")
    parser.add_argument("--into", required=True, type=Path, metavar="LABELS", help="the labels file to add to")
    parser.add_argument("--annotator", default="imported", help="whose labels they are where the file does not say")
    parser.add_argument(
        "--prompt-field", default="prompt", metavar="NAME", help="the prompt's field or column (prompt)"
    )
    parser.add_argument("--config", type=Path, metavar="XML", help="a Label Studio project's labeling interface")
    parser.add_argument("--buckets", metavar="A,B,C", help="a Label Studio Ranker's buckets, best first")
    options = parser.parse_args(arguments)
    from rrtf_trl.labeling.formats import add_labels, labels_from_file
    from rrtf_trl.labeling.label_file import LabelFile

    buckets = options.buckets.split(",") if options.buckets else None
    labels = labels_from_file(
        options.file,
        annotator=options.annotator,
        prompt_field=options.prompt_field,
        config=options.config,
        buckets=buckets,
    )
    with LabelFile(options.into) as into:
        new, known = add_labels(labels, into)
    already = f", {known} were there already" if known else ""
    Console(soft_wrap=True, highlight=False, markup=False).print(f"import: {new} labels into {options.into}{already}")
    return 0
