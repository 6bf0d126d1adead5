"""Regions: label maps read and resized, their names, superpixels, and regions in the scorer."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import draw_sag
import main_generate_sag
from running.ask import ask
from running.check_record import problems
from scoring.scorer import MaskScorer
from scoring.patches import cells
from drawing.pictures import Pictures
from scoring.regions import Regions, load_label_map, read_names, resize_labels, superpixels
from utils import UserError, load_image
from scoring.networks import load_network

HERE = Path(__file__).resolve().parent

LABELS = np.array([[0, 0, 3, 3], [0, 7, 7, 3], [300, 300, 300, 3]])


class Sums(torch.nn.Module):
    """Two logits: the mean brightness of the upper and of the lower half."""

    def forward(self, x):
        self.calls = getattr(self, "calls", []) + [len(x)]
        upper, lower = x.mean(1).chunk(2, 1)
        return torch.stack([upper.mean((1, 2)), lower.mean((1, 2))], 1)


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("kind", ["palette", "grey", "16 bit", "grey as colour"])
def test_numbers_survive_every_kind_of_png(tmp_path, kind):
    labels = LABELS if kind == "16 bit" else LABELS % 256
    picture = Image.fromarray(labels.astype(np.uint16 if kind == "16 bit" else np.uint8))
    if kind == "palette":
        picture.putpalette([7 * i % 256 for i in range(768)])
    if kind == "grey as colour":
        picture = picture.convert("RGB")
    picture.save(tmp_path / "map.png")
    assert np.array_equal(load_label_map(tmp_path / "map.png"), labels)


def test_label_map_and_image_are_resized_alike(tmp_path):
    labels = np.zeros((60, 90), np.uint8)
    labels[:20], labels[:, 60:] = 1, 2
    Image.fromarray(labels).save(tmp_path / "map.png")
    Image.fromarray((labels[..., None] * 100).repeat(3, 2)).save(tmp_path / "image.png")
    small = load_label_map(tmp_path / "map.png", (30, 20), tmp_path / "image.png")
    image = load_image(tmp_path / "image.png", (30, 20))[..., 0]
    assert small.shape == (30, 20) and set(np.unique(small)) == {0, 1, 2}
    inside = (
        np.abs(image.astype(int) - 100 * small) <= 1
    )  # but for pixels on a border, where colours mix
    assert inside.mean() > 0.85 and inside[2:8, 2:10].all() and inside[12:28, 2:10].all()
    assert np.array_equal(resize_labels(small, (30, 20)), small)


def test_a_label_map_that_cannot_be_used_is_one_line(tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "map.png")
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "image.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "map.jpg")
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(tmp_path / "colour.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (40, 40), dtype=np.uint8)).save(
        tmp_path / "cut.png"
    )
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:300])
    (tmp_path / "text.png").write_text("no picture")
    cases = {
        "map.png": "8 x 8 pixels, the image image.png has 9 x 8",
        "map.jpg": "JPEG",
        "colour.png": "colour",
        "cut.png": "cannot read it",
        "text.png": "not an image",
        "missing.png": "No such file",
    }
    for name, words in cases.items():
        with pytest.raises(ValueError) as error:
            load_label_map(
                tmp_path / name, image=tmp_path / "image.png" if name == "map.png" else None
            )
        assert (
            name in str(error.value) and words in str(error.value) and "\n" not in str(error.value)
        )


def test_the_size_compared_is_that_of_the_upright_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(np.zeros((8, 12, 3), np.uint8)).save(tmp_path / "image.jpg", exif=exif)
    Image.fromarray(np.zeros((12, 8), np.uint8)).save(tmp_path / "map.png")
    assert load_label_map(tmp_path / "map.png", image=tmp_path / "image.jpg").shape == (12, 8)


# ---------------------------------------------------------------- names


def test_names(tmp_path):
    (tmp_path / "names.txt").write_text("wall\nfloor\n\nlamp\n")
    assert read_names(tmp_path / "names.txt") == {
        0: "unlabelled",
        1: "wall",
        2: "floor",
        3: "",
        4: "lamp",
    }
    (tmp_path / "info.csv").write_text(
        "Idx,Ratio,Name\n1,.5,building;edifice\n2,.1,screen;door;screen\n4,.1,screen;silver;screen\n"
    )
    assert read_names(tmp_path / "info.csv") == {
        0: "unlabelled",
        1: "building",
        2: "screen (door)",
        4: "screen (silver)",
    }


@pytest.mark.parametrize("content", ["Idx,Name\nx,wall\n", "a,b\n1,2\n", "Idx,Name\n1\n"])
def test_a_damaged_table_of_names_is_one_line(tmp_path, content):
    (tmp_path / "info.csv").write_text(content)
    with pytest.raises(UserError, match="info.csv: not a table of names"):
        read_names(tmp_path / "info.csv")
    with pytest.raises(UserError, match="nothing.txt: No such file"):
        read_names(tmp_path / "nothing.txt")


def test_a_label_without_a_name_is_named():
    assert Regions.of(LABELS).names == ["unlabelled", "label 3", "label 7", "label 300"]
    with pytest.raises(ValueError, match="no name for label 7 .* up to 3"):
        Regions.of(LABELS, {0: "unlabelled", 3: "lamp"})


# ---------------------------------------------------------------- the regions


def test_every_pixel_is_in_one_region():
    regions = Regions.of(LABELS)
    basis = regions.basis().reshape(4, 3, 4)
    assert regions.numbers == [0, 3, 7, 300] and torch.equal(basis.sum(0), torch.ones(3, 4))
    assert all(
        torch.equal(basis[i].bool(), torch.from_numpy(LABELS == n))
        for i, n in enumerate(regions.numbers)
    )
    assert regions.areas() == [3 / 12, 4 / 12, 2 / 12, 3 / 12]


@pytest.mark.parametrize("count", [4, 400])
def test_a_record_gives_the_same_regions_back(count):
    regions = Regions.of(np.arange(400).reshape(20, 20) % count)
    again = Regions.from_record(regions.record())
    assert (
        np.array_equal(again.index, regions.index)
        and again.names == regions.names
        and again.numbers == regions.numbers
    )


def test_superpixels_follow_the_picture_and_repeat():
    image = np.full((60, 60, 3), 30, np.uint8)
    image[:, 27:] = 220
    regions = superpixels(image, 16)
    assert 8 <= len(regions.names) <= 24 and regions.names[0].startswith("S")
    assert all(
        len({int(v) for v in image[regions.index == i].ravel()}) == 1
        for i in range(len(regions.names))
    )
    assert np.array_equal(superpixels(image, 16).index, regions.index)


# ---------------------------------------------------------------- in the scorer


def test_the_scorer_on_regions_shows_and_hides_whole_rows():
    number = torch.tensor([[0, 0], [1, 1], [2, 2], [2, 2]])
    image, baseline, network = torch.rand(3, 4, 2), torch.rand(3, 4, 2), Sums()
    basis = Regions.of(number.numpy()).basis()
    scorer = MaskScorer(network, image, baseline, None, basis=basis)
    shown = torch.where((number == 0) | (number == 2), image, baseline)
    wanted = torch.stack([network(shown[None])[0], network(baseline[None])[0]]).softmax(1)
    assert torch.allclose(scorer([(0, 2), ()]), wanted, atol=1e-6)
    assert (
        torch.equal(scorer.without([(1,), (0, 1, 2)]), scorer([(0, 2), ()])) and scorer.scored == 2
    )
    assert scorer([]).shape[0] == 0
    one = MaskScorer(network, image, baseline, 1, basis=basis)
    assert torch.allclose(one.without([(1,)]), wanted[:1, 1], atol=1e-6)


def test_without_and_rows_on_a_grid():
    image, baseline, network = torch.rand(3, 8, 8), torch.zeros(3, 8, 8), Sums()
    rows, one = (
        MaskScorer(network, image, baseline, None, (2, 2)),
        MaskScorer(network, image, baseline, 0, (2, 2)),
    )
    assert torch.allclose(rows.without([(0, 3), ()])[:, 0], one([(1, 2), (0, 1, 2, 3)]), atol=1e-6)
    assert torch.allclose(rows([(1,)]).sum(1), torch.ones(1))


def test_cells_are_regions_too():
    assert torch.equal(
        cells((2, 3), (4, 6)),
        Regions.of(np.kron(np.arange(6).reshape(2, 3), np.ones((2, 2), int))).basis(),
    )


# ---------------------------------------------------------------- SAGs on named regions

PARTS_OF_PLANTED = {
    5: "head",
    6: "wing",
    10: "tail",
    1: "feet",
    8: "feet",
    14: "feet",
}  # patch of the planted network -> region
NAMES = ("head", "wing", "tail", "feet", "rest")


@pytest.fixture
def scene(tmp_path):
    """A white picture, a label map that cuts it as the planted network looks at it, and names; -> their folder."""
    near = np.abs(np.arange(56)[:, None] - np.linspace(0, 55, 4).round()).argmin(1)
    patch = near[:, None] * 4 + near
    labels = np.vectorize(lambda p: 1 + NAMES.index(PARTS_OF_PLANTED.get(p, "rest")))(patch)
    for folder, picture in (
        ("in", np.full((56, 56, 3), 255, np.uint8)),
        ("maps", labels.astype(np.uint8)),
    ):
        (tmp_path / folder).mkdir()
        Image.fromarray(picture).save(tmp_path / folder / "scene.png")
    (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n")
    return tmp_path


def sag(scene, *options):
    """The main script on the planted network. -> exit status."""
    return main_generate_sag.main(
        [
            str(o)
            for o in (
                "--images",
                scene / "in",
                "--results",
                scene / "out",
                "--model",
                f"{HERE}/planted.py:network",
                "--category",
                1,
                "--device",
                "cpu",
                *options,
            )
        ]
    )


def record_of(scene):
    return json.loads((scene / "out/scene/sag.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("search", ["beam", "exhaustive", "combinatorial", "diverse"])
def test_a_sag_on_named_regions_finds_the_planted_ones(scene, search):
    assert (
        sag(
            scene,
            "--regions",
            scene / "maps",
            "--region-names",
            scene / "names.txt",
            "--search",
            search,
            "--comb-size",
            2,
        )
        == 0
    )
    record = record_of(scene)
    assert (
        record["grid"] == [1, 5]
        and record["regions"]["names"] == list(NAMES)
        and record["regions"]["labels"] == [1, 2, 3, 4, 5]
    )
    assert set(record["dnf"].split(" | ")) == {"head", "feet", "wing & tail"}
    wrong, claims = problems(
        scene / "out/scene/sag.json",
        scene / "in/scene.png",
        load_network(f"{HERE}/planted.py:network", None, None, torch.device("cpu")),
    )
    assert wrong == [] and claims > 20
    dot = (scene / "out/scene/SAG_3roots.dot").read_text(encoding="utf-8")
    assert "wing &amp; tail" in dot and "−wing" in dot and "P0" not in dot
    assert "wing & tail" in (scene / "out/scene/dnf.txt").read_text(encoding="utf-8")


def test_a_false_claim_about_regions_is_found(scene):
    sag(scene, "--regions", scene / "maps", "--region-names", scene / "names.txt")
    record, network = (
        record_of(scene),
        load_network(f"{HERE}/planted.py:network", None, None, torch.device("cpu")),
    )
    turned = Regions.from_record(record["regions"])
    record["regions"]["map"] = Regions(
        turned.index[::-1, ::-1], turned.numbers, turned.names
    ).record()["map"]
    (scene / "out/scene/sag.json").write_text(json.dumps(record))
    assert problems(scene / "out/scene/sag.json", scene / "in/scene.png", network)[0]


def test_questions_by_name(scene, capsys):
    sag(scene, "--regions", scene / "maps", "--region-names", scene / "names.txt")
    capsys.readouterr()
    assert "only wing & tail: 100 %" in ask([str(scene / "out/scene"), "--only", "Wing, tail"])
    assert "probability 0.0200, not sufficient (scored" in ask(
        [str(scene / "out/scene"), "--only", "tail,rest", "--score", "--device", "cpu"]
    )
    with pytest.raises(UserError, match="beak is not a region; there are head, wing"):
        ask([str(scene / "out/scene"), "--only", "beak"])


def test_the_figures_are_drawn_again_from_the_record_alone(scene):
    sag(scene, "--regions", scene / "maps", "--region-names", scene / "names.txt")
    shutil.rmtree(scene / "maps")
    for options in (["--style", "paper"], ["--hidden", "outline"]):
        assert (
            draw_sag.main([str(scene / "out/scene"), "--images", str(scene / "in"), *options]) == 0
        )
    assert "wing" in (scene / "out/scene/SAG_final_3roots.svg").read_text(encoding="utf-8")
    picture = Pictures(record_of(scene), np.full((56, 56, 3), 255, np.uint8))
    shown, red = picture((0,)), picture.outlined((0,), [(1, 0.2)])
    assert (shown[..., 0] > 0).sum() == (picture.regions.index == 0).sum()
    changed = (red != shown).any(-1)
    assert (
        changed.any()
        and (
            cv2.dilate((picture.regions.index == 1).astype(np.uint8), np.ones((7, 7))) >= changed
        ).all()
    )


def test_a_record_on_regions_stands_until_the_label_map_changes(scene):
    options = ("--regions", scene / "maps", "--region-names", scene / "names.txt")
    sag(scene, *options)
    first = (scene / "out/scene/sag.json").stat().st_mtime_ns
    sag(scene, *options)
    assert (scene / "out/scene/sag.json").stat().st_mtime_ns == first
    labels = np.asarray(Image.open(scene / "maps/scene.png")).copy()
    labels[labels == 3] = 2  # the tail is now part of the wing
    Image.fromarray(labels).save(scene / "maps/scene.png")
    sag(scene, *options)
    assert set(record_of(scene)["dnf"].split(" | ")) == {"head", "feet", "wing"}


def test_superpixels_in_the_main_script(scene):
    ramp = np.linspace(160, 255, 56).astype(np.uint8)
    Image.fromarray(np.stack(np.broadcast_arrays(ramp[:, None], ramp, ramp[::-1]), 2)).save(
        scene / "in/scene.png"
    )
    assert sag(scene, "--regions", "slic", "--segments", 12) == 0
    record = record_of(scene)
    assert 4 <= record["grid"][1] <= 24 and record["roots"] and record["dnf"].startswith("S")


@pytest.mark.parametrize(
    "options, words",
    [
        (["--regions", "nothing.png"], "nothing.png: no such file or folder"),
        (["--region-names", "names.txt"], "only together with --regions"),
        (["--regions", "slic", "--region-names", "{}/names.txt"], "superpixels have no names"),
        (["--regions", "slic", "--baseline", "drop"], "drop"),
        (["--regions", "{}/maps", "--region-names", "{}/none.txt"], "none.txt"),
    ],
)
def test_unusable_regions_are_one_line(scene, capsys, options, words):
    capsys.readouterr()
    assert sag(scene, *(o.replace("{}", str(scene)) for o in options)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and words in lines[0]


def test_an_image_whose_label_map_is_bad_is_named_and_the_others_are_done(scene, capsys):
    shutil.copy(scene / "in/scene.png", scene / "in/other.png")
    shutil.copy(scene / "in/scene.png", scene / "in/third.png")
    Image.fromarray(np.full((56, 56), 9, np.uint8)).save(scene / "maps/third.png")
    assert sag(scene, "--regions", scene / "maps", "--region-names", scene / "names.txt") == 1
    err = capsys.readouterr().err
    assert (
        "failed: other.png: " in err
        and "other.png" in err
        and "failed: third.png: no name for label 9" in err
        and record_of(scene)["roots"]
    )


def test_the_page_shows_regions_by_name_as_the_network_saw_them(scene, visit):
    sag(scene, "--regions", scene / "maps", "--region-names", scene / "names.txt")
    page = visit(scene / "out/scene/sag.html")
    assert page.eval_on_selector_all(".region", "all => all.map(b => b.textContent)") == list(NAMES)
    page.click("#hide-all")
    page.check("#as-seen")
    page.click(".region >> nth=1")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert (
        page.inner_text("#visible") == "Visible: wing and tail. The rest is hidden."
        and page.inner_text("#confidence") == "100 %"
    )
    shown = np.array(
        page.evaluate(
            "(() => { const c = document.getElementById('view'); return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; })()"
        )
    )
    picture = Pictures(record_of(scene), np.full((56, 56, 3), 255, np.uint8))((1, 2))
    assert np.abs(shown.reshape(56, 56, 4)[..., :3].astype(int) - picture).max() <= 1
    words = page.inner_text("main")
    assert "wing & tail" in words and "P1 " not in words and "−wing" in page.inner_html("#graph")
