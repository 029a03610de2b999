"""Rendered scenes against the real images they describe."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clevr.world.render import object_ids, render
from clevr.world.scene import Scene

SCENES = Path(__file__).resolve().parents[3] / "docs" / "real-scenes.json"


def scenes() -> list[Scene]:
    return [Scene.from_json(record) for record in json.loads(SCENES.read_text())["scenes"]]


def test_the_records_are_scenes_of_clevr():
    assert len(scenes()) == 11
    assert all(3 <= len(scene.objects) <= 10 for scene in scenes())


@pytest.mark.parametrize("number", [0, 4, 10])
def test_pictures_are_like_real_ones(shared_data, number):
    scene = scenes()[number]
    with Image.open(shared_data / "clevr-v1-sample" / "images" / scene.image_filename) as image:
        real = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float()
    drawn = render([scene], 480, 320)[0].float()
    error = (drawn - real).abs().mean(0)
    objects = object_ids([scene], 480, 320)[0] >= 0
    assert error[~objects].mean() < 1.5
    assert error[objects].mean() < 4.5
    levels = torch.tensor([0.05, 0.5, 0.95])
    ground = [picture.mean(0)[~objects].quantile(levels) for picture in (real, drawn)]
    assert (ground[0] - ground[1]).abs().max() < 2
