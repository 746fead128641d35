"""What decides: runs the tests, which are trusted, and never the program."""
