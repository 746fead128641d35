"""A policy in the forms that people deploy, each made by the tool that is kept for it, and measured."""

from .forms import FORMS, Form
from .table import QuantizationTable

__all__ = ["FORMS", "Form", "QuantizationTable"]
