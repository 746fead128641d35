"""What a run is doing: bars and lines on the console, and the status file that others read."""
