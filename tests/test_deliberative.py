"""Deliberative explanations: the second order three ways, planted networks with known maps, the bundled world, the program, the data sets."""

import json
import shutil
from math import log

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import deliberative_explanation as program
from companions.deliberative import hardness
from companions.deliberative import evaluation
from companions.deliberative.insecurities import (
    ATTRIBUTIONS,
    Hardness,
    HardnessNetwork,
    Split,
    candidates,
    certainty,
    curvature,
    difficulty_map,
    entropy,
    hessian_products,
    insecurities,
    moved,
    pooled_linear,
    region_of,
    top_region,
    without,
)
from birds.between import differing, halfway
from birds.painter import PARTS
from planted import colours
from utils import UserError
from scoring.networks import choose_device, load_network

PLANTED = f"{program.PROJECT}/tests/planted.py"


# ---------------------------------------------------------------- the second order


def network(head: str) -> nn.Module:
    """A small random network in double precision; its head: pooled (global pooling and a linear layer), or deep (not linear)."""
    torch.manual_seed(0)
    heads = {
        "pooled": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)],
        "deep": [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 7), nn.Softplus(), nn.Linear(7, 5)],
    }
    return (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), *heads[head])
        .double()
        .eval()
        .requires_grad_(False)
    )


def predictor() -> Hardness:
    return Hardness(
        torch.randn(6, generator=torch.Generator().manual_seed(1)).double(),
        torch.tensor(0.3).double(),
    )


def picture(side=8, seed=2) -> torch.Tensor:
    return 3 * torch.randn(
        3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def by_finite_differences(
    split: Split, x: torch.Tensor, difficulty, step: float = 1e-3
) -> torch.Tensor:
    """f_ij^T H_ij f_ij: the second derivative of the difficulty as the features of one location grow by a factor."""
    f = split(x[None])[0].detach()

    def value(i, j, by):
        changed = f.clone()
        changed[..., i, j] *= 1 + by
        features, logits = split(x[None], changed)
        return float(difficulty(features, logits).detach()[0])

    rows, columns = f.shape[2:]
    return torch.tensor(
        [
            [
                (value(i, j, step) - 2 * value(i, j, 0) + value(i, j, -step)) / step**2
                for j in range(columns)
            ]
            for i in range(rows)
        ],
        dtype=torch.float64,
    )


@pytest.mark.parametrize("head", ["pooled", "deep"])
@pytest.mark.parametrize("name", ["certainty", "entropy", "hardness"])
def test_second_order_by_formula_products_and_finite_differences(head, name):
    difficulty, x = (
        {"certainty": certainty, "entropy": entropy, "hardness": predictor()}[name],
        picture(),
    )
    split = Split(network(head), x)
    assert (pooled_linear(split.model, split, x) is not None) == (head == "pooled")
    features, logits = split(x[None])
    chosen = curvature(split, x, features, logits, difficulty)
    products = hessian_products(difficulty(features, logits)[0], features)
    numeric = by_finite_differences(split, x, difficulty)
    assert products.shape == (4, 4) and float(numeric.abs().max()) > 1e-5
    assert torch.allclose(chosen, products, rtol=1e-9, atol=1e-13)
    assert torch.allclose(products, numeric, rtol=1e-4, atol=1e-9)


def test_products_one_by_one_equal_all_at_once():
    x = picture()
    split = Split(network("deep"), x)
    features, logits = split(x[None])
    value = entropy(features, logits)[0]
    assert torch.allclose(
        hessian_products(value, features, rows=1),
        hessian_products(value, features, rows=16),
        rtol=1e-12,
        atol=0,
    )
    assert (
        hessian_products(logits[0, 0] * 0 + features.sum(), features) == 0
    ).all()  # linear: no curvature


def test_ig_in_batches_equals_one_by_one_and_difficulty_in_the_limit():
    x, black = picture(), torch.zeros(3, 8, 8, dtype=torch.float64)
    split = Split(network("deep"), x)
    maps = [difficulty_map(split, x, black, certainty, "ig", batch_size=n) for n in (1, 7, 64)]
    assert (
        torch.allclose(maps[0], maps[1], rtol=1e-10)
        and torch.allclose(maps[0], maps[2], rtol=1e-10)
        and float(maps[0].abs().max()) > 0
    )


def test_ig_by_hand_where_the_features_of_black_are_not_zero():
    """F is twice the image, minus one; of s = the sum of F^2 / 2 the mean gradient is (F(image) + F(black)) / 2, cut off at 0."""
    model = nn.Sequential(
        nn.Conv2d(3, 3, 1, bias=False),
        nn.Conv2d(3, 1, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1, 2),
    ).requires_grad_(False)
    model[0].weight.data, model[1].weight.data = (
        torch.eye(3).view(3, 3, 1, 1),
        torch.tensor([2.0, 0, 0]).view(1, 3, 1, 1),
    )
    model[1].bias.data = torch.tensor([-1.0])
    x, black = torch.zeros(3, 1, 3), torch.zeros(3, 1, 3)
    x[0], black[0] = torch.tensor([[3.0, 0.0, 4.0]]), 1.0  # F(image) is 5, -1, 7; F(black) is 1
    found = difficulty_map(
        Split(model, x),
        x,
        black,
        lambda f, logits: f.square().sum((1, 2, 3)) / 2,
        "ig",
        batch_size=7,
    )
    assert found[0].tolist() == pytest.approx([3 * 4, 0 * -2, 4 * 6], rel=1e-5)


# ---------------------------------------------------------------- the split


@pytest.mark.parametrize(
    "name, pooled",
    [
        ("resnet18", True),
        ("mobilenet_v2", True),
        ("shufflenet_v2_x0_5", True),
        ("squeezenet1_1", False),
        ("densenet121", False),
        ("efficientnet_b0", True),
        ("convnext_tiny", False),
    ],
)
def test_torchvision_networks_split_into_features_and_head(name, pooled):
    torch.manual_seed(0)
    model, x = (
        torchvision.models.get_model(name, weights=None).eval().requires_grad_(False),
        torch.randn(3, 96, 96),
    )
    split = Split(model, x)
    features, logits = split(x[None])
    assert (
        torch.allclose(logits, model(x[None]), atol=1e-5)
        and features.shape[2] * features.shape[3] > 1
    )
    other, changed = split(
        torch.zeros_like(x)[None], features
    )  # the features decide, where nothing goes around them
    assert torch.equal(other, features.detach()) and torch.allclose(changed, logits, atol=1e-4)
    assert (pooled_linear(model, split, x) is not None) == pooled
    assert difficulty_map(split, x, torch.zeros_like(x), entropy, "second-order").isfinite().all()


def test_a_vgg_is_split_before_its_last_pooling():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(20, 3),
    ).eval()
    split = Split(model, torch.randn(3, 8, 8))
    features, _ = split(torch.randn(1, 3, 8, 8))
    assert split.layer is model[4] and features.shape == (1, 5, 4, 4) and (features >= 0).all()


def test_one_relu_used_everywhere_is_replaced_only_at_its_last_call():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.relu, self.fc = (
                nn.Conv2d(3, 4, 1),
                nn.Conv2d(4, 4, 1),
                nn.ReLU(),
                nn.Linear(4, 3),
            )

        def forward(self, x):
            return self.fc(self.relu(self.b(self.relu(self.a(x)))).mean((2, 3)))

    model, x = Net().eval(), torch.randn(3, 6, 6)
    split = Split(model, x)
    features, logits = split(x[None])
    assert (
        split.call == 2
        and torch.allclose(logits, model(x[None]))
        and torch.allclose(model.fc(features.mean((2, 3))), logits, atol=1e-6)
    )


# ---------------------------------------------------------------- insecurities


def scene_of_colours() -> np.ndarray:
    """56 x 56: two red cells, a green one, and two yellow ones, which are red and green; the rest black."""
    image = np.zeros((56, 56, 3), np.uint8)
    image[0:8, 0:16, 0] = image[48:56, 48:56, 1] = 255
    image[24:32, 24:40, :2] = 255
    return image


@pytest.mark.parametrize("attribution", ATTRIBUTIONS)
def test_a_planted_network_hesitates_where_both_colours_are(attribution):
    model = colours().eval().requires_grad_(False)
    x = torch.from_numpy(scene_of_colours().transpose(2, 0, 1).copy()).float() / 255
    found = insecurities(
        Split(model, x), x, torch.zeros_like(x), certainty, attribution, share=2 / 49
    )
    assert [set(i.classes) for i in found] == [{0, 1}]  # nothing is blue: no pair with it
    m = found[0].map
    yellow = torch.zeros(7, 7, dtype=torch.bool)
    yellow[3, 3:5] = True
    assert (
        (m[yellow] > 0).all()
        and (m[~yellow] == 0).all()
        and float(found[0].region[24:32, 24:40].float().mean()) > 0.7
    )
    t, shares = 10 / 49, np.linspace(0, 1, 51)  # the value, worked out by hand
    odds = np.exp(shares[:, None] * [40 / 49, 30 / 49, 0])  # from black to the image
    p = odds / odds.sum(1, keepdims=True)
    slopes = p[:, 0] * p[:, 1] * t  # of the certainty by the other colour;
    slopes[0] = 0  # in black no class is ahead
    p = p[-1]
    tbar = t * (p[0] + p[1])
    q = -p[0] * ((t - tbar) ** 2 - (t * t * (p[0] + p[1]) - tbar**2))
    wanted = {"gradient": slopes[-1], "ig": slopes.mean(), "second-order": slopes[-1] + abs(q) / 2}
    assert m[3, 3] == pytest.approx(t * t * wanted[attribution], rel=1e-4)


def test_pairs_need_positive_evidence_for_both():
    maps = torch.tensor([[[2.0, 0, 0]], [[1.0, 0, 0]], [[0.0, 3, 0]], [[0.5, 0, 0]], [[0.1, 0, 0]]])
    assert candidates(maps) == [
        (0, 1),
        (0, 3),
        (1, 3),
    ]  # zeros tie and make no pair; the fourth is not among three
    assert candidates(torch.zeros(5, 7, 7)) == []


def test_a_region_has_its_share_of_pixels_and_what_is_shown_of_it_is_positive():
    fine = torch.arange(100.0).view(10, 10) - 96
    assert top_region(fine, 0.05).sum() == 5 and top_region(fine, 0.99).sum() == 99
    assert (
        region_of(fine, (10, 10), 0.05)[1].sum() == 3
        and region_of(fine + 200, (10, 10), 0.05)[1].sum() == 5
    )
    assert (
        top_region(torch.ones(10, 10), 0.2)[:2].all()
        and top_region(torch.ones(10, 10), 0.2).sum() == 20
    )


def test_removal_in_batches_equals_one_by_one_and_is_what_a_forward_pass_says():
    model = colours().eval().requires_grad_(False)
    image = scene_of_colours()
    x = torch.from_numpy(image.transpose(2, 0, 1).copy()).float() / 255
    split, black = Split(model, x), torch.zeros_like(x)
    regions = torch.zeros(3, 56, 56, dtype=torch.bool)
    regions[1, 24:32, 24:40], regions[2, 0:8, 0:8] = True, True
    hard = Hardness(torch.tensor([1.0, 2.0, -1.0]), torch.tensor(-0.2))
    for difficulty in (certainty, entropy, hard):
        p, s = without(split, x, black, regions, difficulty, batch_size=1)
        p2, s2 = without(split, x, black, regions, difficulty, batch_size=3)
        assert torch.allclose(p, p2, atol=1e-6) and torch.allclose(s, s2, atol=1e-6)
        for n in range(3):
            features, logits = split((x * ~regions[n])[None])
            assert torch.allclose(p[n], logits.softmax(1)[0], atol=1e-6) and float(
                s[n]
            ) == pytest.approx(float(difficulty(features, logits).detach()), abs=1e-6)
    assert HardnessNetwork(split, hard)(x[None]).shape == (1, 1)
    elsewhere = moved(regions[1], 5, torch.Generator().manual_seed(0))
    assert (elsewhere.flatten(1).sum(1) == regions[1].sum()).all() and moved(
        regions[1], 0, torch.Generator()
    ).shape == (0, 56, 56)


def test_difficulties_are_between_0_and_1_and_exact_where_the_network_is_sure():
    logits = torch.tensor([[0.0, 0, 0, 0], [30.0, 0, 0, 0], [3.0, 3, -50, -50]])
    c, e = certainty(None, logits), entropy(None, logits)
    assert c.tolist() == pytest.approx(
        [0.75, 3 * np.exp(-30), 0.5], rel=1e-4
    ) and e.tolist() == pytest.approx([1, 0, log(2) / log(4)], abs=1e-6)


# ---------------------------------------------------------------- the bundled world


def test_a_scene_half_way_between_two_birds_has_that_pair_first_on_the_parts_that_both_have():
    """The pair: in every scene. Its place: the product of both classes' evidence lies on the parts that they share, not on those they differ in."""
    net = load_network("birds", None, None, choose_device("cpu"))
    black = net.prepare(np.zeros((224, 224, 3), np.uint8))
    split, on = Split(net.module, black), {"shared": [], "different": []}
    area = {"shared": [], "different": []}
    for a, b, scene in halfway(net, 6):
        first = insecurities(split, net.prepare(scene.image), black, certainty, "second-order")[0]
        assert set(first.classes) == {a, b}
        other = set(differing(a, b))
        for kind, parts in (("different", other), ("shared", set(PARTS) - other)):
            mask = np.any([scene.masks[p] for p in parts], 0)
            on[kind].append(mask[first.region.numpy()].mean())
            area[kind].append(mask.mean())
    assert np.mean(on["shared"]) > 2 * np.mean(area["shared"]) and np.mean(
        on["different"]
    ) < np.mean(area["different"])


def test_the_bundled_predictor_of_hardness_belongs_to_the_bundled_network():
    net = load_network("birds", None, None, choose_device("cpu"))
    predictor, x = (
        hardness.load(
            program.PROJECT / "birds/birds_hardness.safetensors", net.weights_sha256, net.device
        ),
        [],
    )
    split = Split(net.module, net.prepare(np.zeros((224, 224, 3), np.uint8)))
    easy = sorted(program.IMAGES.glob("*.png"))[:4]
    for pictures in (
        [program.load_image(p, net.size) for p in easy],
        [scene.image for *_, scene in halfway(net, 4)],
    ):
        x.append([float(predictor(*split(net.prepare(p)[None])).detach()) for p in pictures])
    assert max(x[0]) < min(x[1])


# ---------------------------------------------------------------- hardness


def test_a_predictor_learns_what_is_hard_and_its_file_is_for_one_network(tmp_path):
    generator = torch.Generator().manual_seed(0)
    pooled = torch.randn(400, 3, generator=generator) * torch.tensor([1.0, 5.0, 0.1])
    hard = (pooled @ torch.tensor([1.0, 0.4, 0.0]) - 0.5).sigmoid()
    found, measured = hardness.fit_and_measure(pooled, hard)
    assert (
        measured["rank_correlation"] > 0.99
        and measured["cross_entropy"] < measured["cross_entropy_of_the_mean"] - 0.1
        and measured["images"] == 80
    )
    hardness.save(found, tmp_path / "h.safetensors", "abc")
    again = hardness.load(tmp_path / "h.safetensors", "abc", torch.device("cpu"))
    assert torch.equal(again.weight, found.weight) and float(again.bias) == float(found.bias)
    with pytest.raises(UserError, match="other weights"):
        hardness.load(tmp_path / "h.safetensors", "abd", torch.device("cpu"))
    save_file({"weight": torch.zeros(2, 3)}, tmp_path / "no.safetensors")
    (tmp_path / "bad.safetensors").write_text("nothing")
    for name in ("no.safetensors", "bad.safetensors", "missing"):
        with pytest.raises(UserError, match=name):
            hardness.load(tmp_path / name, "abc", torch.device("cpu"))


# ---------------------------------------------------------------- the program


def run(*options) -> int:
    try:
        return program.main([str(o) for o in options])
    except SystemExit as end:
        return end.code


@pytest.fixture
def images(tmp_path):
    (tmp_path / "in/sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        Image.fromarray(scene_of_colours()).save(tmp_path / "in" / name)
    (tmp_path / "names.txt").write_text("red\ngreen\nblue\n")
    return tmp_path / "in"


def explained(images, *options, results="out") -> int:
    return run(
        images,
        "--results",
        images.parent / results if images.is_dir() else images.parent.parent / results,
        "--device",
        "cpu",
        "--model",
        f"{PLANTED}:colours",
        "--labels",
        (images if images.is_dir() else images.parent).parent / "names.txt",
        *options,
    )


def one_line(capsys) -> str:
    lines = [
        line
        for line in capsys.readouterr().err.replace("\r", "\n").splitlines()
        if line.strip() and "it/s" not in line and "?" not in line
    ]
    assert len(lines) == 1, lines
    return lines[0]


def test_a_run_leaves_records_and_pictures(images):
    assert explained(images, "--formats", "png,svg", "--moved", 3, "--share", 0.04) == 0
    for folder in ("a", "sub/b"):
        record = json.loads((images.parent / "out" / folder / "insecurities.json").read_text())
        first = record["insecurities"][0]
        assert {c["name"] for c in first["classes"]} == {"red", "green"} and len(
            record["insecurities"]
        ) == 1
        assert [c["name"] for c in record["classes"]][2] == "blue" and record["s"] == pytest.approx(
            1 - record["classes"][0]["probability"], abs=1e-6
        )
        assert (
            first["before"]["p_a"] == pytest.approx(0.443, abs=0.001)
            and first["without"]["p_a"] < first["before"]["p_a"]
        )
        assert (
            first["without"]["s"] > first["before"]["s"]
            and first["moved"] is not None
            and np.array(first["map"]).shape == (7, 7)
        )
        assert "red" in (images.parent / "out" / folder / "insecurities.svg").read_text()
        assert (
            np.asarray(Image.open(images.parent / "out" / folder / "insecurities.png")).std() > 20
        )


def test_what_is_done_is_not_done_again(images, monkeypatch, tmp_path):
    calls, original = [], program.explain
    monkeypatch.setattr(program, "explain", lambda *a: calls.append(1) or original(*a))
    assert explained(images) == 0 and len(calls) == 2
    before = (tmp_path / "out/a/insecurities.json").read_bytes()
    assert (
        explained(images, "--batch-size", 3) == 0
        and len(calls) == 2
        and (tmp_path / "out/a/insecurities.json").read_bytes() == before
    )
    assert explained(images, "--overwrite") == 0 and len(calls) == 4
    assert explained(images, "--difficulty", "entropy") == 0 and len(calls) == 6
    (tmp_path / "out/a/insecurities.json").write_text(before.decode()[:100])
    assert explained(images, "--difficulty", "entropy") == 0 and len(calls) == 7


def test_an_interrupted_run_goes_on_and_a_bad_image_is_named(images, monkeypatch, tmp_path, capsys):
    original, done = program.explain, []

    def interrupt(*arguments):
        if done:
            raise KeyboardInterrupt
        done.append(1)
        return original(*arguments)

    monkeypatch.setattr(program, "explain", interrupt)
    assert (
        explained(images) == 130 and len(list((tmp_path / "out").rglob("insecurities.json"))) == 1
    )
    monkeypatch.setattr(program, "explain", original)
    (images / "c.png").write_bytes(b"no image")
    assert explained(images) == 1 and len(list((tmp_path / "out").rglob("insecurities.json"))) == 2
    assert "failed: c.png: cannot read it: not an image" in capsys.readouterr().err


def test_training_from_the_command_line(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for n in range(40):
        image = np.zeros((56, 56, 3), np.uint8)
        image[..., :2] = rng.integers(0, 256, 2)
        name = (
            ("red", "green")[int(image[0, 0, 1] > image[0, 0, 0])]
            if n % 4
            else ("red", "green")[n // 4 % 2]
        )
        (tmp_path / "in" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "in" / name / f"{n}.png")
    (tmp_path / "names.txt").write_text("red\ngreen\nblue\n")
    file = tmp_path / "hard.safetensors"
    assert (
        explained(tmp_path / "in", "--train-hardness", file) == 0
        and "rank correlation" in capsys.readouterr().err
    )
    assert load_file(file)["weight"].shape == (1, 3)
    assert (
        run(
            tmp_path / "in/red",
            "--results",
            tmp_path / "out",
            "--model",
            f"{PLANTED}:colours",
            "--difficulty",
            file,
            "--device",
            "cpu",
        )
        == 0
    )
    record = json.loads(next((tmp_path / "out").rglob("insecurities.json")).read_text())
    assert record["difficulty"]["name"] == "hardness" and 0 < record["s"] < 1
    learned = load_file(file)
    (tmp_path / "in/red/deep").mkdir()  # the class is the first folder
    (tmp_path / "in/red/deep/cut.png").write_bytes(b"no image")
    capsys.readouterr()
    assert (
        explained(tmp_path / "in", "--train-hardness", file) == 1
    )  # named, and the others are learned from
    assert "failed: red/deep/cut.png: cannot read it: not an image" in capsys.readouterr().err
    assert all(torch.equal(learned[k], v) for k, v in load_file(file).items())
    (tmp_path / "in/violet").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "in/violet/x.png")
    capsys.readouterr()
    assert (
        explained(tmp_path / "in", "--train-hardness", file) == 2
        and "violet" in capsys.readouterr().err.splitlines()[-1]
    )


@pytest.mark.parametrize(
    "options, words",
    [
        (["--share", 0], ": 0 is"),
        (["--share", 1.2], "1.2"),
        (["--top", 0], ": 0 is"),
        (["--top", 11], "11"),
        (["--attribution", "luck"], "luck"),
        (["--difficulty", "no.safetensors"], "no.safetensors"),
        (["--baseline", "drop"], "drop"),
        (["--rank", "x"], "'x'"),
        (["--moved", -1], "-1"),
        (["--evaluate", "imagenet"], "imagenet"),
        (["--evaluate", "cub"], "images.txt"),
        (["--evaluate", "ade20k"], "objectInfo150"),
    ],
)
def test_bad_options(options, words, images, capsys):
    assert explained(images, *options) == 2
    line = one_line(capsys)
    assert words in line and options[0] in line


def test_a_network_without_convolutions_is_refused_with_its_layers(images, capsys):
    assert run(images, "--model", f"{PLANTED}:small_vit", "--results", images.parent / "out") == 2
    line = one_line(capsys)
    assert (
        "Conv2d (1)" in line
        and "LayerNorm" in line
        and not list((images.parent / "out").rglob("*.json"))
    )
    assert run(
        images, "--model", f"{PLANTED}:network", "--results", images.parent / "out"
    ) == 2 and "its layers: none" in one_line(capsys)
    assert run(
        images / "nowhere", "--model", f"{PLANTED}:colours", "--results", images.parent / "out"
    ) == 2 and "nowhere" in one_line(capsys)


def test_a_network_that_answers_nan_fails_the_image(images, capsys, monkeypatch):
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: x * float("nan"))
    assert explained(images / "a.png") == 1 and "NaN" in capsys.readouterr().err


# ---------------------------------------------------------------- data sets


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def small_cub(folder):
    """Three classes, one test image each of 112 x 56 pixels (wide: places must be squeezed with it); only colours of nape and throat differ."""
    groups = sorted({g for names in evaluation.PART_GROUPS.values() for g in names})
    write(
        folder / "attributes/attributes.txt",
        "".join(
            f"{2 * n + k + 1} has_{g}::{'xy'[k]}\n" for n, g in enumerate(groups) for k in (0, 1)
        ),
    )
    rows = []
    for c in range(
        3
    ):  # every part differs between all classes, but the nape between the first two and the legs between the last two
        alike = {0: "nape_color", 1: "nape_color leg_color", 2: "leg_color"}[c]
        rows.append(
            " ".join(
                "50 50" if g in alike.split() else f"{90 - 40 * c} {10 + 40 * c}" for g in groups
            )
        )
    write(folder / "attributes/class_attribute_labels_continuous.txt", "\n".join(rows))
    names = ["red", "green", "blue"]
    write(
        folder / "classes.txt",
        "".join(f"{n + 1} {n + 1:03}.{name}\n" for n, name in enumerate(names)),
    )
    write(folder / "images.txt", "".join(f"{n + 1} {name}/x.png\n" for n, name in enumerate(names)))
    write(folder / "image_class_labels.txt", "1 1\n2 2\n3 3\n")
    write(folder / "train_test_split.txt", "1 0\n2 0\n3 1\n")
    write(
        folder / "parts/parts.txt",
        "".join(f"{n + 1} {part}\n" for n, part in enumerate(evaluation.PART_GROUPS)),
    )
    parts = {part: n + 1 for n, part in enumerate(evaluation.PART_GROUPS)}
    write(
        folder / "parts/part_locs.txt",
        "".join(
            f"1 {parts[p]} {x} {y} {v}\n"
            for p, x, y, v in (
                ("nape", 60, 26, 1),
                ("tail", 10, 50, 1),
                ("beak", 62, 28, 1),
                ("left leg", 64, 28, 0),
            )
        ),
    )
    for name in names:
        (folder / "images" / name).mkdir(parents=True)
        Image.fromarray(scene_of_colours()).resize((112, 56), Image.Resampling.NEAREST).save(
            folder / "images" / name / "x.png"
        )


def test_cub_parts_move_with_the_image_and_pairs_without_a_shared_part_are_not_counted(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(evaluation, "ALIKE", 0.04)  # three of 45 divergences are 0
    small_cub(tmp_path / "cub")
    data = evaluation.cub(tmp_path / "cub")
    assert [p.parent.name for p in data.images] == ["green", "red"]
    shared = evaluation.shared_parts(tmp_path / "cub", 3)
    assert (
        "nape" in shared[0, 1]
        and "left leg" in shared[1, 2]
        and "tail" not in shared[0, 1]
        and "nape" not in shared[0, 2]
    )
    image = tmp_path / "cub/images/red/x.png"
    assert evaluation.in_network(
        evaluation.part_places(tmp_path / "cub")["1"], image, (56, 56)
    ) == {"nape": (26, 30), "tail": (50, 5), "beak": (28, 31)}
    shape = np.zeros((56, 56))
    shape[26, 30], shape[28, 31] = 3, 2  # the nape, then the beak, then nothing
    pair = {"classes": [{"index": 1}, {"index": 0}], "map": shape.tolist()}
    [row] = data.of_one(
        image,
        {
            "size": [56, 56],
            "insecurities": [pair, {**pair, "classes": [{"index": 0}, {"index": 2}]}],
        },
    )
    assert (
        row["recall"] == [1] * 9 and row["precision"] == [0.5] * 7 + [1 / 3] * 2
    )  # from 90 % on, the tail too
    assert (
        explained(tmp_path / "cub", "--evaluate", "cub") == 2
        and "names.txt" in capsys.readouterr().err
    )
    (tmp_path / "names.txt").write_text("red\ngreen\nblue\n")
    assert explained(tmp_path / "cub", "--evaluate", "cub", "--moved", 0) == 0
    table, text = (
        json.loads((tmp_path / "out/evaluation.json").read_text()),
        capsys.readouterr().out,
    )
    assert (
        table["images"] == 2
        and table["images_counted"] == 1
        and table["insecurities"] == 1
        and table["recall"][-1] == 1
        and "precision" in text
    )
    kept = (tmp_path / "cub/attributes/class_attribute_labels_continuous.txt").read_text()
    for file, text, words in (
        ("parts/part_locs.txt", "1 2\n", "line 1"),
        ("parts/part_locs.txt", "1 1 5 5 1\n1 2 x 3 1\n", "line 2: x is not a number"),
        ("parts/part_locs.txt", "1 99 2 3 1\n", "line 1: no part 99"),
        (
            "attributes/class_attribute_labels_continuous.txt",
            kept.replace("90", "x", 1),
            "line 1: x is not a number",
        ),
        ("attributes/attributes.txt", "1 has_bill_shape::x\n", "no attribute of the back"),
    ):
        small = tmp_path / "small"
        shutil.rmtree(small, ignore_errors=True)
        small_cub(small)
        write(small / file, text)
        assert explained(small, "--evaluate", "cub") == 2
        line = one_line(capsys)
        assert file in line and words in line


def test_ade20k_objects_and_their_iou(tmp_path, capsys):
    folder = tmp_path / "ade"
    write(
        folder / "objectInfo150.csv",
        "Idx,Ratio,Train,Val,Stuff,Name\n"
        + "".join(f"{n},0,0,0,0,thing{n}\n" for n in range(1, 6)),
    )
    scenes, labels = [], np.zeros((112, 56), np.uint8)
    labels[48:64, 24:40] = 3  # the image is 112 high: resized to 56 the object is rows 24..32
    labels[:16, :8] = 4
    for n, scene in enumerate(("red", "green", "blue", "red")):
        split, name = ("training", "tr") if n < 3 else ("validation", "val")
        for kind, picture in (
            (
                "images",
                Image.fromarray(scene_of_colours()).resize((56, 112), Image.Resampling.NEAREST),
            ),
            ("annotations", Image.fromarray(labels if n != 2 else labels * 0 + 5)),
        ):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
            picture.save(folder / kind / split / f"ADE_{name}_{n}.png")
        scenes.append(f"ADE_{name}_{n} {scene}\n")
    write(folder / "sceneCategories.txt", "".join(scenes))
    data = evaluation.ade20k(folder)
    data.check(["red", "green", "blue"])
    assert [p.name for p in data.images] == ["ADE_val_3.png"]
    shape = np.zeros((56, 56))
    shape[24:32, 24:40] = 1
    pair = {"classes": [{"index": 0}, {"index": 1}], "map": shape.tolist()}
    rows = data.of_one(
        data.images[0],
        {
            "size": [56, 56],
            "insecurities": [pair, {**pair, "classes": [{"index": 0}, {"index": 2}]}],
        },
    )
    assert len(rows) == 1 and rows[0]["iou"][-1] == pytest.approx(
        (128 + 64) / round(0.99 * 56 * 56)
    )  # the other shared object, label 4, is 8 x 8
    (tmp_path / "names.txt").write_text("red\ngreen\nblue\n")
    assert explained(folder, "--evaluate", "ade20k", "--moved", 0) == 0
    table = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert (
        table["images_counted"] == 1
        and max(v for v in table["iou"] if v) > 0.5
        and "iou" in capsys.readouterr().out
    )
    Image.fromarray(scene_of_colours()).resize((56, 112)).save(
        folder / "images/validation/ADE_val_4.png"
    )
    write(folder / "sceneCategories.txt", "".join(scenes) + "ADE_val_4 red\n")
    for damage, words in (
        (lambda path: Image.fromarray(labels[:9]).save(path), "56 x 9 pixels"),
        (lambda path: path.write_bytes(b"no"), "not an image"),
        (lambda path: path.unlink(), "No such file"),
    ):
        damage(folder / "annotations/validation/ADE_val_4.png")
        (tmp_path / "out/evaluation.json").unlink()
        assert explained(folder, "--evaluate", "ade20k", "--moved", 0) == 1
        failed = [
            line for line in capsys.readouterr().err.splitlines() if line.startswith("failed")
        ]
        assert len(failed) == 1 and "validation/ADE_val_4.png" in failed[0] and words in failed[0]
        again = json.loads((tmp_path / "out/evaluation.json").read_text())
        assert again == table
    (folder / "sceneCategories.txt").unlink()
    assert (
        explained(folder, "--evaluate", "ade20k") == 2
        and "sceneCategories" in capsys.readouterr().err
    )
