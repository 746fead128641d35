"""Models: which one it is, and how a prompt becomes its tokens."""
