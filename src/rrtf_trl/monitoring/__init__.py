"""The progress of a run, on the console and in the status file, and tables of results."""
