"""Few-shot image classification with FiLM adaptation."""

__version__ = "0.1.0"
