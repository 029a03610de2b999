"""The FiLM-ed network that answers questions about images.

``network`` is the whole, as published: ``question_encoder`` reads, ``trunk`` sees, ``blocks`` reason,
``answer_classifier`` answers. ``hop_reasoner`` follows a question hop by hop, as ``question_reader`` reads it.
``objectives``: what training minimises; ``loading`` saves and loads.
"""

from clevr.questions.batch import PrefixTree, QuestionBatch, build_prefix_tree
from clevr.reasoning.hop_reasoner import HopReasoner, build_reasoner
from clevr.reasoning.loading import load, save_reasoner
from clevr.reasoning.network import FiLMReasoner, Reasoner

__all__ = [
    "FiLMReasoner",
    "HopReasoner",
    "PrefixTree",
    "QuestionBatch",
    "Reasoner",
    "build_prefix_tree",
    "build_reasoner",
    "load",
    "save_reasoner",
]
