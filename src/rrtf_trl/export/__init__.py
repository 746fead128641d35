"""A policy in the forms that people deploy, each made by the tool that is kept for it."""

from .forms import FORMS, Form

__all__ = ["FORMS", "Form"]
