"""Export a policy to the forms in which models are deployed, each with that form's own tool."""

from .forms import FORMS, Form

__all__ = ["FORMS", "Form"]
