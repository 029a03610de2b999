"""The steps of ``clevr-film generate``: scenes, their pictures and their questions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clevr.commands.generate import GenerateConfig
from clevr.data.chunks import Chunk, Made
from clevr.questions.question import Question
from clevr.questions.writer import write_questions
from clevr.world.placement import SceneConfig, Scenes
from clevr.world.render import render
from clevr.world.scene import Scene
from fewshot_film.run.seeding import numpy_generator


def make(config: GenerateConfig, chunk: Chunk) -> Made:
    """Everything about a range of scenes; a function of the settings and each scene's number alone."""
    scenes = make_scenes(config, chunk)
    questions = [question for scene in scenes for question in make_questions(config, scene)]
    return Made(scenes, questions, make_pictures(config, scenes))


def make_scenes(config: GenerateConfig, chunk: Chunk) -> list[Scene]:
    """The scenes of a range."""
    rules = SceneConfig(condition="plain" if config.condition == "none" else config.condition)
    scenes = Scenes(config.seed, config.split, rules, width=config.width, height=config.height)
    return scenes.batch(range(chunk.start, chunk.stop))


def make_pictures(config: GenerateConfig, scenes: list[Scene]) -> NDArray[np.uint8]:
    """Pictures of scenes, ``(N, 3, H, W)``."""
    pictures = render(scenes, config.width, config.height, device=config.device)
    array: NDArray[np.uint8] = pictures.cpu().numpy()
    return array


def make_questions(config: GenerateConfig, scene: Scene) -> list[Question]:
    """The questions of one scene, from random numbers of its own."""
    rng = numpy_generator(config.seed, "questions", scene.split, scene.image_index)
    return write_questions(scene, rng, config.questions_per_scene)
