"""The configuration: options and their types, composition, differences between runs, and the objects built from it."""
