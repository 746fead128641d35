"""What splitting (:mod:`.splitting`) has to know of the names in an assertion."""

from __future__ import annotations

import ast
from typing import Any, Protocol


class Knowledge(Protocol):
    """What is known of the names in the tests, where an assertion stands."""

    scope: dict[str, Any]
    """The judge's values."""

    def is_guest(self, name: str) -> bool:
        """Return whether a name's value lives in the program's process."""

    def is_class(self, name: str) -> bool:
        """Return whether it is a class, as far as its name shows."""

    def is_made(self, name: str) -> bool:
        """Return whether it is an object that the tests made from a class of the program's, or makes such objects.

        Args:
            name: The name, or that of an attribute as ``self.stack``.
        """

    def is_environment(self, name: str) -> bool:
        """Return whether it is a part of the world that the program sees, as ``os``, and no program decides it."""

    def is_function(self, name: str) -> bool:
        """Return whether it is a function or class of the program's, or one of the tests' that lives with it."""

    def is_decided(self, name: str) -> bool:
        """Return whether it holds what the tests' code in the program's process found by comparing."""

    def is_data(self, name: str) -> bool:
        """Return whether it is a value of the judge's that no statement defines."""

    def is_own_object(self, node: ast.expr) -> bool:
        """Return whether an expression is an object of a class that the tests define."""
