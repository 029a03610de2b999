"""Learners whose FiLM is a blend of learned values, a set of them for each source."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch
import torch.nn.functional as F

from fewshot_film.commands.train import with_templates
from fewshot_film.config.learners import PrototypesConfig, SimpleCNAPSConfig, TransductiveCNAPSConfig
from fewshot_film.data.image_set import JoinedSet
from fewshot_film.episodes import Episode, EpisodeSampler
from fewshot_film.errors import ConfigError
from fewshot_film.film import TemplateGenerator
from fewshot_film.learners import SimpleCNAPS, load_learner
from fewshot_film.learners.film_learner import outlier_images
from fewshot_film.learners.objectives import MetaTraining
from fewshot_film.learners.registry import save_learner
from tests.learners.small import SMALL, noisy_classes, small_learner


def learner(**settings) -> SimpleCNAPS:
    made = small_learner(adaptation="templates", templates=("noisy", "other"), **settings)
    with torch.no_grad():
        made.generator.templates.normal_(std=0.3)
    return made


def episode(source: str = "noisy", index: int = 0) -> Episode:
    return dataclasses.replace(EpisodeSampler(noisy_classes(), way=3, shot=2, query=3)[index], source=source)


def test_in_training_an_episode_is_answered_by_the_template_of_its_source():
    made, task = learner().train(), episode("other")
    other = made.generator.template(1)
    head = made.fit_head(made.features(task.support_images, other), task.support_labels)
    torch.testing.assert_close(made(task), head(made.features(task.query_images, other)))
    made(task).sum().backward()
    assert made.generator.templates.grad.abs().sum(1).gt(0).tolist() == [False, True]
    assert made.generator.blend.weight.grad is None


def test_afterwards_by_the_blend_whatever_the_source():
    made, task = learner().eval(), episode("unheard of")
    with torch.no_grad():
        blend = made.generator(made.encode(task.support_images))
        head = made.fit_head(made.features(task.support_images, blend), task.support_labels)
        torch.testing.assert_close(made(task), head(made.features(task.query_images, blend)))


def test_training_adds_how_badly_the_code_tells_the_source_and_how_far_templates_go():
    made, task = learner().train(), episode("other")
    torch.manual_seed(3)
    seen = (task.support_images, outlier_images(task.support_images))
    of_source, of_none = (made.generator.scores(made.encode(images)).log_softmax(1)[0] for images in seen)
    expected = F.cross_entropy(made(task), task.query_labels) - (of_source[1] + of_none[2]) / 2
    expected = expected + 0.001 * made.generator.templates.square().sum() / 2
    torch.manual_seed(3)
    torch.testing.assert_close(MetaTraining(made)(task)["loss"], expected)
    expected.backward()
    assert made.generator.blend.weight.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in made.set_encoder.parameters())


def test_it_learns_to_tell_two_sources_apart():
    made = learner().train()
    module = MetaTraining(made)
    optimizer = torch.optim.Adam([each for each in made.parameters() if each.requires_grad], lr=3e-2)
    for step in range(60):
        optimizer.zero_grad()
        module(banded(episode("other", step)) if step % 2 else episode("noisy", step))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        unseen = [episode(index=index) for index in range(100, 105)]
        for source, tasks in enumerate((unseen, map(banded, unseen))):
            named = [made.generator.scores(made.encode(task.support_images)).argmax(1) for task in tasks]
            assert torch.cat(named).tolist() == [source] * 5


def banded(task: Episode) -> Episode:
    """The same task with white bands."""
    support = task.support_images.clone()
    support[:, :, ::2] = 1
    return dataclasses.replace(task, support_images=support)


def test_saved_and_loaded(tmp_path):
    made = learner().eval()
    save_learner(tmp_path / "model", made, {}, "card")
    task = episode()
    loaded = load_learner(tmp_path / "model")
    assert loaded.config == made.config
    assert isinstance(loaded.generator, TemplateGenerator)
    with torch.no_grad():
        assert torch.equal(loaded(task), made(task))


def test_templates_are_those_of_the_sources_unless_named():
    config = dataclasses.replace(SMALL, adaptation="templates")
    one, two = noisy_classes(), noisy_classes()
    two.name = "other"
    assert with_templates(config, one).templates == ("noisy",)
    assert with_templates(config, JoinedSet([one, two])).templates == ("noisy", "other")
    more = dataclasses.replace(config, templates=("other", "third", "noisy"))
    assert with_templates(more, JoinedSet([one, two])) == more
    assert with_templates(SMALL, one) == SMALL
    message = "learner.templates is third, noisy; expected all sources, but other is missing"
    with pytest.raises(ConfigError, match=re.escape(message)):
        with_templates(dataclasses.replace(config, templates=("third", "noisy")), JoinedSet([one, two]))


def test_wrong_settings():
    with pytest.raises(ConfigError, match=re.escape("learner.templates is ['a']; expected none with adaptation film")):
        SimpleCNAPSConfig(templates=("a",))
    with pytest.raises(ConfigError, match=re.escape("learner.adaptation is templates; expected film, film+ar or none")):
        TransductiveCNAPSConfig(adaptation="templates")
    with pytest.raises(ConfigError, match=re.escape("learner.templates is empty; expected the names of the sources")):
        small_learner(adaptation="templates")
    assert PrototypesConfig(adaptation="templates", templates=("a",)).templates == ("a",)
    message = "an episode is of third, which has no template; learner.templates: noisy, other"
    with pytest.raises(ConfigError, match=re.escape(message)):
        learner().train()(episode("third"))
