"""Programs: extracted from a response, and assembled with the code that a problem puts around them."""
