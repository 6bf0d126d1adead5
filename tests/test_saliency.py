"""Baselines, I-GOS and Grad-CAM."""

import cv2
import numpy as np
import pytest
import torch
import torchvision

from get_perturbation_mask import (
    BASELINES,
    Regularisers,
    grad_cam,
    igos,
    igos_mask,
    last_convolution,
    make_baseline,
    step_lengths,
    without_ties,
)
from scoring.patches import tents
from scoring.scorer import image_probabilities

SIDE = 64
WHITE = torch.ones(3, SIDE, SIDE)
BLACK = torch.zeros(3, SIDE, SIDE)
CONVOLUTIONAL = [
    "vgg11",
    "resnet18",
    "shufflenet_v2_x0_5",
    "mobilenet_v3_small",
    "densenet121",
    "squeezenet1_1",
]


class SoftSpot(torch.nn.Module):
    """Class 1 is as probable as the image is bright around given patches; differentiable."""

    def __init__(self, patches):
        super().__init__()
        self.weight = tents((7, 7), (SIDE, SIDE))[list(patches)].sum(0).view(SIDE, SIDE)

    def forward(self, x):
        bright = (x.mean(1) * self.weight).sum((1, 2)) / self.weight.sum()
        return torch.stack([torch.zeros_like(bright), 10 * (bright - 0.5)], 1)


# ---------------------------------------------------------------- I-GOS


@pytest.fixture(scope="module")
def two_patch_mask():
    """The mask of a class that two patches make."""
    return igos_mask(SoftSpot([24, 25]), WHITE, BLACK, 1, iterations=10)


def test_the_mask_is_lowest_where_the_class_is(two_patch_mask):
    assert set(two_patch_mask.flatten().argsort()[:2].tolist()) == {24, 25}


def test_the_mask_has_the_grids_shape(two_patch_mask):
    assert two_patch_mask.shape == (7, 7)


def test_the_mask_lies_between_0_and_1(two_patch_mask):
    assert 0 <= two_patch_mask.min() < two_patch_mask.max() <= 1


def seeded_mask(seed):
    return igos_mask(SoftSpot([10]), WHITE, BLACK, 1, iterations=2, seed=seed)


def test_the_same_seed_gives_the_same_mask():
    assert torch.equal(seeded_mask(0), seeded_mask(0))


def test_another_seed_gives_another_mask():
    assert not torch.equal(seeded_mask(0), seeded_mask(1))


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    seeded_mask(0)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture(scope="module")
def certain_mask():
    """The mask of a class that is too confident for any step to lower its confidence."""

    class Certain(SoftSpot):
        def forward(self, x):
            return 1000 * super().forward(x)

    return igos_mask(Certain([24]), WHITE, BLACK, 1, iterations=2)


def test_a_class_too_confident_to_move_still_has_an_order(certain_mask):
    assert int(certain_mask.flatten().argmin()) == 24


def test_a_class_too_confident_to_move_still_moves(certain_mask):
    assert certain_mask.min() < 1


def test_an_iteration_is_two_batches():
    sizes = []
    network = SoftSpot([3])

    def counting(x):
        sizes.append(len(x))
        return network(x)

    igos_mask(counting, WHITE, BLACK, 1, iterations=1)
    points_of_the_integral = 20
    assert sizes == [points_of_the_integral, 1 + len(step_lengths())]


def test_the_mask_survives_a_lack_of_memory():
    network = SoftSpot([3])

    def small(x):
        if len(x) > 7:
            raise RuntimeError("out of memory")
        return network(x)

    whole = igos_mask(network, WHITE, BLACK, 1, iterations=2)
    in_parts = igos_mask(small, WHITE, BLACK, 1, iterations=2)
    assert torch.allclose(in_parts, whole, atol=1e-5)


def test_another_runtime_error_is_raised():
    def broken(x):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        igos_mask(broken, WHITE, BLACK, 1)


def answered_until(questions, iterations=3):
    """Return the mask of I-GOS where time is up after so many questions."""
    network = SoftSpot([3])
    probabilities = image_probabilities(network, WHITE, BLACK, 1)
    asking = igos(Regularisers((7, 7)), (SIDE, SIDE), iterations=iterations)
    try:
        question = next(asking)
        for _ in range(questions):
            leaf = question.masks.clone().requires_grad_()
            answers = probabilities(leaf)
            if question.wants_gradient:
                (answers,) = torch.autograd.grad(answers.sum(), leaf)
            question = asking.send(answers.detach())
        asking.throw(TimeoutError())
    except StopIteration as end:
        return end.value
    raise AssertionError("it goes on after the deadline")


@pytest.mark.parametrize("questions", [0, 1])
def test_without_time_for_an_iteration_nothing_is_salient(questions):
    assert torch.equal(answered_until(questions), torch.ones(7, 7).double())


@pytest.mark.parametrize("questions", [2, 3])
def test_without_time_for_another_iteration_the_last_mask_stays(questions):
    assert torch.equal(answered_until(questions), answered_until(2, iterations=1))


def test_ties_are_ordered_by_the_gradient_the_largest_first():
    mask = torch.tensor([1.0, 1.0, 0.5, 1.0])
    gradient = torch.tensor([0.1, 0.3, 0.0, -0.2])
    assert without_ties(mask, gradient).argsort().tolist() == [2, 1, 0, 3]


def test_a_gradient_overrules_no_difference_of_float32():
    smallest_step = 2**-24
    mask = torch.tensor([1.0, 1.0 - smallest_step])
    assert without_ties(mask, torch.tensor([5.0, -5.0])).argmin() == 1


def test_a_mask_without_ties_is_the_mask_to_a_billionth():
    mask = torch.rand(49, generator=torch.Generator().manual_seed(0))
    difference = without_ties(mask, torch.arange(49.0)) - mask.double()
    assert difference.abs().max() <= 1e-9


def test_without_a_gradient_the_mask_stays():
    assert without_ties(torch.ones(4), torch.zeros(4)).tolist() == [1, 1, 1, 1]


def test_the_penalty_by_hand():
    mask = torch.ones(7, 7)
    mask[3, 3] = 0
    penalty = Regularisers((7, 7), l1=1, tv=20).penalty(mask.view(1, -1))
    variation = 2 / 42 + 2 / 42  # two of 42 differences, down and to the right
    assert penalty.item() == pytest.approx(1 / 49 + 20 * variation)


def test_a_single_patch_has_no_variation():
    penalty = Regularisers((1, 1), l1=1, tv=20).penalty(torch.zeros(1, 1))
    assert penalty.item() == 1


# ---------------------------------------------------------------- baselines


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def baselines(noise):
    """Every baseline of the noise, by name."""
    return {name: make_baseline(noise, name) for name in BASELINES}


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_an_image_of_the_same_kind(baselines, noise, name):
    made = baselines[name]
    assert (made.shape, made.dtype) == (noise.shape, np.uint8)


@pytest.mark.parametrize("name", ["black", "drop"])
def test_black_and_drop_are_black(baselines, name):
    assert baselines[name].max() == 0


def test_mean_is_imagenets_mean_colour(baselines):
    assert (baselines["mean"] == (124, 116, 104)).all()


def test_median_is_the_median_of_eleven_pixels(baselines, noise):
    assert np.array_equal(baselines["median"], cv2.medianBlur(noise, 11))


def test_blur_leaves_little_of_the_noise(baselines):
    assert baselines["blur"].std() < 10


def test_mixed_lies_between_blur_and_median(baselines):
    between = (baselines["blur"].astype(float) + baselines["median"]) / 2
    assert np.abs(baselines["mixed"] - between).max() <= 0.5


def test_an_unknown_baseline_is_named(noise):
    with pytest.raises(ValueError, match="plaid"):
        make_baseline(noise, "plaid")


# ---------------------------------------------------------------- Grad-CAM


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_grad_cam_on_any_convolutional_network(name):
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None, num_classes=5)
    saliency_map = grad_cam(model.eval().requires_grad_(False), torch.randn(3, 96, 96), 2)
    assert saliency_map.ndim == 2
    assert saliency_map.size > 1
    assert ((saliency_map >= 0) & (saliency_map <= 1)).all()  # and so none is NaN


def test_grad_cam_by_hand():
    first = torch.nn.Conv2d(3, 3, 1)
    last = torch.nn.Conv2d(3, 2, 1, bias=False)
    head = torch.nn.Linear(2, 4)
    pool = torch.nn.AdaptiveAvgPool2d(1)
    model = torch.nn.Sequential(first, last, pool, torch.nn.Flatten(), head).eval()
    image = torch.rand(3, 5, 5)
    maps = last(first(image[None]))[0]
    # The gradient of logit 3 is its weights, the same everywhere.
    weighted = (head.weight[3].view(2, 1, 1) * maps).sum(0)
    expected = torch.relu(weighted).detach().numpy()
    expected = expected / max(expected.max(), 1e-12)
    assert np.allclose(grad_cam(model, image, 3), expected, atol=1e-5)


def test_a_transformers_patch_embedding_has_no_grad_cam():
    vit = torchvision.models.VisionTransformer(
        image_size=32,
        patch_size=8,
        num_layers=1,
        num_heads=1,
        hidden_dim=8,
        mlp_dim=8,
        num_classes=3,
    )
    assert last_convolution(vit.eval(), torch.rand(3, 32, 32)) is None


def test_no_grad_cam_without_convolutions():
    assert grad_cam(SoftSpot([1]), torch.rand(3, SIDE, SIDE), 1) is None
