"""Concept debugging: graphs and their comparison by hand, selections with known answers, training that resumes, and the loop closed."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import concept_debug
from companions.concepts import demo as concept_demo, improve as concept_improve
from companions.concepts import need as concept_need
from companions.concepts.graphs import (
    bounding_boxes,
    compare,
    concept_order,
    concepts_of,
    model_graph,
    phrase,
    read_graph,
)
from companions.concepts.debug_images import entropy, look_at, s_active, s_random, s_similarity
from companions.concepts.fine_tuning import Recipe, fine_tune, rate
from companions.concepts.labelled_images import labelled_folder
from birds.cue_world import CONCEPTS, CUE, CUED, NAMES, at_dusk, cue_scene, human_graph
from scoring.regions import Regions
from scoring.networks import Network
from utils import UserError

CPU = torch.device("cpu")


def run(*words):
    """main() in this process -> its exit status."""
    try:
        return concept_debug.main([str(w) for w in words])
    except SystemExit as end:
        return end.code


def one_line(capsys):
    lines = [
        line
        for line in capsys.readouterr().err.replace("\r", "\n").splitlines()
        if line.strip() and "image/s" not in line
    ]
    assert len(lines) == 1, lines
    return lines[0]


def network_of(module, classes=2, size=8):
    module = module.eval().requires_grad_(False)
    return Network(
        module,
        "planted",
        "0",
        [f"class {i}" for i in range(classes)],
        (size, size),
        (0.0,) * 3,
        (1.0,) * 3,
        CPU,
    )


def linear(seed=0, classes=2, size=8):
    torch.manual_seed(seed)
    return network_of(
        torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(3 * size * size, 5),
            torch.nn.Tanh(),
            torch.nn.Linear(5, classes),
        ),
        classes,
        size,
    )


def marked(name, number=1):
    return {"object_id": number, "name": name, "attributes": [], "x": 0, "y": 1, "w": 2, "h": 3}


def graph(*names):
    return {
        str(n): {
            "objects": [marked(name, n)],
            "relationships": [],
            "phrase": f"a bird with a {name}",
        }
        for n, name in enumerate(names, 1)
    }


# ---------------------------------------------------------------- graphs

LABELS = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 3, 3], [3, 3, 0, 0]])


def test_the_networks_graph_by_hand():
    regions = Regions.of(LABELS, {0: "unlabelled", 1: "wing", 2: "eye", 3: "dusk"})
    assert bounding_boxes(regions, (4, 4)) == [
        (2, 3, 2, 1),
        (0, 0, 2, 2),
        (2, 0, 2, 2),
        (0, 2, 4, 2),
    ]
    made = model_graph(
        regions, [0.0, 0.02, 0.5, 0.01], "owl", (40, 80)
    )  # 0.01 itself is not above 0.01; the picture is 80 x 40
    assert made == {
        "1": {
            "objects": [
                {"object_id": 1, "name": "eye", "attributes": [], "x": 40, "y": 0, "w": 40, "h": 20}
            ],
            "relationships": [],
            "phrase": "an owl with an eye",
        },
        "2": {
            "objects": [
                {"object_id": 2, "name": "wing", "attributes": [], "x": 0, "y": 0, "w": 40, "h": 20}
            ],
            "relationships": [],
            "phrase": "an owl with a wing",
        },
    }
    assert model_graph(regions, [0.9, 0, 0, 0], "owl", (4, 4)) == {} and concept_order(
        regions, [0.9, 0, 0.2, 0.1]
    ) == ([2, 3, 0, 1], 2)  # 0: unlabelled
    assert (
        phrase("jay", "wing") == "a jay with a wing"
        and model_graph(regions, [0, 0, 0, 0], "owl", (4, 4)) == {}
    )


def test_a_graph_that_is_written_is_read_again(tmp_path):
    scene, labels = cue_scene(2, [5, 5], cue=True)
    truth = human_graph(scene, 2)
    (tmp_path / "g.json").write_text(json.dumps(truth))
    assert read_graph(tmp_path / "g.json") == truth and concepts_of(truth) == [
        "beak",
        "crest",
        "wing",
        "tail",
        "feet",
    ]
    assert sum(len(r["relationships"]) for r in truth.values()) == 1
    for region in truth.values():  # each box holds its part's pixels, and no more
        for o in region["objects"]:
            ys, xs = np.nonzero(labels == 1 + CONCEPTS.index(o["name"]))
            assert (o["x"], o["y"], o["w"], o["h"]) == (
                xs.min(),
                ys.min(),
                np.ptp(xs) + 1,
                np.ptp(ys) + 1,
            )


def damage(change):
    g = graph("wing", "dusk")
    g["2"]["relationships"] = [
        {"relationship_id": 1, "subject_id": 2, "object_id": 2, "name": "on"}
    ]
    change(g)
    return json.dumps(g)


@pytest.mark.parametrize(
    "text, place",
    [
        ('{"1": {\n "objects": [', "line 2, column 14"),
        ("", "line 1, column 1"),
        ("[1]", "not an object of regions"),
        ('{"1": 5}', "region 1: not an object"),
        (damage(lambda g: g["2"]["objects"][0].pop("x")), "region 2, objects 0: x is missing"),
        (
            damage(lambda g: g["2"]["objects"][0].update(x="left")),
            "region 2, objects 0: x is 'left', not a number",
        ),
        (
            damage(lambda g: g["1"]["objects"][0].update(h=float("nan"))),
            "region 1, objects 0: h is nan",
        ),
        (
            damage(lambda g: g["1"]["objects"][0].update(name=" ")),
            "region 1, objects 0: name is ' ', not a name",
        ),
        (damage(lambda g: g["1"].update(objects={})), "region 1: objects is {}, not a list"),
        (damage(lambda g: g["1"].pop("phrase")), "region 1: phrase is missing"),
        (
            damage(lambda g: g["2"]["relationships"][0].update(subject_id=9)),
            "region 2, relationships 0: subject_id 9 is no object of this region",
        ),
    ],
)
def test_a_damaged_annotation_is_named_with_its_place(tmp_path, text, place):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ValueError) as error:
        read_graph(tmp_path / "bad.json")
    assert f"bad.json: {place}" in str(error.value) and "\n" not in str(error.value)


def test_comparison_by_hand():
    one = compare(["dusk", "Left_Wing", "beak"], ["left wing", "crest", "tail", "beak"])
    assert (one.valid, one.confounded, one.missed) == (
        ["left wing", "beak"],
        ["dusk"],
        ["crest", "tail"],
    )
    assert (one.precision, one.recall, one.f1) == (2 / 3, 0.5, 4 / 7)
    nothing = compare([], [])
    assert (nothing.precision, nothing.recall, nothing.f1) == (None, None, None)
    assert (
        compare([], ["a"]).f1 == 0
        and compare([], ["a"]).precision is None
        and compare(["a"], []).recall is None
    )


def test_compare_loses_nothing_to_a_damaged_file(tmp_path, capsys):
    out, human = tmp_path / "out", tmp_path / "human"
    for name, model, person in (
        ("jay/a", ["wing", "dusk"], ["wing"]),
        ("jay/b", ["dusk", "sand"], ["wing", "beak"]),
        ("kite/c", ["crest"], ["crest"]),
    ):
        for folder, names in ((out / "graphs", model), (human, person)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.json").write_text(json.dumps(graph(*names)))
    (human / "jay/bad.json").write_text('{"1": ')
    (out / "graphs/jay/bad.json").write_text(json.dumps(graph("wing")))
    (human / "jay/unknown.json").write_text(json.dumps(graph("wing")))
    for place in (out / "graphs", human):
        (place / "jay/old.json").write_text(json.dumps(graph("wing")))
    assert run("compare", "--human", human, "--results", out) == 2 and "explain.json" in one_line(
        capsys
    )
    (out / "explain.json").write_text(
        json.dumps({"graphs": ["jay/a", "jay/b", "jay/bad", "kite/c"]})
    )
    assert run("compare", "--human", human, "--results", out) == 1
    said = capsys.readouterr().err
    assert (
        "jay/bad.json: line 1, column 7" in said
        and "jay/unknown" in said
        and "Traceback" not in said
    )
    assert (
        "failed: jay/old: " in said and "when it last ran" in said
    )  # a graph that another run left
    rows = {r["image"]: r for r in csv.DictReader(open(out / "compare.csv"))}
    assert (
        len(rows) == 6
        and rows["jay/bad"]["error"]
        and float(rows["jay/a"]["f1"]) == pytest.approx(2 / 3)
        and rows["jay/b"]["hard"] == "True"
    )
    found = json.loads((out / "compare.json").read_text())
    assert (
        found["hard"] == ["jay/b"]
        and found["classes"]["jay"]["images"] == 2
        and found["classes"]["jay"]["precision"] == 0.25
    )
    assert [(e["class"], e["concept"], e["images"]) for e in found["confounded"]] == [
        ("jay", "dusk", 2),
        ("jay", "sand", 1),
    ]
    assert Image.open(out / "compare.png").width > 300


def test_the_mean_of_a_confounded_concept_is_over_all_images_of_its_class():
    def one(category, confounded, **deviations):
        return category, compare(confounded, ["wing"]), deviations

    found = [
        one("jay", ["dusk"], dusk=0.6),
        one("jay", [], dusk=-0.2),
        one("jay", ["wing"], wing=0.5),
        one("kite", [], dusk=0.9),
    ]
    assert [
        (e["class"], e["concept"], e["images"], e["of"])
        for e in concept_debug.most_confounded(found)
    ] == [("jay", "dusk", 1, 3)]
    assert concept_debug.most_confounded(found)[0]["deviation"] == pytest.approx((0.6 - 0.2) / 3)


# ---------------------------------------------------------------- selections


def test_s_similarity_on_planted_embeddings():
    embeddings = np.array([[0, 0], [4, 0], [2, 1], [9, 9], [2, 3], [0, 1]], np.float32)
    truth, predicted = np.array([0, 0, 0, 0, 1, 1]), np.array([1, 1, 0, 0, 1, 1])
    chosen = s_similarity(
        embeddings, truth, predicted, 3
    )  # the misclassified of class 0 lie at (0, 0) and (4, 0): their mean is (2, 0)
    assert [(c.index, c.category, c.rank, c.score) for c in chosen] == [
        (2, 0, 1, 1.0),
        (0, 0, 2, 4.0),
        (1, 0, 3, 4.0),
    ]  # none of class 1


def test_s_active_takes_the_least_sure_of_each_class():
    p = np.array([[0.9, 0.1], [0.5, 0.5], [1, 0], [0.2, 0.8], [0.4, 0.6]])
    assert entropy(p)[1] == pytest.approx(np.log(2)) and entropy(p)[2] == 0
    assert [c.index for c in s_active(p, np.array([0, 0, 0, 1, 1]), 2)] == [1, 0, 4, 3]


def test_s_random_is_seeded_and_does_not_depend_on_other_classes():
    truth = np.array([0] * 20 + [3] * 20 + [5])
    chosen = s_random(truth, 6, seed=1)
    assert [c.category for c in chosen] == [0] * 6 + [3] * 6 + [5] and len(
        {c.index for c in chosen}
    ) == 13  # the one-image class gives its one
    assert chosen == s_random(truth, 6, seed=1) != s_random(truth, 6, seed=2)
    assert [c.index for c in chosen if c.category == 3] == [
        c.index + 20 for c in s_random(np.array([3] * 20), 6, seed=1)
    ]


def test_embeddings_are_what_the_last_layer_gets():
    network, pictures = linear(), np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), np.uint8)
    numbers, seen = look_at(network, enumerate(pictures), batch_size=3)
    x = torch.stack([network.prepare(p) for p in pictures])
    assert numbers == list(range(7)) and np.allclose(
        seen.embeddings, network.module[:3](x), atol=1e-6
    )
    assert np.allclose(seen.probabilities, network.module(x).softmax(1), atol=1e-6)
    _, none = look_at(linear(), iter(()))
    assert none.probabilities.shape == (0, 2)


# ---------------------------------------------------------------- training


def test_training_goes_on_where_it_was_cut_off_and_leaves_the_given_network(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    network, recipe, truth = (
        linear(),
        Recipe(steps=20, batch=4, lr=0.01, hide=0.5, mixup=0.2, cutmix=1.0),
        [0, 1, 0, 1, 1],
    )
    untouched = {k: v.clone() for k, v in network.module.state_dict().items()}
    whole = fine_tune(network, pictures.__getitem__, truth, recipe).module.state_dict()
    seen = []

    def stop(loss):
        seen.append(loss)
        if len(seen) == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(network, pictures.__getitem__, truth, recipe, tmp_path / "c", stop)
    losses = []
    again = fine_tune(
        network, pictures.__getitem__, truth, recipe, tmp_path / "c", losses.append
    ).module.state_dict()
    assert all(
        torch.equal(whole[k], again[k]) and not torch.equal(whole[k], untouched[k]) for k in whole
    )
    assert (
        np.isnan(losses[:12]).all()
        and np.isfinite(losses[12:]).all()
        and len(losses) == 20
        and not (tmp_path / "c").exists()
    )
    assert all(torch.equal(v, untouched[k]) for k, v in network.module.state_dict().items())
    (tmp_path / "c").write_bytes(b"damaged")
    third = fine_tune(
        network, pictures.__getitem__, truth, recipe, tmp_path / "c"
    ).module.state_dict()
    assert all(torch.equal(whole[k], third[k]) for k in whole)
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        fine_tune(network, pictures.__getitem__, truth, recipe, tmp_path / "c", stop, "these")
    losses.clear()
    fine_tune(
        network, pictures.__getitem__, truth, recipe, tmp_path / "c", losses.append, "others"
    )  # as many, of the same classes: from the beginning
    assert np.isfinite(losses).all() and len(losses) == 20


def test_training_learns_from_one_image_and_refuses_none():
    picture = np.full((8, 8, 3), 90, np.uint8)
    tuned = fine_tune(
        linear(), lambda i: picture, [1], Recipe(steps=60, batch=4, lr=0.05, erase=0.0)
    )
    assert tuned.module(tuned.prepare(picture)[None]).softmax(1)[0, 1] > 0.9
    with pytest.raises(ValueError, match="no image"):
        fine_tune(linear(), None, [], Recipe())
    rates = [rate(s, 100) for s in range(100)]
    assert max(rates) == rates[9] == 1 and min(rates) > 0 and rates[0] == pytest.approx(0.1)
    assert rates[:10] == sorted(rates[:10]) and rates[9:] == sorted(rates[9:], reverse=True)


# ---------------------------------------------------------------- need


class TwoHalves(torch.nn.Module):
    """Class 1 where the left half is bright and, unless it is only the left that counts, the right half as well."""

    def __init__(self, left_only):
        super().__init__()
        self.left_only = left_only

    def forward(self, x):
        left, right = (half.mean((1, 2, 3)) for half in x.chunk(2, 3))
        p = (torch.where((left > 0.8) & ((right > 0.8) | self.left_only), 0.96, 0.03) + 0 * left)[
            :, None
        ]
        return torch.cat([1 - p, p], 1).log()


@pytest.mark.parametrize("left_only, deviation, needing", [(False, 0.93, 1), (True, 0.0, 0)])
def test_the_need_of_a_region_is_known(left_only, deviation, needing):
    picture = np.full((28, 28, 3), 255, np.uint8)
    regions = Regions.of(np.repeat([[1] * 14 + [2] * 14], 28, 0), {1: "bird", 2: "dusk"})
    need = concept_need.need_of(
        network_of(TwoHalves(left_only), size=28), picture, regions, 1, 1, fill="black"
    )
    assert need.deviation == pytest.approx(
        deviation, abs=1e-6
    ) and need.probability == pytest.approx(0.96)
    assert need.named == concept_need.Roots(1, needing) and need.patches.found >= 1
    assert need.patches.needing == (need.patches.found if needing else 0)
    told = concept_need.summary([need, need], 0.01)
    assert told["named"] == {
        "images": 2,
        "mses": 2,
        "mses_needing": needing,
        "sags_needing": needing,
        "sags_with_one": needing,
    }
    assert told["relevant"] == needing and concept_need.summary([], 0.01)["deviation"] is None


# ---------------------------------------------------------------- bad input


@pytest.fixture
def pool(tmp_path):
    """A folder per class of small pictures, one class with a single picture, one with none; and the options of a network for them."""
    rng = np.random.default_rng(0)
    for place in ("harbour_kite/a", "harbour_kite/b", "painted crake/c"):
        (tmp_path / "pool" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(
            tmp_path / "pool" / f"{place}.png"
        )
    (tmp_path / "pool/thistle shrike").mkdir()
    (tmp_path / "classes.txt").write_text("\n".join(NAMES) + "\n")
    torch.manual_seed(0)
    return tmp_path / "pool", (
        "--model",
        concept_demo.NETWORK,
        "--class-names",
        tmp_path / "classes.txt",
        "--results",
        tmp_path / "out",
        "--device",
        "cpu",
    )


def test_folders_name_classes(pool):
    images = labelled_folder(pool[0], NAMES)
    assert images.truth.tolist() == [0, 0, 1] and images.empty == ["thistle shrike"]
    (pool[0] / "out/painted crake").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(pool[0] / "out/painted crake/numbered.png")
    among = labelled_folder(pool[0], NAMES, results=pool[0] / "out")
    assert len(among) == 3 and among.empty == ["thistle shrike"]
    shutil.rmtree(pool[0] / "out")
    Image.new("RGB", (9, 9)).save(pool[0] / "stray.png")
    with pytest.raises(UserError, match="stray.png lies in no class's folder"):
        labelled_folder(pool[0], NAMES)
    with pytest.raises(
        UserError, match="folder harbour_kite: class harbour_kite: the network has no such class"
    ):
        labelled_folder(pool[0], ["a", "b"])


def test_select_one_image_classes_an_empty_class_and_a_damaged_picture(pool, tmp_path, capsys):
    images, model = pool
    (images / "harbour_kite/cut.png").write_bytes(b"\x89PNG cut")
    assert run("select", "--images", images, "--per-class", 5, *model) == 1
    said = capsys.readouterr().err
    assert (
        "thistle shrike: no image" in said
        and "failed: harbour_kite/cut.png" in said
        and "Traceback" not in said
    )
    for strategy in ("random", "similarity", "active"):
        rows = list(csv.DictReader(open(tmp_path / f"out/selection_{strategy}.csv")))
        assert sorted(r["image"] for r in rows) == [
            "harbour_kite/a.png",
            "harbour_kite/b.png",
            "painted crake/c.png",
        ]
        assert (tmp_path / f"out/selection_{strategy}.png").is_file()


def test_select_looks_once(pool, monkeypatch):
    calls, real = [], look_at
    monkeypatch.setattr(concept_debug, "look_at", lambda *a: calls.append(1) or real(*a))
    for _ in range(2):
        assert run("select", "--images", pool[0], *pool[1]) == 0
    assert len(calls) == 1


@pytest.mark.parametrize(
    "rows, words",
    [
        ("image\na.png\n", "line 2 has no class"),
        ("image,class\nharbour_kite/z.png,harbour kite\n", "line 2: no harbour_kite/z.png"),
        ("image,class\nharbour_kite/a.png,owl\n", "line 2: class owl"),
        ("image,class\n", "no row"),
        (None, "No such file"),
    ],
)
def test_a_selection_that_cannot_be_used_is_one_line(pool, tmp_path, capsys, rows, words):
    if rows is not None:
        (tmp_path / "s.csv").write_text(rows)
    assert (
        run(
            "improve",
            "--images",
            pool[0],
            "--selection",
            tmp_path / "s.csv",
            "--test",
            pool[0],
            *pool[1],
        )
        == 2
    )
    line = one_line(capsys)
    assert "s.csv" in line and words in line


def test_other_unusable_arguments_are_one_line(pool, tmp_path, capsys):
    images, model = pool
    (tmp_path / "s.csv").write_text("image,class\nharbour_kite/a.png,harbour kite\n")
    common = ("improve", "--images", images, "--selection", tmp_path / "s.csv", *model)
    for words, expected in (
        ((*common, "--test", images, "--concept", "dusk"), "only with --segmentation"),
        ((*common, "--test", tmp_path / "no"), "--test"),
        ((*common, "--test", images, "--segmentation", "slic"), "compare.json"),
        (
            (
                *common,
                "--test",
                images,
                "--segmentation",
                "slic",
                "--class",
                "owl",
                "--concept",
                "dusk",
            ),
            "--class owl",
        ),
        (
            (
                *common,
                "--test",
                images,
                "--segmentation",
                "slic",
                "--class",
                "painted crake",
                "--concept",
                "dusk",
            ),
            "--concept dusk",
        ),
        ((*common, "--test", images, "--weight-decay", -1), "--weight-decay: -1 is"),
        ((*common, "--test", images, "--erase", 1.1), "--erase: 1.1 is"),
        (("compare", "--human", tmp_path / "no"), "no such folder"),
        (("compare", "--human", images), "no .json"),
        (("select", "--images", images, "--per-class", "0", *model), "--per-class"),
        (("explain",), "--images"),
        (
            ("explain", "--segmentation", images, "--images", images, *model, "--results", images),
            "the folder of the images themselves",
        ),
        (
            ("select", "--images", images, *model, "--results", images),
            "the folder of the images themselves",
        ),
        (("dance",), "dance"),
        (("explain", "--images", images, *model), "superpixels (slic) have no names"),
        (
            ("explain", "--images", images, "--segmentation", "slic", *model),
            "superpixels (slic) have no names",
        ),
    ):
        assert run(*words) == 2
        assert expected in one_line(capsys)


def test_real_folders_are_trained_on_and_measured_without_label_maps(pool, tmp_path, capsys):
    (tmp_path / "mine.csv").write_text(
        "image,class\nharbour_kite/a.png,harbour kite\npainted crake/c.png,painted crake\n"
    )
    words = (
        "improve",
        "--images",
        pool[0],
        "--selection",
        tmp_path / "mine.csv",
        "--test",
        pool[0],
        "--steps",
        4,
        "--mixup",
        0.8,
        "--cutmix",
        1,
        "--erase",
        0,
        "--weight-decay",
        0,
        "--hide",
        0,
        *pool[1],
    )
    assert run(*words) == 0
    rows = json.loads((tmp_path / "out/improve.json").read_text())["rows"]
    assert (
        [r["network"] for r in rows] == ["before", "mine"]
        and rows[1]["images"] == 2
        and rows[1]["need"] is None
        and rows[1]["test"]["images"] == 3
    )
    weights = tmp_path / "out/improved/mine.safetensors"
    assert (
        run("select", "--images", pool[0], "--weights", weights, *pool[1]) == 0
    )  # the weights are for --weights
    torch.manual_seed(0)


def test_improve_keeps_what_is_trained_when_it_is_interrupted_and_trains_again_on_other_pictures(
    pool, tmp_path, monkeypatch
):
    images, model = pool
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(
            f"image,class\nharbour_kite/{name}.png,harbour kite\n"
        )
    words = (
        "improve",
        "--images",
        images,
        "--selection",
        tmp_path / "a.csv",
        tmp_path / "b.csv",
        "--test",
        images,
        "--steps",
        2,
        *model,
    )
    trained, real = [], concept_improve.fine_tune
    monkeypatch.setattr(concept_improve, "fine_tune", lambda *a: trained.append(1) or real(*a))
    assert run(*words) == 0 and len(trained) == 2

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(concept_improve, "fine_tune", interrupt)
        assert run(*words, "--overwrite") == 130  # after the row of the network as it is
    assert (
        run(*words) == 0 and len(trained) == 2
    )  # the rows that were not gone through are still there
    assert run(*words[:4], tmp_path / "b.csv", *words[6:]) == 0 and len(trained) == 2
    assert [r["network"] for r in csv.DictReader(open(tmp_path / "out/improve.csv"))] == [
        "before",
        "b",
    ]  # the table is of this run
    assert run(*words) == 0 and len(trained) == 2
    shutil.copytree(images, tmp_path / "others")
    Image.new("RGB", (64, 64)).save(
        tmp_path / "others/harbour_kite/b.png"
    )  # the same name, another picture
    others = [
        tmp_path / "others" if word is images and words[n - 1] == "--images" else word
        for n, word in enumerate(words)
    ]
    assert run(*others) == 0 and len(trained) == 3


def test_a_damaged_picture_is_named_again_by_the_same_command(pool, tmp_path, capsys, monkeypatch):
    images, model = pool
    (images / "harbour_kite/b.png").write_bytes(b"damaged")
    (tmp_path / "s.csv").write_text(
        "image,class\nharbour_kite/a.png,harbour kite\nharbour_kite/b.png,harbour kite\n"
    )
    words = (
        "improve",
        "--images",
        images,
        "--selection",
        tmp_path / "s.csv",
        "--test",
        images,
        "--steps",
        2,
        *model,
    )
    assert run(*words) == 1
    monkeypatch.setattr(concept_improve, "fine_tune", None)  # nothing is trained twice
    capsys.readouterr()
    assert (
        run(*words) == 1
        and capsys.readouterr().err.count("failed: harbour_kite/b.png: cannot read it") == 1
    )


def test_a_selection_that_cannot_be_trained_on_leaves_the_others(pool, tmp_path, capsys):
    images, model = pool
    (images / "harbour_kite/b.png").write_bytes(b"damaged")
    for name in "ba":
        (tmp_path / f"{name}.csv").write_text(
            f"image,class\nharbour_kite/{name}.png,harbour kite\n"
        )
    assert (
        run(
            "improve",
            "--images",
            images,
            "--selection",
            tmp_path / "b.csv",
            tmp_path / "a.csv",
            "--test",
            images,
            "--steps",
            2,
            *model,
        )
        == 1
    )
    said = capsys.readouterr().err
    assert "b.csv: none of its 1 pictures can be read" in said and "Traceback" not in said
    assert [r["network"] for r in csv.DictReader(open(tmp_path / "out/improve.csv"))] == [
        "before",
        "a",
    ] and (tmp_path / "out/improve.png").is_file()


@pytest.mark.parametrize("step", ["select", "improve"])
def test_a_network_that_answers_nan_is_one_line(tmp_path, capsys, step):
    model = f"{concept_demo.PROJECT}/tests/planted.py:answers_nan"
    (tmp_path / "in/class 0").mkdir(parents=True)
    Image.new("RGB", (56, 56), "white").save(tmp_path / "in/class 0/a.png")
    (tmp_path / "s.csv").write_text("image,class\nclass 0/a.png,class 0\n")
    words = {
        "select": (),
        "improve": ("--selection", tmp_path / "s.csv", "--test", tmp_path / "in"),
    }[step]
    assert (
        run(
            step,
            "--images",
            tmp_path / "in",
            "--model",
            model,
            "--results",
            tmp_path / "out",
            "--device",
            "cpu",
            *words,
        )
        == 2
    )
    line = one_line(capsys)
    assert "answers_nan: the model answers NaN" in line


class InTraining(torch.nn.Module):
    """Answers in training as GoogLeNet and Inception do: a tuple, the logits first."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)

    def forward(self, x):
        logits = self.layer(x.mean((2, 3)))
        return torchvision.models.GoogLeNetOutputs(logits, None, None) if self.training else logits


def test_a_network_that_answers_a_tuple_in_training_is_trained():
    torch.manual_seed(0)
    picture = np.full((8, 8, 3), 90, np.uint8)
    tuned = fine_tune(
        network_of(InTraining()),
        lambda i: picture,
        [1],
        Recipe(steps=60, batch=4, lr=0.05, erase=0.0),
    )
    assert tuned.module(tuned.prepare(picture)[None]).softmax(1)[0, 1] > 0.9


# ---------------------------------------------------------------- the loop


def test_the_planted_world_is_as_it_says():
    rng = np.random.default_rng(0)
    shares = [np.mean([at_dusk(c, rng) for _ in range(4000)]) for c in range(len(NAMES))]
    for name, share in zip(NAMES, shares):
        assert share == pytest.approx(0.95 if name == CUED else 0.05 / 3, abs=0.015)
    for cue in (True, False):
        scene, labels = cue_scene(2, [1, 1], cue)
        assert (scene.background == CUE) == cue and set(np.unique(labels)) == {
            *range(1, 7),
            1 + CONCEPTS.index(scene.background),
        }


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """The demo in a tiny world, once."""
    folder = tmp_path_factory.mktemp("loop")
    with pytest.MonkeyPatch.context() as small:
        small.setattr(
            concept_demo,
            "SPLITS",
            {
                "train": (400, 0.95, False, 64),
                "pool": (240, 0.7, False, 64),
                "explain": (16, 0.95, True, 64),
                "test": (64, 0.95, True, 64),
                "swapped": (64, None, False, 64),
            },
        )
        small.setattr(concept_demo, "PLANT", replace(concept_demo.PLANT, steps=220))
        small.setattr(concept_demo, "PER_CLASS", 30)
        small.setattr(
            concept_demo, "IMPROVE", {**concept_demo.IMPROVE, "steps": 150, "lr": 3e-3, "scenes": 3}
        )
        small.setattr(concept_demo, "TRAINED", ("active",))
        assert run("demo", "--results", folder) == 0
        yield folder


def test_the_explanation_finds_the_cue(loop):
    worst = json.loads((loop / "compare.json").read_text())["confounded"][0]
    assert (
        (worst["class"], worst["concept"]) == (CUED, CUE)
        and worst["deviation"] > 0.2
        and worst["images"] >= 0.8 * worst["of"]
    )
    explained = json.loads((loop / "explain.json").read_text())["classes"]
    assert sum(entry["images"] for entry in explained.values()) == 16
    assert (
        len(list((loop / "numbered").rglob("*.png")))
        == len(list((loop / "graphs").rglob("*.json")))
        == 16
    )
    for path in (loop / "graphs").rglob("*.json"):
        read_graph(path)
    prompts = (loop / "prompts.txt").read_text().splitlines()
    assert f"a {CUED} with a crest" in prompts and not any(CUE in line for line in prompts)


def test_training_on_chosen_images_takes_the_cue_away(loop):
    rows = {r["network"]: r for r in json.loads((loop / "improve.json").read_text())["rows"]}
    before, after = rows["before"], rows["active"]
    assert before["test"]["all"] > 0.8 and before["swapped"]["classes"][CUED] < 0.5
    assert after["swapped"]["all"] > before["swapped"]["all"] + 0.2 and after["test"]["all"] > 0.75
    assert after["need"]["deviation"] < before["need"]["deviation"] - 0.3
    assert (
        len(list(csv.DictReader(open(loop / "improve.csv")))) == 2
        and (loop / "improve.png").is_file()
    )
    chosen = [
        list(csv.DictReader(open(loop / f"selection_{s}.csv")))
        for s in ("random", "similarity", "active")
    ]
    assert [len(rows) for rows in chosen] == [120] * 3  # S-Random is a control: as many images


def test_the_loop_does_nothing_twice(loop, monkeypatch):
    def never(*_, **__):
        raise AssertionError("done again")

    for module, name in (
        (concept_demo, "cue_scene"),
        (concept_demo, "fine_tune"),
        (concept_debug, "probabilities_without"),
        (concept_debug, "look_at"),
    ):
        monkeypatch.setattr(module, name, never)
    monkeypatch.setattr("companions.concepts.improve.fine_tune", never)
    monkeypatch.setattr("companions.concepts.improve.need_of", never)
    assert run("demo", "--results", loop) == 0
