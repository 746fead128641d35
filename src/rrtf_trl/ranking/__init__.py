"""From judgements to ranked groups: by the paper's rule, or by tests and other feedback sources together.

candidates, each with its judgements ──▶ trainable ──▶ standings ──▶ ranked group, dropped candidates, conflicts
                                        trainable.py   combine.py    rule.py
"""

from rrtf_trl.records import Dropped

from .combine import Conflict, Standing
from .rule import Ranked, Ranking
from .trainable import TrainOn, training_text

__all__ = ["Conflict", "Dropped", "Ranked", "Ranking", "Standing", "TrainOn", "training_text"]
