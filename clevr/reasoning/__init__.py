"""The FiLM-ed network that answers questions about pictures.

``network`` is the whole; ``questions`` reads, ``trunk`` sees, ``blocks`` reason, ``classifier`` answers. ``prefixes``,
``recurrence`` and ``pooling`` make that cheap without changing a result; ``loading`` saves and loads.
"""

from clevr.reasoning.loading import load, save_reasoner
from clevr.reasoning.network import FiLMReasoner, QuestionBatch
from clevr.reasoning.prefixes import PrefixTree, build_prefix_tree

__all__ = ["FiLMReasoner", "PrefixTree", "QuestionBatch", "build_prefix_tree", "load", "save_reasoner"]
