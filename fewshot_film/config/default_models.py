"""Which model is used where none is named."""

DEFAULT_MODEL = "photos-small"
"""For photographs: what `FewShotClassifier` and the commands start from."""
DRAWINGS_MODEL = "general-small"
"""For drawings and small images: what the commands that compare models show beside it."""
