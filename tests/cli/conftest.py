"""A tiny model to train by commands."""

from support.tiny_llama import base_tokenizer, llama_path  # noqa: F401 (fixtures)
