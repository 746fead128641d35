"""What a run keeps: its folder, the store of samples and verdicts, and the locks on work in progress."""
