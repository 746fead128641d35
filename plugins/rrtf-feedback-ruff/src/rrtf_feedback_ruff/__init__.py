"""Lint and complexity as a tie-break among right answers, for rrtf-trl."""
