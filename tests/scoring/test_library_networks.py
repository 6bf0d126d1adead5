"""Networks of timm and transformers by name, built from configurations: nothing is downloaded."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from scoring.hf_networks import class_names
from scoring.networks import class_probabilities, is_loadable, load_network
from utils import UserError

TIMM = "test_vit"  # small, 160 x 160 pixels, filter bicubic, crop_pct 0.95


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No library may ask the Hub, whatever is installed."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def photo():
    """An image of noise and shapes, wider than high."""
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    pixels[50:150, 100:200] = (255, 40, 0)
    return Image.fromarray(pixels)


def shown_to(network, image):
    """Return the tensor that a network is shown of an image, (3, H, W)."""
    return network.prepare(network.fit.image(image))


# ---------------------------------------------------------------- timm


@pytest.fixture(scope="module")
def timm():
    return pytest.importorskip("timm")


@pytest.fixture(scope="module")
def timm_module(timm):
    torch.manual_seed(0)
    return timm.create_model(TIMM, num_classes=5).eval()


@pytest.fixture(scope="module")
def timm_weights(timm_module, tmp_path_factory):
    """Weights of five classes, inside of a checkpoint as training programs write them."""
    path = tmp_path_factory.mktemp("timm") / "checkpoint.pth"
    state = {f"module.{name}": value for name, value in timm_module.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, path)
    return path


@pytest.fixture(scope="module")
def timm_network(timm_weights):
    return load_network(f"timm/{TIMM}", timm_weights, resize="crop")


def test_timms_network_is_the_module_with_the_files_weights(timm_network, timm_module, photo):
    images = shown_to(timm_network, photo)[None]
    with torch.no_grad():
        assert torch.allclose(timm_network.module(images), timm_module(images), atol=1e-5)


def test_timms_network_has_the_classes_of_its_weights(timm_network):
    assert timm_network.classes == 5


def test_timms_checkpoint_is_unwrapped_and_says_so(timm_network):
    assert timm_network.unwrapped == "taken from state_dict, without module."


def test_timms_preprocessing_is_its_own(timm, timm_module, timm_network, photo):
    config = timm.data.resolve_model_data_config(timm_module)
    own = timm.data.create_transform(**config, is_training=False)(photo)
    assert torch.allclose(shown_to(timm_network, photo), own, atol=1e-5)


def test_timms_filter_is_used_without_a_crop_too(timm_weights):
    assert load_network(f"timm/{TIMM}", timm_weights).fit.filter == "bicubic"


def test_timms_weights_of_another_architecture_name_a_key(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth: of another architecture: .* is missing"):
        load_network(f"timm/{TIMM}", tmp_path / "w.pth")


def test_an_unknown_name_of_timm_names_the_nearest(timm):
    with pytest.raises(UserError, match=r"timm/resnet51: .*the nearest name is timm/resnet\d"):
        load_network("timm/resnet51")


@pytest.mark.parametrize("name", ["hf-hub:timm/resnet18", "local-dir:folder"])
def test_timms_other_sources_are_refused(timm, name):
    with pytest.raises(UserError, match="not a classifier of timm"):
        load_network(f"timm/{name}")


def test_a_network_of_timm_without_classes_is_refused(timm, tmp_path, monkeypatch):
    real = timm.create_model
    bare = real(TIMM, num_classes=0)
    torch.save(bare.state_dict(), tmp_path / "w.pth")
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: real(TIMM, num_classes=0))
    with pytest.raises(UserError, match=f"timm/{TIMM}: has no classes"):
        load_network(f"timm/{TIMM}", tmp_path / "w.pth")


def test_timms_weights_out_of_reach_are_one_line_that_names_the_model(timm, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as error:
        load_network("timm/resnet18.a1_in1k")
    message = str(error.value)
    assert message.startswith("--model timm/resnet18.a1_in1k: cannot load its weights (")
    assert "--weights FILE" in message and "\n" not in message


# ---------------------------------------------------------------- transformers


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


def small_vit(transformers, **values):
    """Return an untrained ViT of three classes on 32 x 32 pixels."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        id2label={0: "wren", 1: "grey heron", 2: "owl"},
        **values,
    )
    return transformers.ViTForImageClassification(config).eval()


@pytest.fixture(scope="module")
def hf_folder(transformers, tmp_path_factory):
    """A folder as the library writes one, with an image processor of its own numbers."""
    folder = tmp_path_factory.mktemp("hf") / "vit"
    small_vit(transformers).save_pretrained(folder)
    processor = transformers.ViTImageProcessor(
        size={"height": 32, "width": 32},
        resample=3,
        image_mean=[0.5, 0.4, 0.3],
        image_std=[0.2, 0.25, 0.3],
    )
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def hf_network(hf_folder):
    return load_network(f"hf/{hf_folder}")


def test_a_folder_of_transformers_has_its_own_weights(hf_network, transformers, photo):
    images = shown_to(hf_network, photo)[None]
    with torch.no_grad():
        expected = small_vit(transformers)(images).logits
        assert torch.allclose(hf_network.module(images), expected, atol=1e-5)


def test_a_folder_of_transformers_has_names_of_classes(hf_network):
    assert hf_network.labels == ["wren", "grey heron", "owl"]


def test_names_in_a_file_come_first(hf_folder, tmp_path):
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    network = load_network(f"hf/{hf_folder}", labels=tmp_path / "names.txt")
    assert network.labels == ["a", "b", "c"]


def test_made_up_names_of_classes_are_no_names():
    assert class_names({0: "LABEL_0", 1: "LABEL_1"}) is None


def test_names_of_classes_with_a_gap_are_no_names():
    assert class_names({0: "wren", 2: "owl"}) is None


def test_the_preprocessing_of_a_folder_is_its_processors(
    hf_folder, hf_network, photo, transformers
):
    processor = transformers.AutoImageProcessor.from_pretrained(hf_folder)
    own = torch.as_tensor(processor(photo, return_tensors="pt")["pixel_values"][0])
    # The library may resize with torchvision, which rounds otherwise than Pillow does.
    assert (shown_to(hf_network, photo) - own).abs().max() < 2.5 / 255 / 0.2


def test_mean_and_deviation_are_the_processors(hf_network):
    assert (hf_network.mean, hf_network.std) == ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def test_the_filter_is_the_processors(hf_network):
    assert hf_network.fit.filter == "bicubic"


def test_a_processor_that_cuts_a_border_off_says_how_much(hf_folder, tmp_path, transformers):
    folder = tmp_path / "crop"
    small_vit(transformers).save_pretrained(folder)
    transformers.CLIPImageProcessor(
        size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
    fit = load_network(f"hf/{folder}", resize="crop").fit
    assert (fit.size, fit.short_side) == ((32, 32), 40)


def test_crop_pct_of_a_processor_is_its_crop(tmp_path, transformers):
    folder = tmp_path / "share"
    small_vit(transformers).save_pretrained(folder)
    processor = transformers.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.8)
    processor.save_pretrained(folder)
    assert load_network(f"hf/{folder}", resize="crop").fit.short_side == 40


@pytest.fixture
def config_only(hf_folder, tmp_path):
    """A folder with nothing but a config.json."""
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "config.json").write_text((hf_folder / "config.json").read_text())
    return folder


@pytest.mark.parametrize("kind", ["as saved", "as in memory"])
def test_a_config_and_a_file_of_weights_are_enough(
    config_only, hf_folder, kind, hf_network, tmp_path
):
    path = tmp_path / "w.safetensors"
    state = load_file(hf_folder / "model.safetensors")
    if kind == "as in memory":
        state = hf_network.module.module.state_dict()
    save_file(state, path)
    network = load_network(f"hf/{config_only}", path)
    found = network.module.module.state_dict()
    expected = hf_network.module.module.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_without_a_processor_the_usual_one_is_taken(config_only, hf_folder):
    network = load_network(f"hf/{config_only}", hf_folder / "model.safetensors")
    assert (network.size, network.mean) == ((32, 32), (0.5, 0.5, 0.5))


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_hf_weights_of_another_architecture_name_a_key(config_only, hf_folder, tmp_path, change):
    state = load_file(hf_folder / "model.safetensors")
    if change == "missing":
        del state["classifier.weight"]
    elif change == "extra":
        state["classifier.more"] = torch.zeros(1)
    else:
        state["classifier.weight"] = torch.zeros(7, 16)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"w\.safetensors: of another .*classifier\.(weight|more)"):
        load_network(f"hf/{config_only}", tmp_path / "w.safetensors")


def test_weights_without_a_classifier_are_refused(transformers, tmp_path):
    small_vit(transformers).vit.save_pretrained(tmp_path / "base")
    with pytest.raises(UserError, match=r"not those of an image classifier: classifier\.\w+"):
        load_network(f"hf/{tmp_path / 'base'}")


def test_a_config_without_weights_names_the_option(config_only):
    with pytest.raises(UserError, match=r"cannot load its weights \(.*--weights FILE"):
        load_network(f"hf/{config_only}")


def test_a_network_on_the_hub_out_of_reach_is_one_line(transformers):
    with pytest.raises(UserError) as error:
        load_network("hf/nobody/no-such-network")
    message = str(error.value)
    assert message.startswith("--model hf/nobody/no-such-network: no such folder, and cannot load")
    assert "\n" not in message


def test_another_config_is_another_network(config_only, hf_folder):
    network = load_network(f"hf/{config_only}", hf_folder / "model.safetensors")
    before = network.description()["code_sha256"]
    config = json.loads((config_only / "config.json").read_text())
    (config_only / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-3}))
    changed = load_network(f"hf/{config_only}", hf_folder / "model.safetensors")
    assert changed.description()["code_sha256"] != before


PLANTED_CODE = """
from pathlib import Path
Path({flag!r}).touch()
from transformers import ViTConfig, ViTForImageClassification
class Config(ViTConfig):
    model_type = "planted"
class Net(ViTForImageClassification):
    config_class = Config
"""


def test_code_in_a_folder_is_never_run(hf_folder, tmp_path):
    folder = tmp_path / "code"
    folder.mkdir()
    config = json.loads((hf_folder / "config.json").read_text())
    config["model_type"] = "planted"
    config["auto_map"] = {
        "AutoConfig": "planted.Config",
        "AutoModelForImageClassification": "planted.Net",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "planted.py").write_text(PLANTED_CODE.format(flag=str(tmp_path / "owned")))
    with pytest.raises(UserError, match="hf/.*code"):
        load_network(f"hf/{folder}")
    assert not (tmp_path / "owned").exists()


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_pickled_code_in_a_folder_is_never_run(config_only, tmp_path):
    torch.save({"a": Evil(tmp_path / "owned")}, config_only / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot load its weights"):
        load_network(f"hf/{config_only}")
    assert not (tmp_path / "owned").exists()


# ---------------------------------------------------------------- both


def test_a_network_of_transformers_gives_probabilities(hf_network, photo):
    probabilities = class_probabilities(hf_network.module(shown_to(hf_network, photo)[None]))
    assert probabilities.shape == (1, 3) and probabilities.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("name, package", [("timm/resnet18", "timm"), ("hf/a/b", "transformers")])
def test_a_package_that_is_not_installed_is_named(monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        UserError, match=f"--model {name}: needs the package {package}: pip install"
    ):
        load_network(name)


@pytest.mark.parametrize("name", ["timm/resnet18", "hf/folder"])
def test_networks_of_libraries_can_be_loaded_again(name):
    assert is_loadable(name)
