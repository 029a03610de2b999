"""The FiLM-ed network that answers questions about images.

``network`` is the whole; ``question_encoder`` reads, ``trunk`` sees, ``blocks`` reason, ``answer_classifier`` answers;
``objectives``: what training minimises; ``loading`` saves and loads.
"""

from clevr.questions.batch import PrefixTree, QuestionBatch, build_prefix_tree
from clevr.reasoning.loading import load, save_reasoner
from clevr.reasoning.network import FiLMReasoner

__all__ = ["FiLMReasoner", "PrefixTree", "QuestionBatch", "build_prefix_tree", "load", "save_reasoner"]
