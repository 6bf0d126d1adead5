"""Images of every kind, models, weights and labels: what comes in, and how a bad one is named."""

import io

import cv2
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

import utils
from utils import UserError, load_image, write_atomically
from scoring.networks import choose_device, load_network, read_labels
from running.images import find_images
from running.record_files import read_record

CPU = torch.device("cpu")


@pytest.fixture
def picture():
    y, x = np.mgrid[0:60, 0:90]
    return np.stack([x * 2, y * 4, 255 - x], -1).astype(np.uint8)


def test_sizes_and_colours(tmp_path, picture):
    for ending in ("png", "bmp", "webp", "jpg"):
        Image.fromarray(picture).save(
            tmp_path / f"a.{ending}",
            **(
                {"lossless": True}
                if ending == "webp"
                else {"quality": 98}
                if ending == "jpg"
                else {}
            ),
        )
        loaded = load_image(tmp_path / f"a.{ending}", (60, 90))
        assert loaded.shape == (60, 90, 3) and np.abs(loaded.astype(int) - picture).mean() < 3
    assert load_image(tmp_path / "a.png", (224, 200)).shape == (224, 200, 3)
    Image.new("RGB", (1, 1), (9, 8, 7)).save(tmp_path / "tiny.png")
    assert (load_image(tmp_path / "tiny.png", (224, 224)) == (9, 8, 7)).all()
    Image.new("RGB", (6000, 5000), (9, 8, 7)).save(tmp_path / "huge.png")
    assert (load_image(tmp_path / "huge.png", (224, 224)) == (9, 8, 7)).all()


def test_grey_palette_transparent_and_sixteen_bit(tmp_path, picture):
    grey = picture[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(
        load_image(tmp_path / "grey.png", (60, 90)), np.repeat(grey[..., None], 3, 2)
    )
    Image.fromarray(picture).quantize(200).save(tmp_path / "palette.png")
    assert np.abs(load_image(tmp_path / "palette.png", (60, 90)).astype(int) - picture).mean() < 8
    alpha = np.full((60, 90), 255, np.uint8)
    alpha[:30] = 0
    Image.fromarray(np.dstack([picture, alpha])).save(tmp_path / "alpha.png")
    loaded = load_image(tmp_path / "alpha.png", (60, 90))
    assert (loaded[:30] == 255).all() and np.array_equal(loaded[30:], picture[30:])
    cv2.imwrite(str(tmp_path / "deep.png"), grey.astype(np.uint16) * 257)
    assert np.array_equal(load_image(tmp_path / "deep.png", (60, 90))[..., 0], grey)
    cv2.imwrite(str(tmp_path / "deep_colour.png"), picture[..., ::-1].astype(np.uint16) * 257)
    assert (
        np.abs(load_image(tmp_path / "deep_colour.png", (60, 90)).astype(int) - picture).max() <= 1
    )
    Image.fromarray(picture).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=98)
    assert np.abs(load_image(tmp_path / "cmyk.jpg", (60, 90)).astype(int) - picture).mean() < 6


def test_an_exif_turned_photo_stands_upright(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter to the right
    Image.fromarray(picture).save(tmp_path / "turned.jpg", exif=exif, quality=98)
    upright = np.rot90(picture, -1)
    assert (
        np.abs(load_image(tmp_path / "turned.jpg", upright.shape[:2]).astype(int) - upright).mean()
        < 3
    )


@pytest.mark.parametrize("content", [b"", b"this is text", None])
def test_what_is_no_image_or_cut_off_is_one_line(tmp_path, picture, content):
    path = tmp_path / "bad.jpg"
    if content is None:
        whole = io.BytesIO()
        Image.fromarray(
            np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)
        ).save(whole, "JPEG")
        content = whole.getvalue()[: len(whole.getvalue()) // 2]
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        load_image(path, (224, 224))
    assert "\n" not in str(error.value)


def test_find_images(tmp_path, picture):
    for name in (
        "b/é.JPEG",
        "a.png",
        "b/c/d.webp",
        ".hidden.png",
        "notes.txt",
        "Results/a/roots/1_2.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    for name in (
        "sag.json",
        "deviation.json",
        "insecurities.json",
    ):  # what any script left is no image
        (tmp_path / "b" / name).mkdir()
        (tmp_path / "b" / name / name).write_text("{}")
        (tmp_path / "b" / name / "picture.png").write_bytes(b"")
    root, found = find_images(tmp_path, leave_out=tmp_path / "Results")
    assert [f.relative_to(root).as_posix() for f in found] == ["a.png", "b/c/d.webp", "b/é.JPEG"]
    assert find_images(tmp_path / "a.png") == (tmp_path, [tmp_path / "a.png"])
    for bad, word in (
        (tmp_path / "nowhere", "nowhere"),
        (tmp_path / "Results/a/roots/empty", "no image"),
    ):
        if word == "no image":
            bad.mkdir()
        with pytest.raises(UserError, match=word):
            find_images(bad)


# ---------------------------------------------------------------- models


@pytest.fixture(scope="module")
def small_state():
    torch.manual_seed(0)
    return torchvision.models.get_model(
        "shufflenet_v2_x0_5", weights=None, num_classes=5
    ).state_dict()


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_local_state_dict_with_its_own_number_of_classes(tmp_path, small_state, ending):
    path = tmp_path / f"w.{ending}"
    torch.save(small_state, path) if ending == "pth" else save_file(small_state, path)
    network = load_network("shufflenet_v2_x0_5", path, None, CPU)
    assert network.classes == 5 and network.labels[4] == "class 4" and network.size == (224, 224)
    assert network.weights_sha256 == utils.file_sha256(path) and not network.module.training
    assert torch.equal(network.module.state_dict()["fc.weight"], small_state["fc.weight"])


def test_weights_of_another_architecture_name_the_first_key(tmp_path, small_state):
    torch.save(small_state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth.*conv1\.weight"):
        load_network("resnet18", tmp_path / "w.pth", None, CPU)
    torch.save({**small_state, "extra.weight": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(UserError, match=r"extra\.weight"):
        load_network("shufflenet_v2_x0_5", tmp_path / "more.pth", None, CPU)


def test_weights_are_never_unpickled_into_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    for name in ("evil", "cut", "list", "absent"):
        with pytest.raises(UserError, match=f"{name}.pth"):
            load_network("resnet18", tmp_path / f"{name}.pth", None, CPU)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "name, nearest", [("resnet51", "resnet50"), ("VGG19", "vgg19"), ("bird", "birds")]
)
def test_an_unknown_model_names_the_nearest(name, nearest):
    with pytest.raises(UserError, match=rf"{name}: .* {nearest}$"):
        load_network(name, None, None, CPU)


def test_weights_out_of_reach_say_where_to_put_them(monkeypatch, tmp_path):
    import urllib.error

    def unreachable(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError) as error:
        load_network("vgg19", None, None, CPU)
    assert (
        "vgg19-dcbb9e9d.pth" in str(error.value)
        and str(tmp_path / "hub/checkpoints") in str(error.value)
        and "--weights" in str(error.value)
    )
    assert "\n" not in str(error.value)


def test_torchvisions_own_weights_are_taken_from_the_cache(monkeypatch, tmp_path):
    torch.manual_seed(1)
    state = torchvision.models.get_model("shufflenet_v2_x0_5", weights=None).state_dict()
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    entry = torchvision.models.get_model_weights("shufflenet_v2_x0_5").IMAGENET1K_V1
    torch.save(state, tmp_path / "hub/checkpoints" / entry.url.rsplit("/")[-1])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    network = load_network("shufflenet_v2_x0_5", None, None, CPU)
    assert (
        torch.equal(network.module.state_dict()["fc.bias"], state["fc.bias"])
        and network.labels[84] == "peacock"
    )


def test_the_users_own_module(tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\nclass Net(torch.nn.Linear):\n    input_size = 32\n    def forward(self, x):\n        return super().forward(x.flatten(1))\n"
        "def build():\n    return Net(3 * 32 * 32, 4)\ndef wrong():\n    return 7\ndef failing():\n    raise KeyError('lost')\n"
        "def one():\n    n = Net(3 * 32 * 32, 1); return n\ndef deep():\n    return torch.nn.Identity()\n"
    )
    network = load_network(f"{tmp_path}/net.py:build", None, None, CPU)
    assert network.classes == 4 and network.size == (32, 32) and len(network.weights_sha256) == 64
    assert load_network(f"{tmp_path}/net.py:one", None, None, CPU).classes == 2
    torch.save({k: v + 1 for k, v in network.module.state_dict().items()}, tmp_path / "w.pth")
    assert (
        load_network(f"{tmp_path}/net.py:build", tmp_path / "w.pth", None, CPU).weights_sha256
        != network.weights_sha256
    )
    for name, words in (
        ("wrong", "int"),
        ("failing", "lost"),
        ("absent", "absent"),
        ("deep", "classes"),
    ):
        with pytest.raises(UserError, match=words):
            load_network(f"{tmp_path}/net.py:{name}", None, None, CPU)
    with pytest.raises(UserError, match="nowhere.py"):
        load_network("nowhere.py:build", None, None, CPU)


def test_labels(tmp_path):
    names = ['a "quoted" name', "<script>", "señor Ã 鳥", "d"]
    (tmp_path / "l.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    assert read_labels(tmp_path / "l.txt", 4) == names
    with pytest.raises(UserError, match="4 names.* 5 classes"):
        read_labels(tmp_path / "l.txt", 5)
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xfd\xe9\n")
    for bad in ("latin.txt", "absent.txt"):
        with pytest.raises(UserError, match=bad):
            read_labels(tmp_path / bad, 1)
    imagenet = read_labels(None, 1000)
    assert imagenet[84] == "peacock" and imagenet[999] == "toilet tissue"


def test_device():
    assert choose_device("cpu").type == "cpu" and choose_device("auto").type in (
        "cpu",
        "cuda",
        "mps",
    )
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="cuda"):
            choose_device("cuda")


def test_a_file_is_the_old_one_or_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "sag.json"
    write_atomically(path, '{"format": 1}')

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(utils.os, "fsync", full)
    with pytest.raises(OSError):
        write_atomically(path, "x" * 1000)
    assert path.read_text() == '{"format": 1}' and [f.name for f in tmp_path.iterdir()] == [
        "sag.json"
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}', "\x00"])
def test_damaged_records_count_as_absent(tmp_path, text):
    (tmp_path / "sag.json").write_text(text)
    assert read_record(tmp_path / "sag.json") is None
