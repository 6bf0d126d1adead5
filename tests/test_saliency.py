"""Baselines, I-GOS and Grad-CAM."""

import cv2
import numpy as np
import pytest
import torch
import torchvision

from get_perturbation_mask import (
    BASELINES,
    grad_cam,
    igos_mask,
    last_convolution,
    make_baseline,
    penalty,
)


class SoftSpot(torch.nn.Module):
    """Class 1 is as probable as the picture is bright around given centres; differentiable."""

    def __init__(self, patches, size=64, grid=7):
        super().__init__()
        from scoring.patches import tents

        self.weight = tents((grid, grid), (size, size))[list(patches)].sum(0).view(size, size)

    def forward(self, x):
        bright = (x.mean(1) * self.weight).sum((1, 2)) / self.weight.sum()
        return torch.stack([torch.zeros_like(bright), 10 * (bright - 0.5)], 1)


WHITE, BLACK = torch.ones(3, 64, 64), torch.zeros(3, 64, 64)


def test_the_mask_is_lowest_where_the_class_is():
    mask = igos_mask(SoftSpot([24, 25]), WHITE, BLACK, 1, iterations=10)
    order = mask.flatten().argsort().tolist()
    assert set(order[:2]) == {24, 25} and mask.shape == (7, 7) and 0 <= mask.min() < mask.max() <= 1


def test_the_mask_is_seeded_and_leaves_the_random_state_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    masks = [igos_mask(SoftSpot([10]), WHITE, BLACK, 1, iterations=2, seed=s) for s in (0, 0, 1)]
    assert (
        torch.equal(masks[0], masks[1])
        and not torch.equal(masks[0], masks[2])
        and torch.equal(state, torch.get_rng_state())
    )


def test_a_class_that_is_too_sure_to_move_still_gives_an_order():
    class Sure(SoftSpot):
        def forward(self, x):
            return 1000 * super().forward(x)

    mask = igos_mask(Sure([24]), WHITE, BLACK, 1, iterations=2)
    assert int(mask.flatten().argmin()) == 24 and mask.min() < 1


def test_the_points_of_the_integral_are_one_batch():
    sizes = []
    network = SoftSpot([3])
    igos_mask(lambda x: sizes.append(len(x)) or network(x), WHITE, BLACK, 1, iterations=1)
    assert sizes[0] == 20 and len(sizes) == 2  # the other call is the line search


def test_the_integral_survives_a_lack_of_memory():
    network = SoftSpot([3])

    def small(x):
        if len(x) > 7:
            raise RuntimeError("out of memory")
        return network(x)

    with pytest.raises(RuntimeError):
        small(torch.zeros(8, 3, 64, 64))
    a, b = (igos_mask(n, WHITE, BLACK, 1, iterations=2) for n in (network, small))
    assert torch.allclose(a, b, atol=1e-5)


def test_penalty_by_hand():
    mask = torch.ones(7, 7)
    mask[3, 3] = 0
    expected = 1 / 49 + 20 * (2 / 42 + 2 / 42)
    assert penalty(mask.view(1, -1), (7, 7), 1, 20).item() == pytest.approx(expected)
    assert penalty(torch.zeros(1, 1), (1, 1), 1, 20).item() == 1


def test_baselines():
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    made = {name: make_baseline(image, name) for name in BASELINES}
    assert all(b.shape == image.shape and b.dtype == np.uint8 for b in made.values())
    assert made["black"].max() == 0 and (made["mean"] == (124, 116, 104)).all()
    assert np.array_equal(made["median"], cv2.medianBlur(image, 11)) and made["blur"].std() < 10
    assert np.abs(made["mixed"] - (made["blur"].astype(float) + made["median"]) / 2).max() <= 0.5
    with pytest.raises(ValueError, match="plaid"):
        make_baseline(image, "plaid")


@pytest.mark.parametrize(
    "name",
    [
        "vgg11",
        "resnet18",
        "shufflenet_v2_x0_5",
        "mobilenet_v3_small",
        "densenet121",
        "squeezenet1_1",
    ],
)
def test_grad_cam_on_any_convolutional_network(name):
    torch.manual_seed(0)
    model = (
        torchvision.models.get_model(name, weights=None, num_classes=5).eval().requires_grad_(False)
    )
    heat = grad_cam(model, torch.randn(3, 96, 96), 2)
    assert (
        heat.ndim == 2
        and heat.size > 1
        and heat.min() >= 0
        and heat.max() <= 1
        and np.isfinite(heat).all()
    )


def test_grad_cam_by_hand():
    conv = torch.nn.Conv2d(3, 2, 1, bias=False)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 3, 1),
        conv,
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(2, 4),
    ).eval()
    image = torch.rand(3, 5, 5)
    maps = conv(model[0](image[None]))[0]  # gradient of logit 3: its weights, evenly
    expected = torch.relu((model[4].weight[3].view(2, 1, 1) * maps).sum(0)).detach().numpy()
    assert np.allclose(grad_cam(model, image, 3), expected / max(expected.max(), 1e-12), atol=1e-5)


def test_no_grad_cam_without_convolutions():
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
    assert grad_cam(SoftSpot([1]), torch.rand(3, 64, 64), 1) is None
