"""The reader on real files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from clevr.data.layout import list_splits
from clevr.data.reader import ClevrSplit, read_questions
from clevr.questions import execute


@pytest.fixture(scope="module", params=["zip", "unpacked"])
def blender_sample(request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = shared_data / "clevr-blender-sample.zip"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    if request.param == "zip":
        return archive
    folder = tmp_path_factory.mktemp("blender-sample")
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    return folder


def test_all_programs_execute_to_the_stored_answers(blender_sample: Path) -> None:
    assert list_splits(blender_sample) == ["test", "train", "val"]
    count = 0
    for name in list_splits(blender_sample):
        split = ClevrSplit.open(blender_sample, name)
        scenes = {scene.image_filename: scene for scene in split.scenes()}
        assert set(scenes) == split.images
        for question in split.questions():
            assert question.program is not None
            assert execute(question.program, scenes[question.image_filename]) == question.answer
            assert question.split == "new"
            assert question.question_family_index is not None
            count += 1
    assert count == 1250


def test_all_pictures_of_the_blender_sample_decode(blender_sample: Path) -> None:
    sizes = set()
    for name in list_splits(blender_sample):
        split = ClevrSplit.open(blender_sample, name)
        sizes |= {split.load_image(filename).size for filename in split.images}
    assert sizes == {(224, 224)}


def test_real_clevr_questions(shared_data: Path) -> None:
    root = shared_data / "clevr-v1-sample"
    if not root.is_dir():
        pytest.skip(f"no {root}")
    split = ClevrSplit.open(root, "val")
    questions = list(split.questions())
    assert len(questions) == 40
    assert {question.image_index for question in questions} == {10, 11, 12, 13}
    assert split.load_image(questions[0].image_filename).size == (480, 320)
    texts = list(read_questions(root / "questions" / "val_questions_text_only.json", text_only=True))
    assert len(texts) == 1030
