"""Classes of one image share their passes, and find what they find alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from main_generate_sag import Settings, explain_class
from running.image_case import ImageCase
from running.make_record import Source
from scoring.answerer import Answerer
from scoring.batching import Batching, Task
from scoring.engine import Engine
from scoring.image_files import load_image
from scoring.networks import load_network, wrap_module
from scoring.questions import Question
from scoring.shared_scores import SharedScores
from tests.planted_device import PlantedDevice, planted_slot

CLASSES = [84, 21, 90]


def test_a_class_brings_answers_for_those_after_it():
    shared = SharedScores(CLASSES)
    assert [shared.others_than(category) for category in CLASSES] == [(21, 90), (90,), ()]
    shared.note(84, "float32", [(0,), (1,)], [[0.5, 0.1, 0.2], None])
    shared.note(21, "float32", [(2,)], [[0.7, 0.3]])
    assert shared.known(84, "float32") == {}
    assert shared.known(21, "float32") == {(0,): 0.1}
    assert shared.known(90, "float32") == {(0,): 0.2, (2,): 0.3}
    assert shared.known(90, "reduced") == {}


def test_what_was_shared_is_not_asked_again():
    device = PlantedDevice(lambda slot, kind, patches: 0.25)
    shared = SharedScores([5, 0])
    shared.note(5, "float32", [(0,), (1,)], [[0.9, 0.8], [0.9, 0.7]])
    answerer = Answerer(planted_slot(), shared=shared)

    def asks():
        return (yield Question([(0,), (1,), (2,)], is_proof=True))

    answers = Batching(device).run_one(answerer.run(asks(), step="search"))
    assert list(answers) == [0.8, 0.7, 0.25]
    assert answerer.passes["search", "float32"] == 1
    assert answerer.num_shared == 2
    assert device.launched[0].parts[0][1] == [(2,)]


@pytest.fixture(scope="module")
def engine():
    network = load_network("birds", None, device=torch.device("cpu"))
    return Engine(network, precision="float32", batch_size=8)


class Patches(torch.nn.Module):
    """A network over (B, 3, 48, 48) whose three classes need different patches of a 3 x 3 grid."""

    input_size = 48
    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)
    weights = torch.tensor(
        [
            [3.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 3.0, 2.9, 0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 2.8, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        ]
    )

    def forward(self, images):
        centres = torch.linspace(0, 47, 3).round().long()
        rows = centres.repeat_interleave(3)
        return images.mean(1)[:, rows, centres.repeat(3)] @ self.weights.T


@pytest.mark.parametrize("against", [None, "3"])
@pytest.mark.parametrize("search", ["beam", "exhaustive"])
def test_classes_together_find_what_each_finds_alone(search, against):
    patches = Engine(wrap_module(Patches().eval()), precision="float32", batch_size=8)
    image = np.full((48, 48, 3), 255, np.uint8)
    settings = Settings(search=search, grid=3, exhaustive_size=3, against=against, fill_up=False)
    categories = patches.most_probable(image, 3)
    shared = SharedScores(categories)
    together = [explained(patches, image, settings, c, shared) for c in categories]
    alone = [explained(patches, image, settings, c, None) for c in categories]
    for ours, theirs in zip(together, alone):
        assert ours.roots
        assert [root.patches for root in ours.roots] == [root.patches for root in theirs.roots]
        assert ours.scores.sets == theirs.scores.sets
        assert np.allclose(ours.scores.probabilities, theirs.scores.probabilities, atol=1e-6)
    numbers = [sag.evaluations.shared or 0 for sag in together]
    assert numbers[0] == 0
    assert min(numbers[1:]) > 2
    if search == "exhaustive":  # the classes ask about the same sets, but for those with an MSE
        scored = [sag.evaluations.scored for sag in together]
        assert all(number > passes for number, passes in zip(numbers[1:], scored[1:]))


def explained(engine, image, settings, category, shared):
    steps = explain_class(
        engine, image, settings, category=category, source=Source("x", ""), shared=shared
    )
    return Batching(engine).run_one(steps)


def test_requests_for_other_numbers_of_classes_share_a_batch(engine):
    image = load_image(Path("Images/copper_jay.png"), engine.network.size)
    sets = [(0, 1, 2), tuple(range(40)), tuple(range(49))]

    def asks():
        return (yield Question(sets, is_proof=True))

    def answerers():
        for classes in ([3, 5, 7], [4], [6, 8]):
            yield Answerer(slot_of(engine, image, classes[0]), shared=SharedScores(classes))

    mixed = list(answerers())
    tasks = [Task(a.slot.category, a.run(asks(), step="search")) for a in mixed]
    found = {one.key: one.value for one in Batching(engine, at_once=3).run(tasks)}
    for answerer in mixed:
        for category in answerer.shared.categories:
            slot = replace(answerer.slot, category=category)
            expected = Batching(engine).run_one(Answerer(slot).run(asks(), step="search"))
            if category == answerer.slot.category:
                scores = found[category]
            else:
                known = answerer.shared.known(category, "float32")
                scores = [known[patches] for patches in sets]
            assert np.allclose(scores, expected, atol=1e-6)


def slot_of(engine, image, category):
    case = ImageCase.of(engine.network, image, category=category, baseline="black", grid=(7, 7))
    return case.slot
