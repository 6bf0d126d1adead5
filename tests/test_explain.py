"""explain(): one image in Python, from whatever people have to the record, its figure and files."""

import numpy as np
import pytest
import torch
from drawn import read_sag
from main_job import NETWORKS, ROOTS
from PIL import Image
from planted import PLANTED, PlantedNetwork, network, slow
from torchvision.transforms import v2

from drawing.record import Search
from main_generate_sag import explain
from running.check_record import FILES
from scoring.engine import Engine
from scoring.networks import load_network
from scoring.regions import Regions
from utils import UserError

SIDE = 56
NAMES = ["zero", "Wood_duck", "two"]
PNG = b"\x89PNG\r\n\x1a\n"
WHITE = Image.new("RGB", (50, 40), "white")
NOISE = np.random.default_rng(0).integers(190, 256, (SIDE, SIDE, 3), dtype=np.uint8)
HALVES = np.repeat([[0] * 28 + [1] * 28], SIDE, axis=0)
CHANNELS_FIRST = torch.from_numpy(NOISE.transpose(2, 0, 1).copy())
KINDS = {  # the same noise
    "PIL image": Image.fromarray(NOISE),
    "array": NOISE,
    "uint8 tensor": CHANNELS_FIRST,
    "float tensor": CHANNELS_FIRST / 255,
}
MODULES = {
    "module": network,
    "Network": lambda: load_network(f"{NETWORKS}:network"),
    "Engine": lambda: Engine(load_network(f"{NETWORKS}:network"), precision="float32"),
}


def explained(image=WHITE, model=None, **settings):
    """Explain an image for a planted network on a 4 x 4 grid."""
    model = network().eval() if model is None else model
    return explain(model, image, **{"grid": 4, "precision": "float32", **settings})


def tiny():
    """Return an untrained network of three classes, without attributes, for images of any size."""
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(3, 8, 16, stride=16), torch.nn.ReLU(), torch.nn.Conv2d(8, 3, 1))
    return torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()


def patches_of(sag):
    return {root.patches for root in sag.roots}


@pytest.fixture(scope="module")
def sag(precision):
    """The explanation of a white image; not to be written to."""
    return explained(precision=precision, labels=NAMES)


# ---------------------------------------------------------------- images


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_is_explained(kind, precision):
    wide = {"num_successors": 16, "beam_width": 120}
    assert patches_of(explained(KINDS[kind], precision=precision, **wide)) == ROOTS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_is_shown_as_it_is(kind):
    assert np.array_equal(explained(KINDS[kind], max_num_roots=1).shown_image, NOISE)


def test_an_image_of_another_size_is_resized(sag):
    assert sag.shown_image.shape == (SIDE, SIDE, 3)


def test_an_image_from_a_file_is_known_by_its_name(tmp_path):
    WHITE.save(tmp_path / "white.png")
    with Image.open(tmp_path / "white.png") as image:
        assert explained(image, max_num_roots=1).image == "white.png"


def test_an_image_is_turned_by_its_exif_tag(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(NOISE).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        shown = explained(image, max_num_roots=1).shown_image
    assert np.array_equal(shown, np.rot90(NOISE, -1))


def test_transparent_pixels_are_white_through_a_transform():
    clear = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    steps = [v2.Resize((SIDE, SIDE)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    transform = v2.Compose(steps)
    assert explained(clear, transform=transform, max_num_roots=1).shown_image.min() == 255


# ---------------------------------------------------------------- models


def test_the_record_names_the_module(sag):
    assert sag.settings["model"] == sag.model.name == "PlantedNetwork"


def test_tf32_is_off_for_a_module_in_python(sag):
    torch.backends.cudnn.allow_tf32 = True
    explained(max_num_roots=1)
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("kind", MODULES)
def test_every_kind_of_model_is_explained(kind):
    model = MODULES[kind]()
    model = model.eval() if isinstance(model, torch.nn.Module) else model
    assert patches_of(explained(model=model)) == ROOTS


def test_the_input_size_is_the_modules_attribute(sag):
    assert sag.size == (SIDE, SIDE)


def test_mean_and_deviation_are_the_modules_attributes(sag):
    assert (sag.model.mean, sag.model.std) == ([0, 0, 0], [1, 1, 1])


def test_a_module_without_attributes_has_imagenets():
    found = explain(tiny(), WHITE, grid=2, max_num_roots=1, precision="float32")
    assert found.size == (224, 224)
    assert found.model.mean == pytest.approx([0.485, 0.456, 0.406])


@pytest.fixture(scope="module")
def transformed():
    """An explanation of a module that has no attributes, with a transform."""

    class Bare(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, x):
            return self.inner(x * 0.5 + 0.5)

    steps = [v2.Resize((SIDE, SIDE)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    transform = v2.Compose([*steps, v2.Normalize([0.5] * 3, [0.5] * 3)])
    return explained(Image.fromarray(NOISE), Bare().eval(), transform=transform)


def test_a_transform_says_the_input_size(transformed):
    assert transformed.size == (SIDE, SIDE)


def test_a_transform_says_mean_and_deviation(transformed):
    assert transformed.model.mean == pytest.approx([0.5] * 3)
    assert transformed.model.std == pytest.approx([0.5] * 3)


def test_a_transforms_image_is_shown_before_normalisation(transformed):
    assert np.abs(transformed.shown_image.astype(int) - NOISE).max() <= 1


def test_an_image_is_explained_through_a_transform(transformed):
    assert patches_of(transformed) == ROOTS


def test_the_module_is_left_as_it_was():
    module = tiny()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    explain(module, WHITE, grid=2, max_num_roots=1)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


# ---------------------------------------------------------------- classes


def test_without_a_category_it_is_the_most_probable(sag):
    assert sag.category.index == 1


def test_the_category_has_its_label(sag):
    assert sag.category.name == "Wood_duck"


def test_without_labels_classes_are_numbered():
    assert explained(max_num_roots=1).category.name == "class 1"


@pytest.mark.parametrize("category", [2, "2", "two", "TWO"])
def test_a_category_is_chosen_by_index_or_name(category):
    assert explained(labels=NAMES, category=category).category.index == 2


def test_a_name_of_two_words_is_found():
    assert explained(labels=NAMES, category="wood duck", max_num_roots=1).category.index == 1


# ---------------------------------------------------------------- settings and regions


def test_settings_are_recorded_by_name():
    found = explained(prob_thresh=0.8, search="diverse", max_num_roots=1)
    assert (found.threshold, found.search.method) == (0.8, "diverse")


@pytest.mark.parametrize("search", ["beam", "combinatorial", "exhaustive", "diverse"])
def test_every_search_finds_true_roots(search):
    found = patches_of(explained(search=search, comb_top=16, comb_size=3))
    assert found
    assert found <= ROOTS


def test_the_precision_of_the_search_is_recorded(sag, precision):
    assert sag.evaluations.precision == precision


def test_a_time_limit_is_kept():
    found = explained(model=slow().eval(), time_limit=1e-6)
    assert found.search == Search("beam", False, "time_limit")


@pytest.fixture(scope="module")
def halves():
    """The explanation of a network that needs one patch of the left half, by halves."""
    module = PlantedNetwork([(5,)], grid=4, size=SIDE).eval()
    regions = Regions.of(HALVES, {0: "left", 1: "right"})
    return explained(model=module, regions=regions)


def test_regions_stand_in_place_of_the_grid(halves):
    assert halves.num_patches == 2


def test_regions_have_their_names(halves):
    assert halves.dnf == "left"


# ---------------------------------------------------------------- confidence()


def test_the_confidence_of_a_root_is_the_records(sag):
    root = sag.roots[0]
    assert sag.confidence(root.patches) == root.probability


@pytest.mark.parametrize("patches", [(0, 2, 3, 4, 7, 15), (0, 2, 3, 4, 5, 7, 15), ()])
def test_the_confidence_of_any_set_is_the_networks(sag, patches):
    is_sufficient = any(set(mse) <= set(patches) for mse in PLANTED)
    assert sag.confidence(patches) == pytest.approx(0.95 if is_sufficient else 0.02, abs=1e-5)


def test_patches_may_come_in_any_order(sag):
    assert sag.confidence([10, 6]) == sag.confidence((6, 10))


def test_a_set_is_scored_once():
    module = network().eval()
    found = explained(model=module, max_num_roots=1)
    found.confidence([0, 2, 3, 4])
    module.calls.clear()
    found.confidence([4, 3, 2, 0])
    assert module.calls == []


@pytest.mark.parametrize("patches", [(16,), (-1,)])
def test_a_patch_that_does_not_exist_is_refused(sag, patches):
    with pytest.raises(ValueError, match=r"outside 0\.\.15"):
        sag.confidence(patches)


# ---------------------------------------------------------------- figure and files


def test_a_notebook_shows_a_png(sag):
    assert sag._repr_png_().startswith(PNG)


def test_a_notebooks_figure_leaves_no_file(sag, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sag._repr_png_()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def saved(sag, tmp_path_factory):
    """The folder that the explanation was saved to."""
    folder = tmp_path_factory.mktemp("saved") / "new/white"
    sag.save(str(folder))
    return folder


def test_save_writes_every_file(sag, saved):
    count = len(sag.diverse_roots)
    assert [name for name in FILES if not (saved / name.format(n=count)).exists()] == []


def test_save_writes_the_record(sag, saved):
    written = read_sag(saved)
    assert (written.roots, written.sag, written.scores) == (sag.roots, sag.sag, sag.scores)


def test_save_writes_an_image_per_root(sag, saved):
    assert len(list((saved / "roots").iterdir())) == len(sag.roots)


def test_save_replaces_an_earlier_result(tmp_path):
    explained(search="exhaustive").save(tmp_path)
    explained(max_num_roots=1, search="diverse").save(tmp_path)
    assert len(read_sag(tmp_path).roots) == 1
    assert not list(tmp_path.glob("*3roots*"))


# ---------------------------------------------------------------- what is refused


def refusal(*args, **settings):
    """Return the one line that explain() refuses something with."""
    with pytest.raises(UserError) as error:
        explain(*args, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


FLOATS = torch.rand(3, 8, 8)
BAD_IMAGES = {
    "path": ("a.png", "not a str"),
    "array of floats": (np.zeros((8, 8, 3)), "must be uint8 of shape (H, W, 3), not float64"),
    "grey array": (np.zeros((8, 8), np.uint8), "not uint8 of shape (8, 8)"),
    "batch": (FLOATS[None], "must have the shape (3, H, W), not (1, 3, 8, 8)"),
    "channels last": (FLOATS.permute(1, 2, 0), "must have the shape (3, H, W), not (8, 8, 3)"),
    "normalised": (FLOATS - 2, "pass the image before normalisation"),
    "0 to 255": (FLOATS * 255, "between 0 and 1"),
}
BAD_SETTINGS = {
    "unknown": ({"wings": 2}, "explain() has no setting wings"),
    "of a folder": ({"results": "Results"}, "results: a setting of a run over a folder"),
    "range": ({"prob_thresh": 1.5}, "prob_thresh: 1.5 is not a number above 0 and at most 1"),
    "choice": ({"search": "luck"}, "search: luck is none of"),
    "unknown index": ({"category": 3}, "the model has 3 classes"),
    "unknown name": ({"category": "tern"}, "tern is none of the model's 3 classes"),
    "too many sets": (
        {"search": "exhaustive", "grid": 7, "exhaustive_size": 9},
        "--exhaustive-size 9",
    ),
    "labels": ({"labels": ["a", "b"]}, "labels: 2 names, but the model has 3 classes"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_an_image_that_cannot_be_used_is_named(kind):
    image, words = BAD_IMAGES[kind]
    assert words in refusal(network().eval(), image)


@pytest.mark.parametrize("kind", BAD_SETTINGS)
def test_a_setting_that_cannot_be_used_is_named(kind):
    settings, words = BAD_SETTINGS[kind]
    assert words in refusal(network().eval(), WHITE, **settings)


def test_a_model_in_training_mode_is_refused():
    assert "call model.eval() first" in refusal(network().train(), WHITE)


def test_a_model_that_is_no_module_is_refused():
    assert "a torch.nn.Module in eval mode is needed, not a str" in refusal("resnet50", WHITE)


def test_a_module_with_another_output_is_refused():
    assert "not a (batch, classes) tensor" in refusal(torch.nn.Identity().eval(), WHITE)


def test_regions_of_another_size_are_refused():
    regions = Regions.of(np.ones((8, 8), int))
    assert "8 x 8 pixels" in refusal(network().eval(), WHITE, regions=regions)
