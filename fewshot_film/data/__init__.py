"""Sources of images, and the decoded sets that episodes are drawn from."""

from fewshot_film.data.decoding import decode
from fewshot_film.data.errors import SourceError
from fewshot_film.data.image_set import ImageSet
from fewshot_film.data.registry import open_source, source_names
from fewshot_film.data.source import ImageSource
from fewshot_film.images import ImageError as ImageError

__all__ = [
    "ImageSet",
    "ImageSource",
    "SourceError",
    "decode",
    "open_source",
    "source_names",
]
