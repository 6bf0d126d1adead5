"""Score deviations: planted networks whose answer is worked out by hand, and the bundled scenes whose needed parts are known."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from companions.score_deviation import scene_sets
import score_deviation
from companions.score_deviation.statistics import distracting, table_of
from birds import part_scenes
from birds.painter import CLASSES, LABEL_NAMES, PARTS, consistent_classes, draw_scene, is_sufficient
from scoring.regions import load_label_map, read_names
from score_deviation import main, score_deviations
from utils import PROJECT, UserError, load_image
from scoring.networks import Network, load_network

HERE = Path(__file__).resolve().parent
CPU = torch.device("cpu")


class Lamps(torch.nn.Module):
    """Logits of three classes from the mean red at three places: lamp 1 speaks for class 0, lamp 2 against it, lamp 3 says nothing."""

    def forward(self, x):
        one, two = x[:, 0, :4].mean((1, 2)), x[:, 0, 4:8].mean((1, 2))
        return torch.stack([2 * one - 3 * two, 0 * one, 0 * two], 1)


def lamps(mean=(0.0, 0.0, 0.0)):
    return Network(Lamps(), "lamps", "", ["a", "b", "c"], (12, 8), mean, (1.0, 1.0, 1.0), CPU)


SCENE = np.full((12, 8, 3), 255, np.uint8)
MAP = np.repeat([1, 2, 5], 4)[:, None].repeat(8, 1)  # labels 1, 2 and 5: the three lamps


def softmax(*logits):
    return np.exp(logits) / np.exp(logits).sum()


def test_deviations_of_a_planted_network():
    numbers, d = score_deviations(lamps(), SCENE, MAP, fill="black")
    wanted = softmax(-1, 0, 0) - np.stack([softmax(-3, 0, 0), softmax(2, 0, 0), softmax(-1, 0, 0)])
    assert numbers == [1, 2, 5] and d.dtype == np.float32 and np.allclose(d, wanted, atol=1e-6)
    assert d[0, 0] > 0.1 and d[1, 0] < -0.5 and d[2, 0] == 0  # supports, distracts, irrelevant


def test_all_pixels_of_a_label_go_at_once_wherever_they_are():
    twice = MAP.copy()
    twice[8:], twice[0, :4] = 1, 2
    numbers, d = score_deviations(lamps(), SCENE, twice, fill="black")
    rest, gone = 4 / 32, 28 / 32  # of lamp 1's pixels, four are label 2's
    assert numbers == [1, 2] and np.allclose(
        d[0], softmax(-1, 0, 0) - softmax(2 * rest - 3, 0, 0), atol=1e-6
    )
    assert np.allclose(d[1], softmax(-1, 0, 0) - softmax(2 * gone, 0, 0), atol=1e-6)


def test_the_fill_is_the_mean_colour_before_normalisation():
    _, d = score_deviations(lamps(mean=(0.485, 0.456, 0.406)), SCENE, MAP)
    white, mean = (
        1 - 0.485,
        124 / 255 - 0.485,
    )  # normalised red: of white, of the fill (about 0, not 0.485)
    assert np.allclose(
        d[0], softmax(2 * white - 3 * white, 0, 0) - softmax(2 * mean - 3 * white, 0, 0), atol=1e-6
    )


def test_the_batch_changes_nothing_and_a_label_is_scored_once():
    network = lamps()
    first = score_deviations(network, SCENE, MAP, "blur")[1]
    assert np.allclose(
        first, score_deviations(network, SCENE, MAP, "blur", batch_size=1)[1], atol=1e-6
    )
    calls = []
    network.module.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    score_deviations(network, SCENE, MAP)
    assert sum(calls) == 4


def needed_parts(category, drawn):
    """The drawn parts without which those left no longer single out the class; and how probable it then is, at best."""
    variants = dict(zip(PARTS, CLASSES[category][1]))
    left = {p: [q for q in drawn if q != p] for p in drawn}
    return {
        p: 1 / len(consistent_classes({q: variants[q] for q in left[p]}))
        for p in drawn
        if not is_sufficient(category, left[p])
    }


@pytest.mark.parametrize(
    "category, drawn",
    [
        (0, ("beak", "feet")),
        (3, ("wing", "tail")),
        (8, ("beak", "crest", "wing")),
        (0, PARTS),
        (6, PARTS),
    ],
)
def test_on_the_bundled_scenes_what_the_class_needs_is_positive_and_the_rest_is_not(
    category, drawn
):
    network = load_network("birds", None, None, CPU)
    needed, values = needed_parts(category, drawn), []
    for seed in range(4):
        scene = draw_scene(CLASSES[category][1], [77, seed], drawn)
        numbers, d = score_deviations(network, scene.image, scene.labels)
        values.append(
            [dict(zip(numbers, d[:, category])).get(n, 0.0) for n in range(1, len(LABEL_NAMES) + 1)]
        )
    mean = dict(zip(LABEL_NAMES, np.mean(values, 0)))
    for part in PARTS:
        if part in needed:
            assert mean[part] > 0.5 * (1 - needed[part]), (part, mean)
        else:
            assert abs(mean[part]) < 0.1, (part, mean)
    assert bool(needed) == (drawn != PARTS)
    assert abs(mean["background"]) < 0.1 and abs(mean["body"]) < 0.1


# ---------------------------------------------------------------- the program

PICTURES = {
    "one": (255, 255),
    "two": (0, 255),
    "three": (255, 0),
}  # red of the upper and of the middle lamp


def build():
    """For --model: the lamps."""
    network = Lamps()
    network.input_size, network.mean, network.std = 12, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return network


@pytest.fixture
def lit(tmp_path):
    """A folder of three pictures of the lamps, their label maps, names, class names and a manifest."""
    for name, reds in PICTURES.items():
        image = np.zeros((12, 12, 3), np.uint8)
        image[:4, :, 0], image[4:8, :, 0], image[8:, :, 0] = *reds, 255
        labels = np.repeat([1, 2, 3], 4)[:, None].repeat(12, 1).astype(np.uint8)
        for folder, picture in (("in", image), ("maps", labels)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(picture).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "names.txt").write_text("upper lamp\nmiddle lamp\nlower lamp\n")
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    (tmp_path / "images.csv").write_text(
        "image,mask,class\n"
        + "".join(f"in/{n}.png,maps/{n}.png,{c}\n" for n, c in zip(PICTURES, "aba"))
    )
    return tmp_path


def deviate(lit, *options, fill="black"):
    """The program on the lamps. -> exit status."""
    try:
        return main(
            [
                str(o)
                for o in (
                    "--results",
                    lit / "out",
                    "--model",
                    f"{HERE}/test_score_deviation.py:build",
                    "--device",
                    "cpu",
                    "--class-names",
                    lit / "classes.txt",
                    "--fill",
                    fill,
                    *options,
                )
            ]
        )
    except SystemExit as end:
        return end.code


def deviation(lit, name):
    return json.loads((lit / "out" / name / "deviation.json").read_text(encoding="utf-8"))


def test_a_folder_with_label_maps(lit):
    assert (
        deviate(lit, lit / "in", "--segmentation", lit / "maps", "--labels", lit / "names.txt") == 0
    )
    one = deviation(lit, "one")
    assert (
        one["category"]["name"] == one["predicted"]["name"] == "b"
        and one["true"] is None
        and one["evaluations"] == 4
    )
    d = {label["name"]: label["deviation"] for label in one["labels"]}
    assert d == pytest.approx(
        {
            "upper lamp": softmax(-1, 0, 0)[1] - softmax(-3, 0, 0)[1],
            "middle lamp": softmax(-1, 0, 0)[1] - softmax(2, 0, 0)[1],
            "lower lamp": 0,
        },
        abs=1e-6,
    )
    assert [label["area"] for label in one["labels"]] == [1 / 3] * 3
    assert Image.open(lit / "out/one/deviation.png").width > 800
    rows = list(csv.DictReader(open(lit / "out/summary.csv", encoding="utf-8")))
    assert (
        len(rows) == 3
        and rows[0]["most_supporting"] == "middle lamp"
        and not any(row["error"] for row in rows)
    )


def test_statistics_of_a_set_by_hand(lit):
    assert deviate(lit, "--manifest", lit / "images.csv", "--labels", lit / "names.txt") == 0
    found = json.loads((lit / "out/statistics.json").read_text(encoding="utf-8"))
    # one: logits (-1, 0, 0), true a, seen as b: wrong; without the middle lamp (2, 0, 0) a wins: it distracts.
    # two: (-3, 0, 0), true b: right (a tie of b and c goes to b). three: (2, 0, 0), true a: right.
    assert (
        found["accuracy"] == {"top_1": 2 / 3, "top_2": 2 / 3, "top_5": 1.0}
        and found["with_true_class"] == 3
    )
    a, b = found["classes"]["a"], found["classes"]["b"]
    assert (a["images"], a["correct"], b["images"], b["correct"]) == (2, 1, 1, 1)
    rows = {row["label"]: row for row in a["labels"]}
    gone = softmax(2, 0, 0)[0] - softmax(0, 0, 0)[0]
    assert (
        rows["upper lamp"]["mean"] == pytest.approx(gone, abs=1e-6)
        and rows["upper lamp"]["kind"] == "relevant"
    )
    assert rows["lower lamp"]["kind"] == rows["middle lamp"]["kind"] == "irrelevant"
    assert {
        name: (row["distracting"], row["distracting_by_largest"]) for name, row in rows.items()
    } == {"middle lamp": (1, 1), "upper lamp": (0, 0), "lower lamp": (0, 0)}
    rows = {row["label"]: row for row in b["labels"]}
    assert rows["middle lamp"]["mean"] == pytest.approx(
        softmax(-3, 0, 0)[1] - softmax(0, 0, 0)[1], abs=1e-6
    )
    everything = {row["label"]: row for row in found["classes"]["all classes"]["labels"]}
    assert everything["upper lamp"]["images"] == 2 and everything["upper lamp"][
        "mean"
    ] == pytest.approx(gone / 2, abs=1e-6)
    arrays = np.load(lit / "out/deviations.npz")
    assert arrays["deviation"].shape == (3, 3) and arrays["labels"].tolist() == [
        "lower lamp",
        "middle lamp",
        "upper lamp",
    ]
    assert arrays["deviation"][2, 2] == pytest.approx(gone, abs=1e-6) and arrays[
        "correct"
    ].tolist() == [False, True, True]
    assert (lit / "out/classes/a_labels.png").exists() and (
        lit / "out/classes/a_words.png"
    ).exists()


def test_a_label_that_is_absent_dilutes_the_mean_but_not_that_where_present():
    def record(name, *labels):
        end = {"index": 0, "name": "a", "probability": 1.0}
        return {
            "image": name,
            "category": end,
            "predicted": end,
            "true": {**end, "rank": 1},
            "labels": [
                {"name": n, "area": area, "deviation": d, "true_deviation": d, "top": end}
                for n, d, area in labels
            ],
        }

    table = table_of(
        [
            record("x", ("lamp", 0.03, 0.1), ("wall", -0.5, 0.9)),
            record("y", ("wall", 0.1, 1.0)),
            record("z", ("wall", 0.1, 1.0)),
            record("u", ("wall", 0.1, 1.0)),
        ]
    )
    lamp, wall = (
        next(row for row in table["labels"] if row["label"] == name) for name in ("lamp", "wall")
    )
    assert (
        lamp["mean"] == pytest.approx(0.03 / 4)
        and lamp["mean_present"] == pytest.approx(0.03)
        and lamp["present"] == 1
    )
    assert lamp["kind"] == "irrelevant" and lamp["mean_area"] == pytest.approx(0.1)
    assert (
        wall["kind"] == "opposing"
        and wall["mean"] == pytest.approx(-0.05)
        and wall["median"] == pytest.approx(0.1)
    )


def test_the_two_rules_for_distracting_differ():
    end = [
        {"index": i, "name": n, "probability": p}
        for i, (n, p) in enumerate((("a", 0.4), ("b", 0.6)))
    ]
    record = {
        "true": {**end[0], "rank": 2},
        "labels": [
            {"name": "lamp", "top": {**end[0], "probability": 0.7}},
            {"name": "wall", "top": {**end[1], "probability": 0.9}},
            {"name": "door", "top": {**end[0], "probability": 0.6}},
        ],
    }
    assert distracting(record) == (
        {"lamp", "door"},
        set(),
    )  # the largest of the matrix is class b's
    record["labels"][1]["top"]["probability"] = 0.65
    assert distracting(record) == ({"lamp", "door"}, {"lamp"})


def test_a_class_that_is_never_recognised_has_a_table_without_means(lit):
    (lit / "images.csv").write_text(
        "image,mask,class\nin/one.png,maps/one.png,c\nin/two.png,maps/two.png,a\n"
    )
    assert deviate(lit, "--manifest", lit / "images.csv", "--labels", lit / "names.txt") == 0
    found = json.loads((lit / "out/statistics.json").read_text(encoding="utf-8"))["classes"]
    assert found["c"]["correct"] == 0 and all(
        row["mean"] is None and row["kind"] is None for row in found["c"]["labels"]
    )
    assert not (lit / "out/classes/c_words.png").exists()


def test_resume_repairs_what_is_damaged_and_leaves_the_rest(lit, capsys):
    options = (lit / "in", "--segmentation", lit / "maps", "--labels", lit / "names.txt")
    deviate(lit, *options)
    times = {n: (lit / "out" / n / "deviation.json").stat().st_mtime_ns for n in PICTURES}
    (lit / "out/two/deviation.json").write_text('{"format": 1, "labels": [{}]}')
    (lit / "out/three/deviation.json").unlink()
    capsys.readouterr()
    assert deviate(lit, *options) == 0
    assert capsys.readouterr().err.count("there already") == 1
    assert (lit / "out/one/deviation.json").stat().st_mtime_ns == times["one"] and deviation(
        lit, "two"
    )["labels"][0]["name"] == "upper lamp"
    deviate(lit, *options, fill="blur")
    assert deviation(lit, "one")["fill"] == "blur"  # another setting: done again
    (lit / "names.txt").write_text("x\ny\nz\n")
    deviate(lit, *options, fill="blur")
    assert deviation(lit, "one")["labels"][0]["name"] == "x"
    deviate(lit, *options, "--seed", 1, fill="blur")
    assert deviation(lit, "one")["settings"]["seed"] == 1  # a network may draw random numbers


def test_pictures_in_another_style_are_drawn_from_the_record(lit, monkeypatch):
    options = (lit / "in/one.png", "--segmentation", lit / "maps", "--labels", lit / "names.txt")
    assert deviate(lit, *options) == 0
    before, drawn, real = deviation(lit, "one"), [], score_deviation.draw_map
    monkeypatch.setattr(score_deviation, "explain", None)  # nothing is asked of the network again
    monkeypatch.setattr(score_deviation, "draw_map", lambda *a: drawn.append(1) or real(*a))
    assert (
        deviate(lit, *options, "--formats", "png,svg") == 0
        and (lit / "out/one/deviation.svg").is_file()
        and len(drawn) == 1
    )
    paper = (*options, "--style", "paper")
    assert deviate(lit, *paper) == 0 and len(drawn) == 2
    narrow = Image.open(lit / "out/one/deviation_paper.png").width
    assert (
        deviate(lit, *paper, "--width", 6) == 0
        and Image.open(lit / "out/one/deviation_paper.png").width > 1.5 * narrow
    )
    assert deviate(lit, *paper, "--width", 6) == deviate(lit, *options) == 0 and len(drawn) == 3
    assert {k: v for k, v in deviation(lit, "one").items() if k != "settings"} == {
        k: v for k, v in before.items() if k != "settings"
    }
    monkeypatch.undo()
    assert deviate(lit, *options, fill="blur") == 0 and not list(
        (lit / "out/one").glob("*_paper.*")
    )  # no picture of another record stays


def test_images_of_one_name_have_folders_of_their_own_and_the_summary_keeps_all(
    lit, monkeypatch, capsys
):
    Image.open(lit / "in/two.png").save(lit / "in/one.bmp")
    maps = ("--segmentation", lit / "maps", "--labels", lit / "names.txt")
    for name in ("one.bmp", "one.png", "two.png"):  # one run each
        assert deviate(lit, lit / "in" / name, *maps) == 0
    assert (
        deviation(lit, "one")["image"] == "one.bmp"
        and deviation(lit, "one.png")["image"] == "one.png"
    )

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(score_deviation, "look_into", interrupt)
    assert deviate(lit, lit / "in", *maps) == 130
    rows = list(csv.DictReader(open(lit / "out/summary.csv", encoding="utf-8")))
    assert [(row["image"], row["folder"]) for row in rows] == [
        ("one.bmp", "one"),
        ("one.png", "one.png"),
        ("two.png", "two"),
    ]
    (lit / "out/summary.csv").write_bytes(b"image\n\xff\n")
    monkeypatch.undo()
    capsys.readouterr()
    assert (
        deviate(lit, lit / "in/two.png", *maps) == 1
        and "summary.csv: 'utf-8' codec" in capsys.readouterr().err
    )


def test_results_are_not_the_images(lit, capsys):
    assert deviate(lit, lit / "in", "--segmentation", "slic", "--results", lit / "in") == 2
    assert "the folder of the images themselves" in capsys.readouterr().err
    assert (
        deviate(
            lit, lit / "in", "--segmentation", "slic", "--segments", 4, "--results", lit / "in/here"
        )
        == 0
    )
    assert deviate(lit, lit / "in", "--segmentation", "slic", "--segments", 4) == 0
    assert (
        len(list(csv.DictReader(open(lit / "out/summary.csv", encoding="utf-8")))) == 3
    )  # no picture of the other results


def test_ctrl_c_keeps_what_is_finished(lit, monkeypatch, capsys):
    original, done = score_deviation.explain, []

    def interrupt(*arguments):
        if done:
            raise KeyboardInterrupt
        done.append(1)
        return original(*arguments)

    monkeypatch.setattr(score_deviation, "explain", interrupt)
    assert deviate(lit, lit / "in", "--segmentation", lit / "maps") == 130
    assert (
        "interrupted" in capsys.readouterr().err
        and len(list((lit / "out").rglob("deviation.json"))) == 1
    )


@pytest.mark.parametrize(
    "options, words",
    [
        (["{}/in"], "has no label map"),
        (["{}/in", "--segmentation", "{}/no.png"], "no.png"),
        (["{}/none"], "none: no such file"),
        (
            ["{}/in", "--segmentation", "slic", "--labels", "{}/names.txt"],
            "superpixels have no names",
        ),
        (["--manifest", "{}/none.csv"], "none.csv"),
        (["--manifest", "{}/names.txt"], "no column named image"),
        (["--ade20k", "{}"], "not ADE20K's folder"),
        (["--places365", "{}"], "categories_places365.txt"),
        (["{}/in", "--segmentation", "slic", "--category", "7"], "--category 7"),
        (
            ["{}/in", "--segmentation", "slic", "--segments", "1"],
            "--segments: 1 is not a whole number",
        ),
        (["{}/in", "--segmentation", "slic", "--fill", "pink"], "--fill: invalid choice: 'pink'"),
        (["{}/in", "--segmentation", "slic", "--relevant", "2"], "--relevant: 2 "),
        (["--manifest", "{}/twice.csv"], "in/one.png: named twice"),
        (["{}/in", "--segmentation", "slic", "--class-names", "{}/two.txt"], "--class-names"),
    ],
)
def test_unusable_arguments_are_one_line(lit, capsys, options, words):
    (lit / "two.txt").write_text("a\nb\n")
    (lit / "twice.csv").write_text("image,mask\nin/one.png,maps/one.png\nin/one.png,maps/two.png\n")
    assert deviate(lit, *(o.replace("{}", str(lit)) for o in options)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and words in lines[0], lines


def test_a_bad_image_of_a_set_is_named_and_the_others_are_done(lit, capsys):
    Image.fromarray(np.zeros((9, 12), np.uint8)).save(lit / "maps/two.png")
    rows = [
        "in/one.png,maps/one.png,a",
        "in/two.png,maps/two.png,a",
        "in/three.png,maps/none.png,a",
        "in/four.png,maps/one.png,a",
        "in/five.png,maps/one.png,zebra",
    ]
    for name in ("four", "five"):
        (lit / f"in/{name}.png").write_bytes(
            b"no picture" if name == "four" else (lit / "in/one.png").read_bytes()
        )
    (lit / "images.csv").write_text("image,mask,class\n" + "\n".join(rows) + "\n")
    assert deviate(lit, "--manifest", lit / "images.csv", "--labels", lit / "names.txt") == 1
    err = capsys.readouterr().err
    for words in (
        "in/two.png: label map",
        "12 x 9 pixels, the image two.png has 12 x 12",
        "in/three.png: ",
        "none.png",
        "in/four.png: cannot read it: not an image",
        "class zebra: the network has no such class",
        "1 records",
    ):
        assert words in err, (words, err)
    assert (
        "Traceback" not in err
        and len(list(csv.DictReader(open(lit / "out/summary.csv", encoding="utf-8")))) == 5
    )


def test_labels_without_a_name_are_named(lit, capsys):
    (lit / "names.txt").write_text("upper lamp\n\nlower lamp\n")
    assert (
        deviate(
            lit,
            lit / "in/one.png",
            "--segmentation",
            lit / "maps/one.png",
            "--labels",
            lit / "names.txt",
        )
        == 1
    )
    assert "one.png: no name for label 2 in the label map" in capsys.readouterr().err


# ---------------------------------------------------------------- loaders and segmentation networks


def test_a_class_is_a_name_first_and_a_number_second():
    labels = ["7", "bus_stop", "1", "crane, bird"]
    assert [
        scene_sets.truth_of(t, labels)
        for t in ("1", 1, "0", "Bus stop", "bus_stop", "crane", "3", None)
    ] == [2, 1, 0, 1, 1, 3, 3, None]
    for wrong in ("4", 4, "bus"):
        with pytest.raises(ValueError, match=f"class {wrong}: the network has no such class"):
            scene_sets.truth_of(wrong, labels)


@pytest.mark.parametrize("names", ["objectInfo150.csv", "objectInfo150.txt"])
def test_ade20k_in_its_standard_folder(lit, capsys, names):
    for folder, picture, ending in (
        ("images/validation", "in", "jpg"),
        ("annotations/validation", "maps", "png"),
    ):
        (lit / "ade" / folder).mkdir(parents=True)
        Image.open(lit / picture / "three.png").save(
            lit / "ade" / folder / f"ADE_val_00000001.{ending}", quality=100, subsampling=0
        )
    tab = "\t" if names.endswith("txt") else ","
    (lit / "ade" / names).write_text(
        "\n".join(
            tab.join(row)
            for row in (
                ("Idx", "Ratio", "Name"),
                ("1", ".1", "upper;lamp"),
                ("2", ".2", "wall"),
                ("3", ".3", "floor"),
            )
        )
    )
    (lit / "ade/sceneCategories.txt").write_text("ADE_val_00000001 a\n")
    assert (
        deviate(lit, "--ade20k", lit / "ade", "--segmentation", "slic") == 0
    )  # for images without a label map of their own
    assert deviate(lit, "--ade20k", lit / "ade") == 0
    (lit / "ade/sceneCategories.txt").write_text("ADE_val_00000001 zebra_crossing\n")
    assert (
        deviate(lit, "--ade20k", lit / "ade") == 0
        and "1 of 1 images show a scene that is no class" in capsys.readouterr().err
    )
    assert deviation(lit, "validation/ADE_val_00000001")["true"] is None
    (lit / "ade/sceneCategories.txt").write_text("ADE_val_00000001 a\n")
    assert deviate(lit, "--ade20k", lit / "ade") == 0
    record = deviation(lit, "validation/ADE_val_00000001")
    assert (
        [label["name"] for label in record["labels"]] == ["upper", "wall", "floor"]
        and record["true"]["name"] == "a"
        and record["true"]["rank"] == 1
    )


def test_places365_in_its_standard_folders(lit, capsys):
    places, flat = lit / "places", lit / "flat"
    for folder in (
        places / "val/a",
        places / "val/b-outdoor",
        places / "noisy_annotations_RGB/val/a",
        flat / "val_256",
    ):
        folder.mkdir(parents=True)
    for folder in (places, flat):
        (folder / "categories_places365.txt").write_text("/a/a 0\n/b/b/outdoor 1\n/c/c 2\n")
    shutil.copy(lit / "in/three.png", places / "val/a/Places365_val_00000001.png")
    shutil.copy(lit / "in/two.png", places / "val/b-outdoor/Places365_val_00000002.png")
    shutil.copy(lit / "in/two.png", flat / "val_256/Places365_val_00000002.png")
    (flat / "places365_val.txt").write_text("Places365_val_00000002.png 1\n")
    labels = np.asarray(Image.open(lit / "maps/three.png"))
    Image.fromarray(np.dstack([labels * 0, labels * 5, labels - 1])).save(
        places / "noisy_annotations_RGB/val/a/Places365_val_00000001.png"
    )
    items = scene_sets.places365(places)
    assert [(item.name, item.truth) for item in items] == [
        ("a/Places365_val_00000001.png", 0),
        ("b-outdoor/Places365_val_00000002.png", 1),
    ]
    assert items[0].mask and items[1].mask is None and scene_sets.places365(flat)[0].truth == 1
    assert deviate(lit, "--places365", places, "--segmentation", "slic", "--segments", 4) == 0
    first, second = (
        deviation(lit, "a/Places365_val_00000001"),
        deviation(lit, "b-outdoor/Places365_val_00000002"),
    )
    assert [label["name"] for label in first["labels"]] == [
        "label 1",
        "label 2",
        "label 3",
    ] and second["labels"][0]["name"].startswith("S")
    (places / "categories_places365.txt").write_text(
        "/a/a 0\n/b/b/outdoor 1\n"
    )  # numbers of these two say nothing to a network of three
    capsys.readouterr()
    assert (
        deviate(lit, "--places365", places, "--segmentation", "slic") == 2
        and "2 categories, but the model has 3 classes" in capsys.readouterr().err
    )
    (flat / "places365_val.txt").write_text("Places365_val_00000002.png 9\n")
    with pytest.raises(UserError, match="number of a class"):
        scene_sets.places365(flat)


def test_a_segmentation_network_with_weights_of_ones_own(lit, capsys):
    torch.manual_seed(0)
    module = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=4
    )
    module.classifier.low_classifier.bias.data = torch.tensor(
        [0.0, 0.0, 99.0, 0.0]
    )  # everything is label 2
    torch.save(module.state_dict(), lit / "seg.pth")
    options = (
        lit / "in/one.png",
        "--segmentation",
        "lraspp_mobilenet_v3_large",
        "--segmentation-weights",
    )
    assert deviate(lit, *options, lit / "seg.pth") == 0
    assert [label["name"] for label in deviation(lit, "one")["labels"]] == ["label 2"]
    assert (
        deviate(lit, *options, lit / "names.txt") == 2
        and "--segmentation-weights" in capsys.readouterr().err
    )


# ---------------------------------------------------------------- the bundled scenes


def test_the_bundled_part_maps_are_those_of_the_bundled_scenes():
    for name, scene in part_scenes.bundled():
        assert np.array_equal(load_label_map(PROJECT / f"birds/part_maps/{name}.png"), scene.labels)
        assert np.array_equal(load_image(PROJECT / f"Images/{name}.png", (224, 224)), scene.image)
    assert tuple(read_names(PROJECT / "birds/part_names.txt").values())[1:] == LABEL_NAMES


@pytest.mark.parametrize(
    "category, number, odd", [(1, 5, "crest"), (8, 2, "crest"), (9, 2, "feet"), (11, 2, "tail")]
)
def test_a_part_of_another_class_speaks_against_the_true_one(category, number, odd):
    scene = part_scenes.scene_of(category, "odd", [5, category, number])
    assert [p for p, v, w in zip(PARTS, scene.variants, CLASSES[category][1]) if v != w] == [odd]
    numbers, d = score_deviations(load_network("birds", None, None, CPU), scene.image, scene.labels)
    values = dict(zip(numbers, d[:, category]))
    assert (
        min(values, key=values.get) == PARTS.index(odd) + 1 and values[PARTS.index(odd) + 1] < -0.3
    )


def test_ade20k_photos_with_a_real_network(tmp_path):
    shared = Path(os.environ.get("SAG_SHARED", PROJECT.parent / "shared"))
    weights = shared / "weights/resnet18.pth"
    if not weights.is_file() or not (shared / "ade20k/images").is_dir():
        pytest.skip(
            f"no weights/resnet18.pth and ade20k/ in {shared.name}/ beside the project (or in $SAG_SHARED)"
        )
    options = (
        "--ade20k",
        shared / "ade20k",
        "--model",
        "resnet18",
        "--weights",
        weights,
        "--results",
        tmp_path,
        "--device",
        "cpu",
    )
    assert main([str(o) for o in options]) == 0
    record = json.loads((tmp_path / "ADE_val_00000001/deviation.json").read_text(encoding="utf-8"))
    assert max(record["labels"], key=lambda label: label["deviation"])[
        "name"
    ] == "building" and sum(record["regions"]["areas"]) == pytest.approx(1)
