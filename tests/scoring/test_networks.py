"""Networks: by name, from the user's file, or any module; weights, devices and preprocessing."""

import urllib.error

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torchvision.transforms import v2

from scoring.networks import Network, choose_device, is_loadable, load_network, wrap_module
from scoring.preprocessing import IMAGENET_MEAN, IMAGENET_STD, preprocessing_of, probe
from scoring.weights import Weights, without_prefixes
from utils import UserError, file_sha256

SMALL = "shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def small_state():
    """The weights of an untrained network of five classes."""
    torch.manual_seed(0)
    return torchvision.models.get_model(SMALL, weights=None, num_classes=5).state_dict()


# ---------------------------------------------------------------- weights from a file


@pytest.fixture(params=["pth", "safetensors"])
def weights(request, tmp_path, small_state):
    """A file of weights, in both formats."""
    path = tmp_path / f"w.{request.param}"
    if request.param == "pth":
        torch.save(small_state, path)
    else:
        save_file(small_state, path)
    return path


@pytest.fixture
def local(weights):
    """A network with the weights of a file."""
    return load_network(SMALL, weights)


def test_a_state_dict_has_its_own_number_of_classes(local):
    assert local.classes == 5


def test_classes_without_names_are_numbered(local):
    assert local.labels == [f"class {index}" for index in range(5)]


def test_a_network_of_torchvision_has_its_input_size(local):
    assert local.size == (224, 224)


def test_a_network_is_known_by_the_file_of_its_weights(local, weights):
    assert local.weights_sha256 == file_sha256(weights)


def test_a_loaded_network_is_in_eval_mode(local):
    assert not local.module.training


def test_a_loaded_network_is_frozen(local):
    assert not any(parameter.requires_grad for parameter in local.module.parameters())


def test_a_loaded_network_has_the_weights_of_the_file(local, small_state):
    assert torch.equal(local.module.state_dict()["fc.weight"], small_state["fc.weight"])


def test_weights_of_another_architecture_name_the_first_key(tmp_path, small_state):
    torch.save(small_state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth.*conv1\.weight"):
        load_network("resnet18", tmp_path / "w.pth")


def test_weights_with_a_key_too_many_name_it(tmp_path, small_state):
    torch.save({**small_state, "extra.weight": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(UserError, match=r"extra\.weight"):
        load_network(SMALL, tmp_path / "more.pth")


@pytest.mark.parametrize("key", ["state_dict", "model", "state_dict_m", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_a_checkpoint_is_unwrapped_and_says_so(tmp_path, small_state, key, prefix):
    state = {prefix + name: value for name, value in small_state.items()}
    torch.save({"epoch": 3, key: state}, tmp_path / "checkpoint.pth")
    network = load_network(SMALL, tmp_path / "checkpoint.pth")
    assert torch.equal(network.module.state_dict()["fc.weight"], small_state["fc.weight"])
    without = f", without {prefix}" if prefix else ""
    assert network.unwrapped == f"taken from {key}{without}"


def test_a_plain_state_dict_is_not_unwrapped(local):
    assert local.unwrapped == ""


def test_a_prefix_that_the_module_has_itself_stays():
    weights = Weights({"model.weight": torch.zeros(1)})
    assert without_prefixes(weights, {"model.weight": 0}) == weights


def test_a_prefix_of_some_names_only_stays():
    weights = Weights({"module.weight": torch.zeros(1), "bias": torch.zeros(1)})
    assert without_prefixes(weights) == weights


def test_a_checkpoint_without_a_state_dict_is_refused(tmp_path):
    torch.save({"epoch": 3, "model": "resnet18"}, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=r"odd\.pth: not a state_dict.*state_dict_m"):
        load_network("resnet18", tmp_path / "odd.pth")


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.fixture
def bad_weights(tmp_path):
    """A folder of files that are no state_dict."""
    torch.save({"a": Evil(tmp_path / "owned")}, tmp_path / "evil.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    return tmp_path


@pytest.mark.parametrize("name", ["evil", "cut", "list", "absent"])
def test_weights_that_cannot_be_used_are_named(bad_weights, name):
    with pytest.raises(UserError, match=f"{name}.pth"):
        load_network("resnet18", bad_weights / f"{name}.pth")


def test_weights_are_never_unpickled_into_code(bad_weights):
    with pytest.raises(UserError):
        load_network("resnet18", bad_weights / "evil.pth")
    assert not (bad_weights / "owned").exists()


# ---------------------------------------------------------------- torchvision's networks


@pytest.mark.parametrize(
    "name, nearest", [("resnet51", "resnet50"), ("VGG19", "vgg19"), ("bird", "birds")]
)
def test_an_unknown_model_names_the_nearest(name, nearest):
    with pytest.raises(UserError, match=rf"{name}: .* {nearest}$"):
        load_network(name)


@pytest.fixture
def out_of_reach(monkeypatch, tmp_path):
    """The message where weights cannot be downloaded; the cache is in tmp_path."""

    def unreachable(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError) as error:
        load_network("vgg19")
    return str(error.value)


def test_weights_out_of_reach_name_their_file(out_of_reach):
    assert "vgg19-dcbb9e9d.pth" in out_of_reach


def test_weights_out_of_reach_name_their_folder(out_of_reach, tmp_path):
    assert str(tmp_path / "hub/checkpoints") in out_of_reach


def test_weights_out_of_reach_name_the_option(out_of_reach):
    assert "--weights" in out_of_reach


def test_weights_out_of_reach_are_one_line(out_of_reach):
    assert "\n" not in out_of_reach


@pytest.fixture
def cached_state(monkeypatch, tmp_path):
    """The weights that torchvision's cache has for the small network."""
    torch.manual_seed(1)
    state = torchvision.models.get_model(SMALL, weights=None).state_dict()
    cache = tmp_path / "hub/checkpoints"
    cache.mkdir(parents=True)
    entry = torchvision.models.get_model_weights(SMALL).IMAGENET1K_V1
    torch.save(state, cache / entry.url.rsplit("/")[-1])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return state


def test_torchvisions_weights_are_taken_from_the_cache(cached_state):
    bias = load_network(SMALL).module.state_dict()["fc.bias"]
    assert torch.equal(bias, cached_state["fc.bias"])


def test_code_in_the_cache_is_not_run(cached_state, tmp_path):
    (file,) = (tmp_path / "hub/checkpoints").iterdir()
    torch.save({"a": Evil(tmp_path / "owned")}, file)
    with pytest.raises(UserError, match="cannot load"):
        load_network(SMALL)
    assert not (tmp_path / "owned").exists()


def test_torchvisions_networks_have_imagenets_names(cached_state):
    assert load_network(SMALL).labels[84] == "peacock"


# ---------------------------------------------------------------- the bundled network


@pytest.fixture(scope="module")
def birds():
    return load_network("birds")


def test_the_bundled_network_has_names_of_its_own(birds):
    assert "copper jay" in birds.labels


def test_an_image_is_prepared_for_the_network(birds):
    prepared = birds.prepare(np.full((*birds.size, 3), 255, np.uint8))
    white = (1 - torch.tensor(birds.mean)) / torch.tensor(birds.std)
    assert torch.allclose(prepared[:, 0, 0], white)


def test_a_network_of_one_channel_sees_pillows_grey():
    module = Flat(pixels=32 * 32 // 3).eval()
    module.mean = (0.25,)
    module.std = (0.5,)
    module.linear = torch.nn.Linear(32 * 32, 3)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float32) / 255
    prepared = wrap_module(module).prepare(pixels)
    assert prepared.shape == (1, 32, 32)
    assert np.allclose(prepared[0], (grey - 0.25) / 0.5, atol=1e-6)


def test_a_prepared_image_has_its_channels_first(birds):
    assert birds.prepare(np.zeros((7, 9, 3), np.uint8)).shape == (3, 7, 9)


# ---------------------------------------------------------------- the user's own file


NET = """
import torch

class Net(torch.nn.Linear):
    input_size = 32
    def forward(self, x):
        return super().forward(x.flatten(1))

def build():
    return Net(3 * 32 * 32, 4)

def one():
    return Net(3 * 32 * 32, 1)

def wrong():
    return 7

def failing():
    raise KeyError("lost")

def deep():
    return torch.nn.Identity()
"""


@pytest.fixture
def net(tmp_path):
    """A file of the user's with functions that return modules, or do not."""
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def test_a_users_module_is_run_to_count_its_classes(net):
    assert load_network(f"{net}:build").classes == 4


def test_a_users_module_says_its_input_size(net):
    assert load_network(f"{net}:build").size == (32, 32)


def test_a_users_module_of_one_logit_has_two_classes(net):
    assert load_network(f"{net}:one").classes == 2


def test_a_users_module_is_known_by_its_weights(net):
    assert len(load_network(f"{net}:build").weights_sha256) == 64


def test_a_users_module_takes_weights_from_a_file(net, tmp_path):
    network = load_network(f"{net}:build")
    state = {name: value + 1 for name, value in network.module.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    loaded = load_network(f"{net}:build", tmp_path / "w.pth")
    assert torch.equal(loaded.module.bias, state["bias"])


def test_other_weights_are_another_network(net, tmp_path):
    network = load_network(f"{net}:build")
    state = {name: value + 1 for name, value in network.module.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    other = load_network(f"{net}:build", tmp_path / "w.pth")
    assert other.weights_sha256 != network.weights_sha256


def test_other_code_is_another_network(net):
    before = load_network(f"{net}:build").description()["code_sha256"]
    net.write_text(NET + "# changed\n")
    assert load_network(f"{net}:build").description()["code_sha256"] != before


@pytest.mark.parametrize(
    "function, words",
    [("wrong", "int"), ("failing", "lost"), ("absent", "absent"), ("deep", "classes")],
)
def test_a_users_function_that_fails_is_named(net, function, words):
    with pytest.raises(UserError, match=f"net.py:{function}.*{words}"):
        load_network(f"{net}:{function}")


def test_a_missing_file_of_code_is_named():
    with pytest.raises(UserError, match="nowhere.py"):
        load_network("nowhere.py:build")


# ---------------------------------------------------------------- devices


@pytest.mark.parametrize("name, kinds", [("cpu", {"cpu"}), ("auto", {"cpu", "cuda", "mps"})])
def test_a_device_is_chosen_by_its_name(name, kinds):
    assert choose_device(name).type in kinds


@pytest.mark.parametrize(
    "cuda, mps, chosen", [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_prefers_cuda_then_mps(monkeypatch, cuda, mps, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto").type == chosen


def test_a_device_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device cuda"):
        choose_device("cuda")


# ---------------------------------------------------------------- any module


class Flat(torch.nn.Module):
    """A linear network over images of 32 x 32 pixels, or of the height and width given."""

    input_size = 32

    def __init__(self, classes=3, pixels=32 * 32):
        super().__init__()
        self.linear = torch.nn.Linear(3 * pixels, classes)

    def forward(self, x):
        return self.linear(x.flatten(1))


@pytest.fixture
def module():
    torch.manual_seed(0)
    return Flat().eval()


def test_a_module_becomes_a_network(module):
    network = wrap_module(module)
    assert isinstance(network, Network) and network.module is module


def test_a_module_in_training_mode_is_refused(module):
    with pytest.raises(UserError, match=r"training mode; call model.eval\(\) first"):
        wrap_module(module.train())


def test_a_module_says_its_own_input_size(module):
    assert wrap_module(module).size == (32, 32)


def test_a_module_that_does_not_say_gets_224_pixels():
    pooling = torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 2)
    )
    assert wrap_module(pooling.eval()).size == (224, 224)


@pytest.mark.parametrize("field, values", [("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)])
def test_a_module_that_does_not_say_gets_imagenets_colours(module, field, values):
    assert getattr(wrap_module(module), field) == values


@pytest.mark.parametrize("field", ["mean", "std"])
def test_a_module_says_its_own_colours(module, field):
    setattr(module, field, (0.1, 0.2, 0.3))
    assert getattr(wrap_module(module), field) == (0.1, 0.2, 0.3)


def test_a_module_is_named_by_its_class(module):
    assert wrap_module(module).name == "Flat"


def test_a_module_may_be_given_a_name(module):
    assert wrap_module(module, name="mine").name == "mine"


def test_a_modules_classes_are_numbered(module):
    assert wrap_module(module).labels == ["class 0", "class 1", "class 2"]


def test_a_module_of_a_thousand_classes_has_imagenets_names():
    assert wrap_module(Flat(classes=1000).eval()).labels[84] == "peacock"


def test_a_modules_classes_may_be_named(module):
    assert wrap_module(module, labels=("a", "b", "c")).labels == ["a", "b", "c"]


def test_a_module_of_one_logit_has_two_classes():
    assert wrap_module(Flat(classes=1).eval(), labels=["no", "yes"]).classes == 2


def test_another_number_of_labels_is_refused(module):
    with pytest.raises(UserError, match="labels: 2 names, but the model has 3 classes"):
        wrap_module(module, labels=["a", "b"])


def test_a_module_that_fails_is_named():
    with pytest.raises(UserError, match="Flat: fails on a 1 x 3 x 32 x 32 input"):
        wrap_module(Flat(pixels=7).eval())


def test_a_module_without_logits_is_refused():
    with pytest.raises(UserError, match=r"not a \(batch, classes\) tensor"):
        wrap_module(torch.nn.Identity().eval())


def test_a_module_without_parameters_is_on_the_cpu():
    flatten = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    assert wrap_module(flatten.eval()).device == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_network_is_on_the_device_of_its_module(module):
    assert wrap_module(module.cuda()).device.type == "cuda"


def test_equal_modules_have_equal_weights(module):
    other = Flat().eval()
    other.load_state_dict(module.state_dict())
    assert wrap_module(other).weights_sha256 == wrap_module(module).weights_sha256


def test_modules_with_other_weights_are_told_apart(module):
    before = wrap_module(module).weights_sha256
    module.linear.bias.data += 1
    assert wrap_module(module).weights_sha256 != before


# ---------------------------------------------------------------- preprocessing, from the transform


MEAN = (0.5, 0.4, 0.3)
STD = (0.2, 0.25, 0.3)
TO_TENSOR = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])


def transform_of(*steps):
    """Return a preprocessing: these steps, then a normalised tensor."""
    return v2.Compose([*steps, TO_TENSOR, v2.Normalize(MEAN, STD)])


@pytest.mark.parametrize(
    "steps, size",
    [
        ([v2.Resize(40), v2.CenterCrop(32)], (32, 32)),
        ([v2.Resize((48, 64))], (48, 64)),
        ([v2.Resize(36)], (36, 48)),  # of an image of 4 : 3
    ],
)
def test_a_transform_tells_the_input_size(steps, size):
    found, _, _ = probe(transform_of(*steps))
    assert found == size


def test_a_transform_tells_its_mean():
    _, mean, _ = probe(transform_of(v2.Resize((32, 32))))
    assert mean == pytest.approx(MEAN, abs=1e-5)


def test_a_transform_tells_its_standard_deviation():
    _, _, std = probe(transform_of(v2.Resize((32, 32))))
    assert std == pytest.approx(STD, abs=1e-5)


def test_a_transform_without_normalisation_is_possible():
    _, mean, std = probe(v2.Compose([v2.Resize((32, 32)), TO_TENSOR]))
    assert mean == pytest.approx((0, 0, 0)) and std == pytest.approx((1, 1, 1))


def test_torchvisions_own_preprocessing_is_understood():
    preset = torchvision.models.ResNet50_Weights.IMAGENET1K_V2.transforms()
    _, mean, std = probe(preset)
    assert [*mean, *std] == pytest.approx([*IMAGENET_MEAN, *IMAGENET_STD], abs=1e-5)


def test_a_wrapped_module_prepares_as_its_transform_does(module):
    transform = transform_of(v2.Resize((32, 32)))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    network = wrap_module(module, transform=transform)
    wanted = transform(Image.fromarray(pixels))
    assert torch.allclose(network.prepare(pixels), wanted, atol=1e-4)


@pytest.mark.parametrize(
    "transform",
    [
        np.asarray,
        lambda image: torch.zeros(1, 3, 8, 8),
        lambda image: torch.zeros(2, 8, 8),
        v2.PILToTensor(),
    ],
    ids=["array", "batch", "two channels", "integers"],
)
def test_a_transform_must_return_a_normalised_image(transform):
    with pytest.raises(UserError, match=r"transform: must return a .*\(3, height, width\)"):
        probe(transform)


@pytest.mark.parametrize(
    "transform",
    [lambda image: torch.zeros(3, 8, 8), lambda image: 1 - TO_TENSOR(image)],
    ids=["constant", "inverted"],
)
def test_a_transform_must_map_white_above_black(transform):
    with pytest.raises(UserError, match="transform: must map white above black"):
        probe(transform)


@pytest.mark.parametrize("size", [(224,), (224, 0), (8, 8, 8), "224", 224.0, (224, 2.5)])
def test_an_input_size_that_is_no_number_of_pixels_is_named(module, size):
    module.input_size = size
    with pytest.raises(UserError, match="input_size must be a whole number"):
        preprocessing_of(module)


@pytest.mark.parametrize("size, expected", [(32, (32, 32)), ((24, 40), (24, 40)), ([8, 9], (8, 9))])
def test_an_input_size_may_be_a_height_and_a_width(module, size, expected):
    module.input_size = size
    assert preprocessing_of(module)[0] == expected


@pytest.mark.parametrize("mean, std", [((0.5,), (0.2, 0.2, 0.2)), ((0.5, 0.5), (0.2, 0.2))])
def test_mean_and_deviation_are_of_three_channels_or_one(module, mean, std):
    module.mean = mean
    module.std = std
    with pytest.raises(UserError, match="must have a value for each of 3 channels"):
        preprocessing_of(module)


def test_a_transform_to_grey_has_one_channel():
    _, mean, std = probe(v2.Compose([v2.Grayscale(), TO_TENSOR, v2.Normalize((0.4,), (0.2,))]))
    assert (*mean, *std) == pytest.approx((0.4, 0.2), abs=1e-5)


def test_whole_numbers_of_mean_and_deviation_become_floats(module):
    module.mean = (0, 0, 0)
    _, mean, _ = preprocessing_of(module)
    assert [type(value) for value in mean] == [float] * 3


@pytest.mark.parametrize("name, known", [("birds", True), ("vgg19", True), ("ResNet", False)])
def test_names_that_can_be_loaded_again(name, known):
    assert is_loadable(name) == known
