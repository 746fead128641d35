"""Models: identity, size, and the tokens of a prompt."""
