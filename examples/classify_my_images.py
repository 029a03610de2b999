"""A classifier from a folder of images with one subfolder per class, without a training loop.

    python examples/classify_my_images.py images/ --query unknown.jpg

Without a folder it takes the photos that come with the package: six classes of four, and others to classify, some of
which are none of these.
"""

import argparse
import tempfile
from pathlib import Path

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.config.default_models import DEFAULT_MODEL
from fewshot_film.data.photos import photos_folder


def images_of(folder: Path) -> list[Path]:
    """The files of all classes."""
    return sorted(path for path in folder.glob("*/*") if path.is_file())


def main() -> None:
    """Fit on some images of every class, classify the others, and save the classifier."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="a folder with one subfolder per class")
    parser.add_argument("--query", nargs="*", type=Path, help="images to classify; default: the rest of the folder")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model's name or folder")
    options = parser.parse_args()

    files = images_of(options.folder or photos_folder() / "labelled")
    if options.query:
        support, queries = files, options.query
    elif options.folder:
        support, queries = files[::2], files[1::2]
    else:
        support, queries = files, images_of(photos_folder() / "unknown")

    classifier = FewShotClassifier(options.model)
    classifier.fit(support, [path.parent.name for path in support])
    answers = classifier.answer(queries, reject=0.05)  # 5 % of true members are rejected too
    for row, (path, label) in enumerate(zip(queries, answers.labels, strict=True)):
        share, far = answers.probabilities[row].max(), answers.relative_distances[row]
        answer = f"none of these ({far:.1f} × limit)" if label is None else f"{label} ({100 * share:.0f} %)"
        print(f"{path.name} of {path.parent.name}: {answer}")

    with tempfile.TemporaryDirectory() as temporary:
        classifier.save_pretrained(Path(temporary) / "classifier")
        again = FewShotClassifier.from_pretrained(Path(temporary) / "classifier")
        assert (again.predict(queries) == classifier.predict(queries)).all()


if __name__ == "__main__":
    main()
