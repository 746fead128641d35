"""The options as text: for the terminal, and as the page of the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .options import ConfigFile

_COMMANDS = {
    "config": "rrtf run",
    "evaluate": "rrtf evaluate benchmark=...",
    "quantize": "rrtf quantize",
    "evolve": "rrtf evolve",
}
_HEAD = """\
# Options

Every option of every group, with its type and default. `rrtf config options` prints them for the installed version and
plugins, and with `--config-dir` for your own files; `rrtf config options --markdown` wrote this page.
"""


def as_text(found: Sequence[ConfigFile]) -> Iterator[str]:
    """Yield lines for the terminal: each choice, then one option per line."""
    for choice in found:
        yield f"{_title(choice)}  {choice.help}".rstrip()
        if choice.sets:
            yield f"    sets {' '.join(choice.sets)}"
        for option in choice.options:
            yield f"    {option.key}={option.default}  ({option.type or 'any'})  {option.help}".rstrip()
        yield ""


def as_markdown(found: Sequence[ConfigFile]) -> Iterator[str]:
    """Yield lines of Markdown: a section for each group, a table for each choice."""
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


def _title(choice: ConfigFile) -> str:
    return f"{choice.group}={choice.name}" if choice.group else _COMMANDS.get(choice.name, choice.name)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
