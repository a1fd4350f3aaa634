"""Few-layer models of transformers' own classes with random weights, as base models."""

from trainer.model.toy import MOST_USED
from trainer.model.toy import make_family as make

__all__ = ["MOST_USED", "make"]
