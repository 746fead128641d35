"""Prompts as template files that a user can replace.

A template is a Jinja file with a block ``user`` and, where wanted, a block ``system``: one message each. What
is put into it are plain strings and lists, never templates, so that nothing a model wrote is ever executed
here; the environment is Jinja's sandbox all the same.
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
from rrtf_trl.records import Message, Prompt, content_hash


class Templates:
    """The templates of a folder of this package, each of which a file of the same name replaces.

    Args:
        ours: The package's folder.
        folder: The user's folder, or ``None``.

    Raises:
        UserError: If the user's folder is not there.
    """

    def __init__(self, ours: Path, folder: str | Path | None = None) -> None:
        loaders: list[BaseLoader] = [FileSystemLoader(ours)]
        if folder is not None:
            if not Path(folder).is_dir():
                raise UserError(f"templates: {folder} is no folder")
            loaders.insert(0, FileSystemLoader(folder))
        self._environment: Environment = ImmutableSandboxedEnvironment(
            loader=ChoiceLoader(loaders),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )

    def names(self) -> list[str]:
        """Return the names of all templates, without their ending."""
        return sorted(name.removesuffix(".jinja") for name in self._environment.list_templates(["jinja"]))

    def messages(self, name: str, /, **values: Any) -> list[Message]:
        """Return the messages that a template makes of ``values``.

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
        """Return a hash of the text of these templates and of those that they include."""
        seen: dict[str, str] = {}
        queue = [f"{name}.jinja" for name in names]
        while queue:
            name = queue.pop()
            if name not in seen:
                seen[name] = self._source(name)
                try:
                    tree = self._environment.parse(seen[name], name, name)
                except TemplateSyntaxError as error:
                    raise UserError(f"template {name}:{error.lineno}: {error.message}") from None
                queue += [other for other in meta.find_referenced_templates(tree) if other is not None]
        return content_hash(seen)

    def _source(self, name: str) -> str:
        assert self._environment.loader is not None
        try:
            return self._environment.loader.get_source(self._environment, name)[0]
        except TemplateNotFound:
            raise UserError(f"template {name}: not there") from None

    def _template(self, name: str) -> Template:
        try:
            return self._environment.get_template(f"{name}.jinja")
        except TemplateNotFound as error:
            raise UserError(f"template {error.name}: not there; known are {', '.join(self.names())}") from None
        except TemplateSyntaxError as error:
            raise UserError(f"template {error.filename}:{error.lineno}: {error.message}") from None


def fence(*texts: str) -> str:
    """Return a mark to put around texts that none of them can contain: it depends on them all."""
    mark = content_hash(*texts)[:12]
    while any(mark in text for text in texts):
        mark = content_hash(mark)[:12]
    return mark


def prompt_text(prompt: Prompt) -> str:
    """Return a problem's prompt as one text."""
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1:
        return str(prompt[0]["content"])
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in prompt)
