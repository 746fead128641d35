"""The options as text: for the terminal, and as the page of the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .options import Choice

_COMMANDS = {
    "config": "rrtf run",
    "evaluate": "rrtf evaluate benchmark=...",
    "quantize": "rrtf quantize",
    "evolve": "rrtf evolve",
}
_HEAD = """\
# Options

Every option of every group, with its type and default. `rrtf config options` tells the same of the version and plugins
that you have, and with `--config-dir` of your own files; `rrtf config options --markdown` wrote this page.
"""


def as_text(found: Sequence[Choice]) -> Iterator[str]:
    """Yield lines for the terminal: each choice, and its options one a line."""
    for choice in found:
        yield f"{_title(choice)}  {choice.help}".rstrip()
        if choice.sets:
            yield f"    sets {' '.join(choice.sets)}"
        for option in choice.options:
            yield f"    {option.key}={option.default}  ({option.type or 'any'})  {option.help}".rstrip()
        yield ""


def as_markdown(found: Sequence[Choice]) -> Iterator[str]:
    """Yield lines of Markdown: a section a group, a table a choice."""
    yield from _HEAD.splitlines()
    group = None
    for choice in found:
        if choice.group != group:
            group = choice.group
            yield f"\n## {f'`{group}`' if group else 'Commands'}"
        yield f"\n### `{_title(choice)}`\n"
        if choice.help:
            yield f"{_escaped(choice.help)}\n"
        if choice.sets:
            yield f"Sets {', '.join(f'`{what}`' for what in choice.sets)}.\n"
        if choice.options:
            yield "| option | type | default | |"
            yield "| --- | --- | --- | --- |"
            for option in choice.options:
                kind = option.type.replace("|", "\\|")
                default = option.default.replace("|", "\\|")
                yield f"| `{option.key}` | {f'`{kind}`' if kind else ''} | `{default}` | {_escaped(option.help)} |"


def _title(choice: Choice) -> str:
    return f"{choice.group}={choice.name}" if choice.group else _COMMANDS.get(choice.name, choice.name)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
