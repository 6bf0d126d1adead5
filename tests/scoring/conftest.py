"""An untrained network, an image, and patch sets: what the tests of scoring share."""

import pytest
import torch
import torchvision

from scoring.patches import masks_of

PATCHES = 49  # of the usual 7 x 7 grid


@pytest.fixture(scope="session")
def resnet():
    """An untrained ResNet-18 of 10 classes, in eval mode."""
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=10).eval().requires_grad_(False)


def noise(seed, *shape):
    """Return normally distributed numbers, always the same ones."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def image():
    """A normalised image of noise, (3, 64, 64)."""
    return noise(1, 3, 64, 64)


@pytest.fixture(scope="session")
def baseline():
    """Another image of noise, (3, 64, 64)."""
    return noise(2, 3, 64, 64)


@pytest.fixture(scope="session")
def images():
    """A batch of 20 images of noise, (20, 3, 64, 64)."""
    return noise(3, 20, 3, 64, 64)


@pytest.fixture(scope="session")
def patch_sets():
    """40 random sets of 0 to 11 of 49 patches, in random order."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(0, 12, (40,), generator=generator).tolist()
    return [tuple(torch.randperm(PATCHES, generator=generator)[:size].tolist()) for size in sizes]


@pytest.fixture(scope="session")
def masks(patch_sets):
    """The random sets as rows of 0 and 1, (40, 49)."""
    return masks_of([tuple(sorted(patches)) for patches in patch_sets], PATCHES)
