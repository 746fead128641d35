"""From judgements to ranked groups: the paper's rules, and other sources beside the tests.

candidates, each with its judgements ──▶ trainable ──▶ standings ──▶ ranked group, what was dropped, conflicts
                                        trainable.py   combine.py    rule.py
"""

from rrtf_trl.records import Dropped

from .combine import Conflict, Standing
from .rule import Ranked, Ranking
from .trainable import training_text

__all__ = ["Conflict", "Dropped", "Ranked", "Ranking", "Standing", "training_text"]
