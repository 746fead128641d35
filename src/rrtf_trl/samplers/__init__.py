"""Samplers: problems in, candidates out."""

from rrtf_trl.programs.extract import Extracted, extract_code

from .base import DrawsInEachProcess, Sampler, Samples
from .openai import OpenAISampler
from .reference import ReferenceSampler
from .replay import ReplaySampler
from .transformers import TransformersSampler

__all__ = [
    "DrawsInEachProcess",
    "Extracted",
    "OpenAISampler",
    "ReferenceSampler",
    "ReplaySampler",
    "Sampler",
    "Samples",
    "TransformersSampler",
    "extract_code",
]
