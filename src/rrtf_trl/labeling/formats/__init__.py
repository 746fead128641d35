"""Export of labels to, and import from, other programs' files."""

from .exporting import EXPORTS, export_labels
from .importing import add_labels, labels_from_file

__all__ = ["EXPORTS", "add_labels", "export_labels", "labels_from_file"]
