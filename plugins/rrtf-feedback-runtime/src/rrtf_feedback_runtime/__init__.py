"""Speed and memory of right answers as a tie-break, for rrtf-trl."""
