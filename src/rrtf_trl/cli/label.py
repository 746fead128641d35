"""`rrtf label`: the labelling page, and commands on a labels file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

_EPILOG = """\
SOURCE is a run's folder, JSONL of prompts with responses, or a labels file. More commands:

  rrtf label agreement SOURCE              how far people agree, and each one's biases
  rrtf label export SOURCE --to FORMAT     write labels for TRL, Label Studio, Argilla, spreadsheets
  rrtf label import FILE --into LABELS     add labels from there

each with its own --help.
"""


def main(arguments: Sequence[str]) -> int:
    """Run ``rrtf label``; return the exit status."""
    commands = {"agreement": _print_agreement, "export": _export, "import": _import}
    if arguments and arguments[0] in commands:
        return commands[arguments[0]](list(arguments[1:]))
    parser = argparse.ArgumentParser(
        prog="rrtf label",
        description="Serve a page on which people put candidates in order, by keys alone.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_source(parser)
    parser.add_argument("--per-item", type=int, default=1, metavar="N", help="people that each item goes to (1)")
    parser.add_argument("--answers", type=int, default=4, metavar="K", help="most candidates of an item, 2 to 9 (4)")
    parser.add_argument("--state", help="only candidates that tests found in this state, such as passed")
    parser.add_argument("--seed", type=int, default=0, help="decides which candidates are chosen, and their order (0)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8017, help="port; 0 for a free one (8017)")
    parser.add_argument("--allow-remote", action="store_true", help="allow an address that other machines reach")
    parser.add_argument("--public-url", metavar="URL", help="the URL of a proxy in front of the page")
    options = parser.parse_args(arguments)
    from .label_server import serve

    return serve(**vars(options))


def plain_console() -> Console:
    """Return a console that prints text as it is."""
    return Console(soft_wrap=True, highlight=False, markup=False)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SOURCE", help="a run's folder, JSONL, or a labels file")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="the labels file; by default in or beside SOURCE")


def _print_agreement(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rrtf label agreement", description="Print how far people agree, and each one's biases."
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
        console = plain_console()
        for table in agreement_tables(found):
            console.print(table)
    return 0


def _export(arguments: list[str]) -> int:
    from rrtf_trl.labeling.aggregate import METHODS
    from rrtf_trl.labeling.formats import EXPORTS

    formats = "\n".join(f"  {name:22} {text}" for name, text in EXPORTS.items())
    parser = argparse.ArgumentParser(
        prog="rrtf label export",
        description="Write labels for other programs.",
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
    # Items without labels are exported too, to be labelled elsewhere.
    ledger = read_labels(labels) if labels.is_file() else Ledger()
    items = list(ledger.items.values()) or read_items(options.source)
    count = export_labels(ledger, options.to, options.out, items=items, method=options.aggregation)
    plain_console().print(f"export: {count} rows to {options.out}")
    return 0


def _import(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rrtf label import",
        description="Add labels from our rows, TRL's preference rows, Label Studio's or Argilla's export, or CSV. "
        "A row's fields decide its format; a row of no known format is refused by its line, and nothing is added.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="JSONL, a JSON array, or CSV")
    parser.add_argument("--into", required=True, type=Path, metavar="LABELS", help="the labels file to add to")
    parser.add_argument("--annotator", default="imported", help="the annotator where the file names none")
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
    already = f", {known} were in it already" if known else ""
    plain_console().print(f"import: {new} labels into {options.into}{already}")
    return 0
