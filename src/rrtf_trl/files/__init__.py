"""Files: rows in, rows out, and files that are written whole or not at all."""
