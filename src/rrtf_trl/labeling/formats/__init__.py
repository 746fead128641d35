"""Labels to and from other programs' files."""

from .exporting import EXPORTS, export_labels
from .importing import import_labels

__all__ = ["EXPORTS", "export_labels", "import_labels"]
