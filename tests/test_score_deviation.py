"""Score deviations: planted networks whose answer is worked out by hand, and the bundled scenes whose needed parts are known."""

import numpy as np
import pytest
import torch

from Models.birds import CLASSES, LABEL_NAMES, PARTS, consistent_classes, draw_scene, is_sufficient
from score_deviation import score_deviations
from utils import Network, load_network

CPU = torch.device("cpu")


class Lamps(torch.nn.Module):
    """Logits of three classes from the mean red at three places: lamp 1 speaks for class 0, lamp 2 against it, lamp 3 says nothing."""

    def forward(self, x):
        one, two = x[:, 0, :4].mean((1, 2)), x[:, 0, 4:8].mean((1, 2))
        return torch.stack([2 * one - 3 * two, 0 * one, 0 * two], 1)


def lamps(mean=(0.0, 0.0, 0.0)):
    return Network(Lamps(), "lamps", "", ["a", "b", "c"], (12, 8), mean, (1.0, 1.0, 1.0), CPU)


SCENE = np.full((12, 8, 3), 255, np.uint8)
MAP = np.repeat([1, 2, 5], 4)[:, None].repeat(8, 1)                         # labels 1, 2 and 5: the three lamps


def softmax(*logits):
    return np.exp(logits) / np.exp(logits).sum()


def test_deviations_of_a_planted_network():
    numbers, d = score_deviations(lamps(), SCENE, MAP, fill="black")
    wanted = softmax(-1, 0, 0) - np.stack([softmax(-3, 0, 0), softmax(2, 0, 0), softmax(-1, 0, 0)])
    assert numbers == [1, 2, 5] and d.dtype == np.float32 and np.allclose(d, wanted, atol=1e-6)
    assert d[0, 0] > 0.1 and d[1, 0] < -0.5 and d[2, 0] == 0                # supports, distracts, irrelevant


def test_all_pixels_of_a_label_go_at_once_wherever_they_are():
    twice = MAP.copy()
    twice[8:], twice[0, :4] = 1, 2
    numbers, d = score_deviations(lamps(), SCENE, twice, fill="black")
    rest, gone = 4 / 32, 28 / 32                                            # of lamp 1's pixels, four are label 2's
    assert numbers == [1, 2] and np.allclose(d[0], softmax(-1, 0, 0) - softmax(2 * rest - 3, 0, 0), atol=1e-6)
    assert np.allclose(d[1], softmax(-1, 0, 0) - softmax(2 * gone, 0, 0), atol=1e-6)


def test_the_fill_is_the_mean_colour_before_normalisation():
    _, d = score_deviations(lamps(mean=(0.485, 0.456, 0.406)), SCENE, MAP)
    white, mean = 1 - 0.485, 124 / 255 - 0.485                              # normalised red: of white, of the fill (about 0, not 0.485)
    assert np.allclose(d[0], softmax(2 * white - 3 * white, 0, 0) - softmax(2 * mean - 3 * white, 0, 0), atol=1e-6)


def test_the_batch_changes_nothing_and_a_label_is_scored_once():
    network = lamps()
    first = score_deviations(network, SCENE, MAP, "blur")[1]
    assert np.allclose(first, score_deviations(network, SCENE, MAP, "blur", batch_size=1)[1], atol=1e-6)
    calls = []
    network.module.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    score_deviations(network, SCENE, MAP)
    assert sum(calls) == 4


def needed_parts(category, drawn):
    """The drawn parts without which those left no longer single out the class; and how probable it then is, at best."""
    variants = dict(zip(PARTS, CLASSES[category][1]))
    left = {p: [q for q in drawn if q != p] for p in drawn}
    return {p: 1 / len(consistent_classes({q: variants[q] for q in left[p]})) for p in drawn if not is_sufficient(category, left[p])}


@pytest.mark.parametrize("category, drawn", [(0, ("beak", "feet")), (3, ("wing", "tail")), (8, ("beak", "crest", "wing")), (0, PARTS), (6, PARTS)])
def test_on_the_bundled_scenes_what_the_class_needs_is_positive_and_the_rest_is_not(category, drawn):
    network = load_network("birds", None, None, CPU)
    needed, values = needed_parts(category, drawn), []
    for seed in range(4):
        scene = draw_scene(CLASSES[category][1], [77, seed], drawn)
        numbers, d = score_deviations(network, scene.image, scene.labels)
        values.append([dict(zip(numbers, d[:, category])).get(n, 0.0) for n in range(1, len(LABEL_NAMES) + 1)])
    mean = dict(zip(LABEL_NAMES, np.mean(values, 0)))
    for part in PARTS:
        if part in needed:
            assert mean[part] > 0.5 * (1 - needed[part]), (part, mean)
        else:
            assert abs(mean[part]) < 0.1, (part, mean)
    assert bool(needed) == (drawn != PARTS)
    assert abs(mean["background"]) < 0.1 and abs(mean["body"]) < 0.1
