"""Samplers: problems in, candidates out."""

from .base import Sampler, Samples
from .extract import Extracted, extract_code
from .reference import ReferenceSampler
from .transformers import TransformersSampler

__all__ = ["Extracted", "ReferenceSampler", "Sampler", "Samples", "TransformersSampler", "extract_code"]
