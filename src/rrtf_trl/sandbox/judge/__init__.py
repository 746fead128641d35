"""What runs the tests, which are trusted, and decides outcomes; it never runs the program."""
