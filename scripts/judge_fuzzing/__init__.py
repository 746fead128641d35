"""What ``scripts/fuzz_judge.py`` is made of: programs, tests for them in many forms, mutants, and plain execution."""
