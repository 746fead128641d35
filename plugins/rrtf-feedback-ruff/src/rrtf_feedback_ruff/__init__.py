"""Lint and complexity as a tie-break among passing candidates, for rrtf-trl."""
