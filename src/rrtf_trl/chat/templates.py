"""Prompts as template files that a user can replace.

A template is a Jinja file with a block ``user`` and optionally a block ``system``, one message each. Its values are
plain strings and lists, never templates, so no text of a model is ever executed; the environment is Jinja's sandbox
all the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    meta,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rrtf_trl.errors import UserError
from rrtf_trl.records import Message, content_hash


class Templates:
    """The templates of a folder of this package, each replaced by the user's file of the same name where there is one.

    Args:
        builtin: The package's folder.
        folder: The user's folder, or ``None``.

    Raises:
        UserError: If the user's folder does not exist.
    """

    def __init__(self, builtin: Path, folder: str | Path | None = None) -> None:
        loaders: list[BaseLoader] = [FileSystemLoader(builtin)]
        if folder is not None:
            folder = Path(folder).expanduser()
            if not Path(folder).is_dir():
                raise UserError(f"templates: {folder} is not a folder")
            loaders.insert(0, FileSystemLoader(folder))
        self._environment: Environment = ImmutableSandboxedEnvironment(
            loader=ChoiceLoader(loaders),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )

    def names(self) -> list[str]:
        """Return the names of all templates, without their extension."""
        return sorted(name.removesuffix(".jinja") for name in self._environment.list_templates(["jinja"]))

    def messages(self, name: str, /, **values: Any) -> list[Message]:
        """Return the messages of a template rendered with ``values``.

        Raises:
            UserError: If the template is missing or faulty; the message names file and line.
        """
        template = self._template(name)
        if "user" not in template.blocks:
            raise UserError(f"template {template.filename}: needs a block named 'user'")
        messages = []
        for role in ("system", "user"):
            if role in template.blocks:
                try:
                    context = template.new_context(values)
                    content = "".join(template.blocks[role](context)).strip()
                except TemplateError as error:
                    raise UserError(f"template {template.filename}: {error}") from None
                messages.append({"role": role, "content": content})
        return messages

    def digest(self, *names: str) -> str:
        """Return a hash of the source of these templates and of those that they include."""
        sources: dict[str, str] = {}
        queue = [f"{name}.jinja" for name in names]
        while queue:
            name = queue.pop()
            if name not in sources:
                sources[name] = self._source(name)
                try:
                    tree = self._environment.parse(sources[name], name, name)
                except TemplateSyntaxError as error:
                    raise UserError(f"template {name}:{error.lineno}: {error.message}") from None
                queue += filter(None, meta.find_referenced_templates(tree))
        return content_hash(sources)

    def _source(self, name: str) -> str:
        assert self._environment.loader is not None
        try:
            return self._environment.loader.get_source(self._environment, name)[0]
        except TemplateNotFound:
            raise UserError(f"template {name}: not found") from None

    def _template(self, name: str) -> Template:
        try:
            return self._environment.get_template(f"{name}.jinja")
        except TemplateNotFound as error:
            raise UserError(f"template {error.name}: not found; known are {', '.join(self.names())}") from None
        except TemplateSyntaxError as error:
            raise UserError(f"template {error.filename}:{error.lineno}: {error.message}") from None


def delimiter(*texts: str) -> str:
    """Return a string to put around texts, derived from all of them and contained in none."""
    mark = content_hash(*texts)[:12]
    while any(mark in text for text in texts):
        mark = content_hash(mark)[:12]
    return mark
