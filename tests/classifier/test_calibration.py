"""Temperatures, rejection and the calibration error."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_film.classifier import calibration_error
from fewshot_film.classifier.adapting import TaskHead
from fewshot_film.classifier.calibration import (
    HeldOut,
    Measured,
    expected_distances,
    fit_temperature,
    held_out,
    largest_member_distance,
    prior_temperature,
    task_temperature,
)
from fewshot_film.learners import fit_mahalanobis


def clusters(way: int, shot: int, spread: float = 1.0, dim: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    centres = 3 * torch.randn(way, dim, generator=generator, dtype=torch.float64)
    labels = torch.arange(way).repeat_interleave(shot)
    noise = torch.randn(len(labels), dim, generator=generator, dtype=torch.float64)
    return centres[labels] + spread * noise, labels


def fit(features, labels):
    metric = fit_mahalanobis(features, labels)
    return TaskHead(metric, metric)


def test_leave_one_out_is_a_loop_over_the_pictures():
    features, labels = clusters(3, 4)
    found = held_out(fit, features, labels)
    assert sorted(found.labels.tolist()) == labels.tolist()
    for row, picture in enumerate(labels.argsort(stable=True).tolist()):
        others = torch.arange(len(labels)) != picture
        alone = fit_mahalanobis(features[others], labels[others]).distances(features[picture][None])
        torch.testing.assert_close(found.logits[row], -alone[0])
        torch.testing.assert_close(found.nearest[row], alone.min())


def test_classes_of_one_picture_are_never_left_out():
    features, labels = clusters(3, 2)
    found = held_out(fit, features[[0, 1, 2, 4]], labels[[0, 1, 2, 4]])
    assert found.logits.shape == (2, 3)
    assert found.labels.tolist() == [0, 0]
    assert held_out(fit, features[::2], labels[::2]).logits.shape == (0, 3)


@pytest.mark.parametrize(("way", "shot"), [(2, 60), (5, 9), (30, 2), (1, 300), (3, 500)])
def test_no_class_is_emptied_and_at_most_a_thousand_are_measured(way, shot):
    features, labels = clusters(way, shot)

    def fit_and_check(some, their_labels):
        assert their_labels.unique().tolist() == list(range(way))
        return fit(some, their_labels)

    found = held_out(fit_and_check, features, labels)
    assert len(found.labels) == min(1000, way * shot)
    counts = found.labels.bincount()
    assert counts.max() - counts.min() <= 40


def test_the_temperature_that_made_the_labels_is_found():
    generator = torch.Generator().manual_seed(0)
    logits = 8 * torch.randn(4000, 5, generator=generator)
    labels = torch.multinomial((logits / 3).softmax(1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits, labels) == pytest.approx(3, rel=0.1)


def test_scaling_the_logits_scales_the_temperature():
    features, labels = clusters(4, 5, spread=2.0)
    found = held_out(fit, features, labels)
    one = fit_temperature(found.logits, found.labels)
    assert fit_temperature(1000 * found.logits, found.labels) == pytest.approx(1000 * one, rel=1e-4)


def test_however_well_all_is_told_apart_certainty_has_its_bounds():
    """Of 8 images with equal margins, Laplace's rule leaves one in ten to the rival."""
    logits = torch.tensor([[4.0, 0.0, -1e3]] * 8)
    temperature = fit_temperature(logits, torch.zeros(8, dtype=torch.long))
    assert float((logits[0] / temperature).softmax(0)[0]) == pytest.approx(0.9, abs=1e-4)


def test_the_prior_rules_where_there_are_few_pictures():
    logits, labels = torch.tensor([[4.0, 0.0]] * 50), torch.zeros(50, dtype=torch.long)
    assert fit_temperature(logits[:0], labels[:0], prior=2.5) == pytest.approx(2.5)
    assert fit_temperature(logits[:0], labels[:0]) == 1
    assert fit_temperature(logits[:, :1], labels) == 1
    free = fit_temperature(logits, labels)
    held = [fit_temperature(logits[:count], labels[:count], prior=30.0, strength=5.0) for count in (1, 10, 50)]
    assert 30 > held[0] > held[1] > held[2] > free


def test_what_held_out_pictures_tell_is_a_factor():
    """A task like the others of its learner gets what was measured at its number of images, not at one less."""
    logits = torch.tensor([[3.0, 0.0]] * 9 + [[0.0, 3.0]])
    held = HeldOut(logits, logits[:, 0], torch.zeros(10, dtype=torch.long))
    found = fit_temperature(logits, held.labels)
    assert task_temperature(held, {1.0: found, 2.0: found / 3}, 2) == pytest.approx(found / 3, rel=1e-6)
    twice = HeldOut(2 * logits, logits[:, 0], held.labels)
    assert found / 3 < task_temperature(twice, {1.0: found, 2.0: found / 3}, 2) < 2 * found / 3
    none = HeldOut(logits[:0], logits[:0, 0], held.labels[:0])
    assert task_temperature(none, {1.0: 4.0}, 1) == pytest.approx(4)
    assert task_temperature(none, {}, 1) == 1


@pytest.mark.parametrize(("prior", "strength"), [(0.0, 1.0), (-1.0, 1.0), (1.0, -1.0)])
def test_numbers_out_of_range(prior, strength):
    with pytest.raises(ValueError, match="a number above 0 and one of at least 0"):
        fit_temperature(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), prior, strength)


def test_temperatures_between_the_measured_shots():
    measured = {1.0: 4.0, 16.0: 1.0}
    assert prior_temperature(measured, 4) == pytest.approx(2)
    assert prior_temperature(measured, 1) == 4
    assert prior_temperature(measured, 100) == pytest.approx(1)
    assert prior_temperature({}, 3) == 1


def test_the_bound_on_members_by_hand():
    distances = torch.tensor([1.0, math.e**2, math.e**4], dtype=torch.float64)
    expected = math.exp(2 + 2.92 * 2 * math.sqrt(4 / 3))
    assert largest_member_distance(distances, 0.05) == pytest.approx(expected, rel=1e-3)


@settings(max_examples=5)
@given(st.sampled_from([0.02, 0.05, 0.2]), st.integers(3, 40))
def test_about_the_stated_share_of_members_is_rejected(reject, count):
    generator = torch.Generator().manual_seed(count)
    rejected = []
    for _ in range(400):
        drawn = torch.randn(count + 20, generator=generator, dtype=torch.float64).exp()
        rejected.append((drawn[count:] > largest_member_distance(drawn[:count], reject)).double().mean())
    share = float(torch.stack(rejected).mean())
    assert share == pytest.approx(reject, abs=0.02)


def test_what_other_kinds_show_counts_as_one_image():
    """1 and 3 with a weight of one, 2 and 4 of a half: their quantiles are those at 1/6, 5/12, 2/3 and 11/12."""
    held_out_distances, expected = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 4.0], dtype=torch.float64)
    assert largest_member_distance(held_out_distances, 0.25, expected) == pytest.approx(3 + 1 / 3)
    # four of them, with a quarter each: 3 at 2/3, the first 4 at 7/8
    assert largest_member_distance(held_out_distances, 0.25, expected.repeat(2)) == pytest.approx(3.4)


def test_one_image_per_class_leaves_what_other_kinds_show():
    expected = (torch.arange(100, dtype=torch.float64) + 0.5) / 100
    assert largest_member_distance(torch.zeros(0), 0.05, expected) == pytest.approx(0.95)


def test_many_held_out_images_outweigh_what_other_kinds_show():
    drawn = torch.rand(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bound = largest_member_distance(drawn, 0.05, torch.full((100,), 50.0, dtype=torch.float64))
    assert bound == pytest.approx(0.95, abs=0.02)


def test_distances_between_the_measured_shots():
    measured = {1.0: [2.0, 8.0], 16.0: [1.0, 4.0]}
    assert expected_distances(measured, 4).tolist() == pytest.approx([1.5, 6.0])
    assert expected_distances(measured, 100).tolist() == [1.0, 4.0]
    assert expected_distances({}, 4) is None


def test_less_doubt_is_more_certain():
    logits, labels = 5 * torch.eye(3), torch.arange(3)
    temperatures = [fit_temperature(logits, labels, doubt=doubt) for doubt in (1.0, 0.5, 0.1)]
    assert temperatures == sorted(temperatures, reverse=True)
    # half a mistake before three images and half a right answer: the largest probability is 1 - 0.5 / 4
    assert 1 / (1 + 2 * math.exp(-5 / temperatures[1])) == pytest.approx(7 / 8, rel=1e-3)


def test_what_was_measured_is_read_as_it_was_written():
    measured = Measured({1.0: 0.9, 5.0: 1.1}, 0.5, {1.0: (0.1, 0.7)})
    assert Measured.of(json.loads(json.dumps(measured.record()))) == measured
    assert Measured.of({}) == Measured()
    assert Measured.of({"temperatures": {"1": 3.0}}).doubt == 1


@pytest.mark.parametrize(
    ("distances", "reject", "message"),
    [
        ([1.0, 2.0], 0.0, r"reject is 0\.0; expected a share above 0 and below 1, such as 0\.05"),
        ([1.0, 2.0], 1.0, r"reject is 1\.0"),
        ([1.0, 2.0], "0.1", r"reject is '0\.1'; expected a share above 0"),
        ([1.0, 2.0], [0.1], r"reject is \[0\.1\]; expected a share above 0"),
        ([1.0], 0.05, "reject needs support images to learn from .* at least one class with two images"),
    ],
)
def test_nothing_to_reject_by(distances, reject, message):
    with pytest.raises(ValueError, match=message):
        largest_member_distance(torch.tensor(distances), reject)


@pytest.mark.parametrize("count", [2, 3, 4, 20])
def test_shares_near_0_and_1_have_a_limit(count):
    distances = torch.linspace(1, 9, count)
    shares = (5e-324, 1e-17, 1e-6, 0.05, 0.95, 1 - 1e-16)
    limits = [largest_member_distance(distances, reject) for reject in shares]
    assert all(0 < limit < math.inf for limit in limits)
    assert limits == sorted(limits, reverse=True)


def test_by_hand():
    """Bins (0.5, 0.75] with one of two right at 0.6 and 0.7, and (0.75, 1] with two of two right at 0.9 and 1."""
    probabilities = [[0.6, 0.4], [0.3, 0.7], [0.9, 0.1], [0.0, 1.0]]
    found = calibration_error(probabilities, [0, 0, 0, 1], num_bins=4)
    assert found.count.tolist() == [0, 0, 2, 2]
    assert found.accuracy[2:].tolist() == [0.5, 1.0]
    assert found.confidence[2:] == pytest.approx([0.65, 0.95])
    assert np.isnan(found.accuracy[:2]).all()
    assert found.error == pytest.approx((2 * 0.15 + 2 * 0.05) / 4)


def test_labels_by_name_and_a_class_that_was_never_learned():
    found = calibration_error([[0.8, 0.2], [0.8, 0.2]], ["cat", "newt"], classes=["cat", "dog"], num_bins=1)
    assert found.accuracy.tolist() == [0.5]
    assert found.error == pytest.approx(0.3)


@given(st.lists(st.tuples(st.floats(0.5, 1), st.booleans()), min_size=1, max_size=30), st.integers(1, 20))
def test_against_a_loop_over_the_bins(answers, num_bins):
    probabilities = [[share, 1 - share] for share, _ in answers]
    found = calibration_error(probabilities, [0 if right else 7 for _, right in answers], num_bins=num_bins)
    expected = 0.0
    for number in range(num_bins):
        inside = [(s, r) for s, r in answers if max(math.ceil(s * num_bins), 1) - 1 == number]
        if inside:
            gap = sum(r for _, r in inside) - sum(s for s, _ in inside)
            expected += abs(gap) / len(answers)
    assert found.error == pytest.approx(expected, abs=1e-12)
    assert found.count.sum() == len(answers)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([], [], r"expected \(N, way\), \(N,\)"),
        ([[0.5, 0.5]], [0, 1], r"expected \(N, way\), \(N,\)"),
        ([[2.0, 1.0]], [0], "does not sum to 1; apply a softmax to logits first"),
        ([[-1.0, 2.0]], [0], "is negative or does not sum to 1"),
    ],
)
def test_what_is_no_distribution(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        calibration_error(probabilities, labels)
