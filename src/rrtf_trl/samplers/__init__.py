"""Samplers: problems in, candidates out."""

from .base import Sampler, Samples
from .extract import Extracted, extract_code
from .openai import OpenAISampler
from .reference import ReferenceSampler
from .replay import ReplaySampler
from .transformers import TransformersSampler

__all__ = [
    "Extracted",
    "OpenAISampler",
    "ReferenceSampler",
    "ReplaySampler",
    "Sampler",
    "Samples",
    "TransformersSampler",
    "extract_code",
]
