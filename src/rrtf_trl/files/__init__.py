"""Read data sets; write files and folders whole or not at all."""
