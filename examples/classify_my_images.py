"""A classifier from a folder of images with one subfolder per class, without a training loop.

    python examples/classify_my_images.py images/ --query unknown.jpg

Without a folder it draws one: five letters of an alphabet, eight images each.
"""

import argparse
import tempfile
from pathlib import Path

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.data import open_source


def draw_folder(folder: Path, classes: int = 5, num_images: int = 8) -> None:
    """Save images of generated letters, in one subfolder per class."""
    glyphs = open_source("glyphs", split="test")
    for label, name in enumerate(glyphs.class_names[:classes]):
        (folder / str(label)).mkdir(parents=True)
        members = [index for index, of in enumerate(glyphs.labels) if of == label][:num_images]
        for number, index in enumerate(members):
            glyphs.load(index).save(folder / str(label) / f"{number}.png")
        print(f"class {label}: {name}")


def main() -> None:
    """Fit on some images of every class, classify the others, and save the classifier."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="a folder with one subfolder per class")
    parser.add_argument("--query", nargs="*", type=Path, help="images to classify; default: the rest of the folder")
    parser.add_argument("--model", default="general-small", help="a model's name or folder")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "letters"
        if options.folder is None:
            draw_folder(folder)
        files = sorted(path for path in folder.glob("*/*") if path.is_file())
        support = files if options.query else files[::2]
        queries = options.query or files[1::2]

        classifier = FewShotClassifier(options.model)
        classifier.fit(support, [path.parent.name for path in support])
        answers = classifier.answer(queries, reject=0.05)  # 5 % of true members are rejected too
        for path, label, shares in zip(queries, answers.labels, answers.probabilities, strict=True):
            print(f"{path.name} of {path.parent.name}: {label or 'none of these'} ({100 * shares.max():.0f} %)")

        classifier.save_pretrained(Path(temporary) / "classifier")
        again = FewShotClassifier.from_pretrained(Path(temporary) / "classifier")
        assert (again.predict(queries) == classifier.predict(queries)).all()


if __name__ == "__main__":
    main()
