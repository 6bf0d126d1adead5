"""The scorer: geometry of the tents, one evaluation a set, batches that change nothing, memory that runs out."""

import time

import pytest
import torch
import torch.nn.functional as F
import torchvision

from scoring.scorer import MaskScorer
from scoring.patches import compose, tents
from planted import BLACK, WHITE, PlantedNetwork
from scoring.networks import class_probabilities


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=10).eval()


@pytest.fixture
def pictures():
    g = torch.Generator().manual_seed(1)
    return torch.randn(3, 96, 96, generator=g), torch.randn(3, 96, 96, generator=g)


def random_sets(count, patches=49, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [
        tuple(
            torch.randperm(patches, generator=g)[
                : int(torch.randint(0, 12, (1,), generator=g))
            ].tolist()
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    "grid, size",
    [
        ((7, 7), (224, 224)),
        ((4, 9), (96, 50)),
        ((1, 1), (32, 32)),
        ((1, 3), (20, 20)),
        ((28, 28), (224, 224)),
    ],
)
def test_tents_are_bilinear_upsampling_with_aligned_corners(grid, size):
    masks = torch.rand(5, grid[0] * grid[1])
    wanted = F.interpolate(masks.view(5, 1, *grid), size, mode="bilinear", align_corners=True).view(
        5, -1
    )
    assert torch.allclose(masks @ tents(grid, size), wanted, atol=1e-5)
    assert torch.allclose(tents(grid, size).sum(0), torch.ones(size[0] * size[1]), atol=1e-5)


def test_the_share_of_the_image_that_a_patch_shows():
    area = tents((7, 7), (224, 224)).mean(1)
    assert (
        area[24] == pytest.approx(0.0275, abs=1e-4)
        and area[3] == pytest.approx(0.0141, abs=1e-4)
        and area[0] == pytest.approx(0.0073, abs=1e-4)
    )


def test_all_patches_are_the_image_and_none_the_baseline(pictures):
    image, baseline = pictures
    basis = tents((7, 7), (96, 96))
    assert torch.allclose(compose(torch.ones(1, 49), basis, image, baseline)[0], image, atol=1e-5)
    assert torch.equal(compose(torch.zeros(1, 49), basis, image, baseline)[0], baseline)


def test_results_do_not_depend_on_the_batch(network, pictures):
    sets = random_sets(40)
    alone = torch.cat([MaskScorer(network, *pictures, 3, batch_size=1)([s]) for s in sets])
    for size in (1, 7, 32, 40):
        assert torch.allclose(
            MaskScorer(network, *pictures, 3, batch_size=size)(sets), alone, atol=1e-5, rtol=0
        )


def test_each_set_is_scored_once_whatever_asks():
    network = PlantedNetwork([(3, 4)])
    scorer = MaskScorer(network, WHITE, BLACK, 1)
    first = scorer([(3, 4), (4, 3), (4, 3, 3), (5,)])
    assert first.tolist() == pytest.approx([0.95, 0.95, 0.95, 0.02]) and sum(network.calls) == 2
    scorer([(5,), (3, 4)])
    assert sum(network.calls) == scorer.scored == 2 and scorer.asked == 6
    assert scorer([]).shape == (0,)


def test_probabilities_of_a_planted_network_are_the_planted_ones():
    network = PlantedNetwork([(0,), (10, 30), (47, 48)])
    scorer = MaskScorer(network, WHITE, BLACK, 1)
    assert scorer([(), (0,), (10,), (10, 30), (48,), tuple(range(49))]).tolist() == pytest.approx(
        [0.02, 0.95, 0.02, 0.95, 0.02, 0.95]
    )


def test_running_out_of_memory_halves_the_batch_and_loses_nothing():
    class Small(PlantedNetwork):
        def forward(self, x):
            if len(x) > 5:
                raise RuntimeError(
                    "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"
                )
            return super().forward(x)

    scorer = MaskScorer(Small([(1,)]), WHITE, BLACK, 1, batch_size=32)
    assert scorer([(i,) for i in range(49)]).tolist() == pytest.approx(
        [0.95 if i == 1 else 0.02 for i in range(49)]
    )
    assert scorer.batch_size == 4 and max(scorer.model.calls) == 4 and scorer.scored == 49


def test_no_memory_for_one_picture_and_other_errors_are_raised():
    def failing(message):
        def forward(x):
            raise RuntimeError(message)

        return MaskScorer(forward, WHITE, BLACK, 1)

    with pytest.raises(MemoryError):
        failing("CUDA out of memory")([(1,), (2,)])
    with pytest.raises(RuntimeError, match="shapes"):
        failing("shapes do not fit")([(1,)])


def test_bad_patches_and_bad_answers():
    scorer = MaskScorer(PlantedNetwork([(1,)]), WHITE, BLACK, 1)
    for bad in ((49,), (-1, 3)):
        with pytest.raises(ValueError, match="outside"):
            scorer([bad])
    with pytest.raises(FloatingPointError):
        MaskScorer(lambda x: torch.full((len(x), 3), float("nan")), WHITE, BLACK, 1)([(1,)])


def test_the_deadline_keeps_what_was_scored():
    scorer = MaskScorer(PlantedNetwork([(1,)]), WHITE, BLACK, 1, batch_size=4)
    scorer.on_scored = lambda n: (
        setattr(scorer, "deadline", time.monotonic() - 1) if scorer.scored >= 8 else None
    )
    with pytest.raises(TimeoutError):
        scorer([(i,) for i in range(30)])
    assert scorer.scored == len(scorer.table) == 8


def test_a_single_logit_is_a_sigmoid_of_two_classes():
    logits = torch.tensor([[2.0], [-1.0]])
    p = class_probabilities(logits)
    assert torch.allclose(p[:, 1], logits[:, 0].sigmoid()) and torch.allclose(
        p.sum(1), torch.ones(2)
    )


def test_no_gradients_and_no_random_numbers(network, pictures):
    state = torch.get_rng_state()
    scores = MaskScorer(network, *pictures, 3)(random_sets(3))
    assert not scores.requires_grad and torch.equal(state, torch.get_rng_state())
