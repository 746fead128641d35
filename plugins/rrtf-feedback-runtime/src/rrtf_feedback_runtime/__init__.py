"""Speed and memory of passing candidates as a tie-break, for rrtf-trl."""
