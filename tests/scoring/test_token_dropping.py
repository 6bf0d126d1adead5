"""Dropped tokens: a vision transformer that is not shown the hidden patches at all."""

import re

import pytest
import torch
import torchvision
from planted import PlantedNetwork, small_vit

from running.check_record import masked_attention
from scoring.networks import class_probabilities
from scoring.outputs import Logits
from scoring.patches import masks_of
from scoring.token_dropping import TokenDropping, why_not

EVERYTHING = tuple(range(49))


@pytest.fixture(scope="module")
def vit():
    """An untrained transformer with 14 x 14 tokens of 4 x 4 pixels."""
    return small_vit()


@pytest.fixture
def vit_image():
    return torch.randn(3, 56, 56, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def sets(patch_sets):
    """No patch, every patch, and random sets of various sizes."""
    return [(), EVERYTHING, *(tuple(sorted(patches)) for patches in patch_sets[:20])]


@pytest.fixture
def logits(vit, vit_image, sets):
    with torch.inference_mode():
        return TokenDropping(vit, vit_image)(masks_of(sets, 49))


def test_dropping_tokens_equals_masking_attention(logits, vit, vit_image, sets):
    wanted = masked_attention(vit, vit_image, (7, 7), sets)
    assert torch.allclose(class_probabilities(logits), wanted, atol=1e-5)


def test_with_every_token_it_is_the_network_itself(logits, vit, vit_image, sets):
    (full,) = vit(vit_image[None])
    assert torch.allclose(logits[sets.index(EVERYTHING)], full, atol=1e-4)


def test_the_transformer_tells_the_sets_apart(logits):
    assert logits.softmax(1).std(0).max() > 0.05


@pytest.mark.parametrize("grid", [(7, 7), (14, 14), (2, 7)])
def test_a_grid_that_aligns_with_the_tokens_is_possible(vit, grid):
    assert why_not(vit, grid) is None


def test_a_grid_that_does_not_align_is_named(vit):
    assert "does not align with 14 x 14 tokens" in why_not(vit, (5, 5))


def test_a_network_without_tokens_is_named():
    assert "a PlantedNetwork has no tokens to drop" in why_not(PlantedNetwork([(1,)]), (7, 7))


def test_tokens_are_not_dropped_where_it_is_not_possible(vit, vit_image):
    with pytest.raises(ValueError, match="align"):
        TokenDropping(vit, vit_image, (4, 4))


# ---------------------------------------------------------------- of other libraries


def timm_vit(name="VisionTransformer", **options):
    """Return an untrained transformer of timm with 4 x 6 tokens of 8 x 8 pixels."""
    models = pytest.importorskip("timm.models")
    kind = getattr(models, name)
    torch.manual_seed(0)
    shape = {"img_size": (32, 48), "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
    module = kind(**shape, num_classes=4, **options)
    return varied(module)


def varied(module):
    """Return a module whose answers differ between images, as those of untrained ones hardly do."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    return module.eval()


def hf_vit(name, **options):
    """Return the same of transformers, read as logits."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    kind = "DeiT" if name.startswith("DeiT") else "ViT"
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=(32, 48),
        patch_size=(8, 8),
        **{"num_labels": 4, **options},
    )
    module = getattr(transformers, name)(config)
    return Logits(varied(module))


OTHERS = {
    "timm": timm_vit,
    "timm, registers": lambda: timm_vit(reg_tokens=3, no_embed_class=True),
    "timm, norm before": lambda: timm_vit(pre_norm=True),
    "timm, any size": lambda: timm_vit(dynamic_img_size=True),
    "timm, DeiT": lambda: timm_vit("VisionTransformerDistilled"),
    "transformers": lambda: hf_vit("ViTForImageClassification"),
    "transformers, one logit": lambda: hf_vit("ViTForImageClassification", num_labels=1),
    "transformers, DeiT": lambda: hf_vit("DeiTForImageClassification"),
    "transformers, DeiT with a teacher": lambda: hf_vit("DeiTForImageClassificationWithTeacher"),
}


@pytest.fixture(scope="module", params=OTHERS)
def other(request):
    return OTHERS[request.param]()


@pytest.fixture
def strip():
    return torch.randn(3, 32, 48, generator=torch.Generator().manual_seed(0))


STRIP_SETS = [(), tuple(range(6)), (0,), (5,), (1, 4), (0, 2, 3, 5)]


def test_tokens_of_other_libraries_are_dropped_as_masked_attention_says(other, strip):
    with torch.inference_mode():
        logits = TokenDropping(other, strip, (2, 3))(masks_of(STRIP_SETS, 6))
        wanted = masked_attention(other, strip, (2, 3), STRIP_SETS)
    assert torch.allclose(class_probabilities(logits), wanted, atol=1e-5)
    assert class_probabilities(logits).std(0).max() > 0.01


def test_with_every_token_another_library_s_network_is_itself(other, strip):
    with torch.inference_mode():
        logits = TokenDropping(other, strip, (2, 3))(masks_of(STRIP_SETS, 6))
        assert torch.allclose(logits[1], other(strip[None])[0], atol=1e-4)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: timm_vit(global_pool="avg"), r"pools its tokens \(avg\)"),
        (lambda: Logits(small_vit(), are_probabilities=True), "returns probabilities"),
        (lambda: Changed(image_size=16, patch_size=8, **TINY), "a Changed has no tokens to drop"),
    ],
    ids=["mean", "probabilities", "another forward pass"],
)
def test_transformers_whose_tokens_cannot_be_dropped_say_why(make, words):
    assert re.search(words, why_not(make(), (2, 2)))


TINY = {"num_layers": 1, "num_heads": 1, "hidden_dim": 4, "mlp_dim": 4}


class Changed(torchvision.models.VisionTransformer):
    """A transformer that sees its images upside down."""

    def forward(self, images):
        return super().forward(images.flip(2))
