"""``clevr-film features``: stores image features of a fixed network; it can be interrupted and restarted."""

from __future__ import annotations

import logging

from tqdm import tqdm

from clevr.config.commands import FeaturesConfig
from clevr.config.features import RANDOM
from clevr.data.backbone import Extractor, ImageBatches
from clevr.data.errors import DataNotFoundError
from clevr.data.feature_store import FeatureWriter
from clevr.data.layout import SplitFiles, list_splits
from clevr.data.reader import ClevrSplit
from clevr.data.storage import open_storage
from fewshot_film.images import is_image_name
from fewshot_film.run.files import FolderLock
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.runtime import choose_device
from fewshot_film.run.settings import plain
from fewshot_film.run.workers import loaded

logger = logging.getLogger(__name__)


def run(config: FeaturesConfig) -> None:
    """Extract what is not there yet.

    Raises:
        DataNotFoundError: there are no images.
        DataError: an image cannot be decoded.
        BackboneError: the network or its weights cannot be had.
        FeatureStoreError: the folder holds other features, or there is no room.
        RunFolderError: another process writes to the folder.
    """
    split = _open_images(config)
    names = sorted(name for name in split.images if is_image_name(name))
    extractor = Extractor(config.extractor)
    settings = {**plain(config.extractor), "weights_sha256": extractor.digest()}
    if config.extractor.weights == RANDOM:
        logger.warning("the network has random weights; its features are only useful for tests")
    extractor.to(choose_device(config.device))
    with FolderLock(config.out):
        writer = FeatureWriter(config.out, names, extractor.shape, config.dtype, settings)
        _extract(config, extractor, writer, ImageBatches(split, names, config.batch_size, config.extractor.size))
    logger.info("%s is complete: %d images", config.out, len(names))


def _extract(config: FeaturesConfig, extractor: Extractor, writer: FeatureWriter, batches: ImageBatches) -> None:
    """Add the rows that are not there yet."""
    logger.info("%d of %d images to do, %s each", writer.num_rows - writer.done, writer.num_rows, extractor.shape)
    left = range(writer.done // config.batch_size, len(batches))
    bar = tqdm(total=writer.num_rows, initial=writer.done, unit="image", disable=hides_bars())
    with bar, loaded(batches, left, config.num_workers) as loader:
        for index, images in zip(left, loader, strict=True):
            known = writer.done - index * config.batch_size  # more than 0 after a change of batch_size
            features = extractor(images.to(extractor.mean.device)).cpu().numpy()[known:]
            writer.append(features)
            bar.update(len(features))
    writer.finish()


def _open_images(config: FeaturesConfig) -> ClevrSplit:
    """The images of a split, or of a plain folder as if it were one."""
    if config.split is not None:
        split = ClevrSplit.open(config.data, config.split)
        if not split.images:
            raise DataNotFoundError(f"the split {config.split!r} of {config.data} has no images")
        return split
    storage = open_storage(config.data)
    split = ClevrSplit(SplitFiles(storage, "pictures", questions=None, scenes=None, images="."))
    if not any(is_image_name(name) for name in split.images):
        splits = list_splits(config.data)
        hint = f"give --split, one of {', '.join(splits)}" if splits else "expected PNG, JPEG or other image files"
        raise DataNotFoundError(f"no images directly in {config.data}; {hint}")
    return split
