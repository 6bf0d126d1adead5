"""Networks split into features and head."""

import pytest
import torch
import torchvision
from torch import nn

from companions.deliberative.attribution import difficulty_map, pooled_linear_weight
from companions.deliberative.difficulty import entropy
from companions.deliberative.split import Split, layers_of, two_logits

NETWORKS = [
    ("resnet18", True),
    ("mobilenet_v2", True),
    ("shufflenet_v2_x0_5", True),
    ("squeezenet1_1", False),
    ("densenet121", False),
    ("efficientnet_b0", True),
    ("convnext_tiny", False),
]


@pytest.mark.parametrize("name, pooled", NETWORKS)
def test_torchvision_networks_split_into_features_and_head(name, pooled):
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None).eval().requires_grad_(False)
    image = torch.randn(3, 96, 96)
    split = Split(model, image)
    features, logits = split.features_and_logits(image[None])
    assert features.shape[2] * features.shape[3] > 1
    assert torch.allclose(logits, model(image[None]), atol=1e-5)
    assert torch.equal(split(image[None]), model(image[None]))
    # The features decide: nothing goes around them.
    other, changed = split.features_and_logits(torch.zeros_like(image)[None], features)
    assert torch.equal(other, features.detach())
    assert torch.allclose(changed, logits, atol=1e-4)
    assert (pooled_linear_weight(split, image) is not None) == pooled
    found = difficulty_map(split, image, torch.zeros_like(image), difficulty=entropy)
    assert found.isfinite().all()


def test_a_vgg_is_split_before_its_last_pooling():
    torch.manual_seed(0)
    first = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    second = [nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    model = nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(20, 3)).eval()
    split = Split(model, torch.randn(3, 8, 8))
    features, _ = split.features_and_logits(torch.randn(1, 3, 8, 8))
    assert split.layer is model[4]
    assert features.shape == (1, 5, 4, 4)
    assert (features >= 0).all()


class SharedRelu(nn.Module):
    """A network with one ReLU layer that is called twice."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 1)
        self.b = nn.Conv2d(4, 4, 1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        """Return logits (B, 3)."""
        maps = self.relu(self.b(self.relu(self.a(x))))
        return self.fc(maps.mean((2, 3)))


def test_a_layer_used_twice_is_replaced_at_its_last_call():
    model = SharedRelu().eval()
    image = torch.randn(3, 6, 6)
    split = Split(model, image)
    features, logits = split.features_and_logits(image[None])
    assert split.call == 2
    assert torch.allclose(logits, model(image[None]))
    assert torch.allclose(model.fc(features.mean((2, 3))), logits, atol=1e-6)


def test_features_can_be_differentiated_with_respect_to(small_split, noise):
    features, logits = small_split.features_and_logits(noise[None])
    assert features.is_leaf
    assert features.requires_grad
    assert logits.requires_grad


def test_a_single_logit_becomes_two():
    logit = torch.tensor([[1.3], [-0.2]])
    assert torch.allclose(two_logits(logit).softmax(1)[:, 1:], logit.sigmoid())


def test_layers_are_counted_by_kind():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    assert layers_of(model) == "Linear (2), ReLU (1)"
