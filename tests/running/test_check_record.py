"""The record check: it confirms a true record and names every kind of false claim."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import main_generate_sag
from running.check_record import (
    curve_orders,
    main,
    masked_attention,
    mean_height,
    problems,
    ramp,
    read_json,
    sampled_scores,
    sets_below,
    square,
    tent,
)
from scoring.networks import load_network
from scoring.regions import Regions
from utils import PROJECT

MODEL = f"{PROJECT}/tests/planted.py:network"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A folder with an image, in/scene.png, and its result, out/scene: three planted roots."""
    folder = tmp_path_factory.mktemp("checked")
    (folder / "in").mkdir()
    noise = np.random.default_rng(0).integers(190, 256, (56, 56, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "in/scene.png")
    paths = ("--images", folder / "in", "--results", folder / "out", "--model", MODEL)
    options = (*paths, "--category", 1, "--grid", 4, "--device", "cpu", "--search", "exhaustive")
    options = (*options, "--explain", "both")
    assert main_generate_sag.main([str(option) for option in options]) == 0
    return folder


@pytest.fixture(scope="module")
def network():
    return load_network(MODEL)


@pytest.fixture
def result(run_folder, tmp_path):
    """A copy of the result's folder, to change."""
    return shutil.copytree(run_folder / "out/scene", tmp_path / "scene")


def change_record(result, change):
    """Change the record in a result's folder."""
    record = json.loads((result / "sag.json").read_text(encoding="utf-8"))
    change(record)
    (result / "sag.json").write_text(json.dumps(record), encoding="utf-8")


def found(result, run_folder, network):
    """Return what the check says about a result, as one text."""
    wrong, _ = problems(result / "sag.json", run_folder / "in/scene.png", network)
    return "\n".join(wrong)


# ---------------------------------------------------------------- true and false claims


def test_a_true_record_is_confirmed(result, run_folder, network):
    assert found(result, run_folder, network) == ""


def test_many_claims_are_checked(result, run_folder, network):
    _, checked = problems(result / "sag.json", run_folder / "in/scene.png", network)
    assert checked > 150


def forget_scores(record):
    """Make the table of scored sets that of the full image and of the baseline alone."""
    hidden = record["baseline"]["probability"]
    record["scores"] = {"sets": "0 ffff", "probabilities": [hidden, record["probability"]]}


LARGER_ROOT = {"patches": [5, 9], "probability": 0.95, "relative": 1.0, "minimal": "subset"}
NOT_A_ROOT = {"patches": [0], "probability": 0.02, "relative": 0.02 / 0.95}
FALSE_CLAIMS = {  # what is changed -> (how, what the check says)
    "format": (lambda r: r.update(format=2), "the format is not 1"),
    "image": (lambda r: r.update(image_sha256="0"), "is another image"),
    "classes": (lambda r: r["model"].update(classes=4), "the network has other classes"),
    "name": (lambda r: r["category"].update(name="two"), "the class has another name"),
    "probability": (lambda r: r.update(probability=0.94), "the probability of the full image is"),
    "baseline": (lambda r: r["baseline"].update(probability=0.3), "probability of the baseline"),
    "saliency": (lambda r: r["saliency"].pop(), "the saliency map"),
    "root probability": (
        lambda r: r["roots"][0].update(probability=0.951),
        "root (5,) has the probability",
    ),
    "root relative": (
        lambda r: r["roots"][0].update(relative=0.5),
        "root (5,): the relative confidence does not fit",
    ),
    "larger root": (
        lambda r: r["roots"][1].update(patches=[6, 9, 10]),
        "root (6, 9, 10) is not minimal",
    ),
    "smaller root": (
        lambda r: r["roots"][1].update(patches=[6]),
        "root (6,) is not sufficient",
    ),
    "unordered root": (
        lambda r: r["roots"][1].update(patches=[10, 6]),
        "root (10, 6) is not a patch set",
    ),
    "larger root beside": (
        lambda r: r["roots"].append(LARGER_ROOT),
        "root (5, 9) contains another root",
    ),
    "sufficient node": (
        lambda r: r["roots"].append(LARGER_ROOT),
        "node (5,) is sufficient and inside a root",
    ),
    "overlap": (
        lambda r: r["settings"].update(overlap_thresh=-1),
        "two roots of the diverse set share 0 patches",
    ),
    "same root": (lambda r: r["roots"].append(r["roots"][0]), "a root is listed twice"),
    "minimal": (
        lambda r: r["roots"][1].update(minimal="single"),
        "must not be called minimal by 'single'",
    ),
    "diverse set": (lambda r: r.update(diverse_set=[], diverse_roots=[]), "no diverse set"),
    "drawn": (lambda r: r["diverse_roots"].pop(), "the first of the diverse set are not drawn"),
    "formula": (lambda r: r.update(dnf="P5"), "the formula is not that of the roots"),
    "reason": (lambda r: r["search"].update(stopped_by="tired"), "an unknown reason: tired"),
    "complete": (lambda r: r["search"].update(complete=False), "complete does not fit"),
    "stopped by baseline": (
        lambda r: r["search"].update(stopped_by="baseline_sufficient"),
        "the baseline is not sufficient",
    ),
    "stopped by number": (
        lambda r: (
            (r["search"].update(stopped_by="max_num_roots"))
            or r["settings"].update(max_num_roots=2)
        ),
        "more roots than were asked for",
    ),
    "no edge": (lambda r: r["sag"]["edges"].pop(), "edges are not the single deletions"),
    "same edge": (
        lambda r: r["sag"]["edges"].append(r["sag"]["edges"][0]),
        "an edge is listed twice",
    ),
    "stray node": (
        lambda r: r["sag"]["nodes"].append(NOT_A_ROOT),
        "nodes are not what the roots expand to",
    ),
    "node relative": (
        lambda r: r["sag"]["nodes"][2].update(relative=0.5),
        "the relative confidence does not fit",
    ),
    "score": (lambda r: r["scores"]["probabilities"].__setitem__(0, 0.5), "scores: () has"),
    "one score less": (lambda r: r["scores"]["probabilities"].pop(), "do not pair up"),
    "area": (
        lambda r: r["curves"]["igos"].update(insertion_area=0.1),
        "the insertion area of igos is",
    ),
    "map of explanations": (
        lambda r: r["explanation_map"].__setitem__(0, 7.0),
        "the map of all explanations is not that of the roots",
    ),
    "drawn set": (
        lambda r: r["what_if"].update(drawn="0 abcde"),
        "what_if: a set was drawn that was not scored",
    ),
    "curve": (lambda r: r["curves"]["roots"]["deletion"].__setitem__(0, 0.5), "curves: "),
    "counts": (
        lambda r: r["curves"]["roots"]["insertion_patches"].__setitem__(0, 1),
        "curves: the insertion counts of roots do not go from 0 to all",
    ),
    "counts that do not ascend": (
        lambda r: r["curves"]["igos"]["deletion_patches"].__setitem__(1, 0),
        "curves: the deletion counts of igos do not go from 0 to all",
    ),
    "no breaking set": (
        lambda r: r["needed"]["roots"][0].update(patches=[0, 5, 6]),
        "breaking set (0, 5, 6) leaves the probability 0.94999",
    ),
    "larger breaking set": (
        lambda r: r["needed"]["roots"][0].update(patches=[0, 1, 5, 6]),
        "breaking set (0, 1, 5, 6) is not minimal: without (1, 5, 6)",
    ),
    "same breaking set": (
        lambda r: r["needed"]["roots"].append(r["needed"]["roots"][0]),
        "a breaking set is listed twice",
    ),
    "proof of a breaking set": (
        lambda r: r["needed"]["roots"][0].update(minimal="single"),
        "must not be called minimal by 'single'",
    ),
    "relative of a breaking set": (
        lambda r: r["needed"]["roots"][0].update(relative=0.5),
        "the relative confidence does not fit",
    ),
    "formula of the breaking sets": (
        lambda r: r["needed"].update(cnf="P5"),
        "the formula is not that of the breaking sets",
    ),
    "edge of a breaking set": (
        lambda r: r["needed"]["sag"]["edges"].pop(),
        "the edges of the breaking sets do not each show one patch again",
    ),
    "node of a breaking set": (
        lambda r: r["needed"]["sag"]["nodes"][0].update(probability=0.5),
        "of the breaking sets leaves the probability",
    ),
    "diverse breaking sets": (
        lambda r: r["needed"].update(diverse_set=[0, 0]),
        "two diverse breaking sets share 3 patches",
    ),
    "disjoint pairs": (
        lambda r: r["needed"].update(disjoint=1),
        "0 pairs are disjoint",
    ),
    "a point that is not in the table": (forget_scores, "was scored as None"),
    "a point that is not as in the table": (
        lambda r: r["curves"]["igos"]["insertion"].__setitem__(-2, 0.5),
        "was scored as 0.9",
    ),
}


def as_in_an_older_record(record):
    """Keep the points of the curves at every second count, listed once for all curves."""
    counts = list(range(0, 17, 2))
    for curve in record["curves"].values():
        for side in ("insertion", "deletion"):
            heights = dict(zip(curve.pop(f"{side}_patches"), curve[side], strict=True))
            curve[side] = [heights[count] for count in counts]
            curve[f"{side}_area"] = mean_height(counts, curve[side])
    record["curves"]["patches"] = counts


def test_an_older_record_is_confirmed(result, run_folder, network):
    change_record(result, as_in_an_older_record)
    assert found(result, run_folder, network) == ""


def test_a_false_curve_of_an_older_record_is_named(result, run_folder, network):
    change_record(result, as_in_an_older_record)
    change_record(result, lambda r: r["curves"]["roots"]["deletion"].__setitem__(0, 0.5))
    assert "curves: the deletion area of roots" in found(result, run_folder, network)


@pytest.mark.parametrize("name", FALSE_CLAIMS)
def test_a_false_claim_is_named(name, result, run_folder, network):
    change, words = FALSE_CLAIMS[name]
    change_record(result, change)
    assert words in found(result, run_folder, network)


@pytest.mark.parametrize("name", ["gridimage.png", "SAG_final_3roots.png", "dnf_gif.gif"])
def test_a_missing_file_is_named(name, result, run_folder, network):
    (result / name).unlink()
    assert f"{name} is missing" in found(result, run_folder, network)


def test_a_record_without_pictures_is_confirmed_without_them(result, run_folder, network):
    def leave_the_text(record):
        record["files"] = ["dnf.txt"]

    change_record(result, leave_the_text)
    for path in (*result.glob("*.png"), *result.glob("*.gif"), *result.glob("roots/*.png")):
        path.unlink()
    assert found(result, run_folder, network) == ""
    (result / "dnf.txt").write_text("")
    assert "dnf.txt is missing or empty" in found(result, run_folder, network)


def test_a_listed_file_that_is_gone_is_named(result, run_folder, network):
    (result / "curves.png").unlink()
    assert found(result, run_folder, network) == "curves.png is missing or empty"


def test_a_wrong_image_of_a_root_is_named(result, run_folder, network):
    shutil.copy(result / "roots/1_5.png", result / "roots/2_6-10.png")
    expected = "the image of root 2 is not what the network was shown"
    assert found(result, run_folder, network) == expected


def test_another_image_of_a_root_is_counted(result, run_folder, network):
    shutil.copy(result / "roots/1_5.png", result / "roots/4_5.png")
    assert found(result, run_folder, network) == "4 images of 3 roots"


def test_another_formula_in_dnf_txt_is_named(result, run_folder, network):
    (result / "dnf.txt").write_text("P5", encoding="utf-8")
    assert "dnf.txt has another formula" in found(result, run_folder, network)


def test_nan_is_no_record(result):
    text = (result / "sag.json").read_text(encoding="utf-8")
    (result / "sag.json").write_text(text.replace("0.9", "NaN", 1), encoding="utf-8")
    with pytest.raises(ValueError, match="NaN in a record"):
        read_json(result / "sag.json")


# ---------------------------------------------------------------- regions and dropped tokens


@pytest.fixture
def stripes(tmp_path):
    """A folder with a noisy image, in/scene.png, and a map of four stripes, maps/scene.png."""
    noise = np.random.default_rng(0).integers(0, 256, (56, 56, 3), dtype=np.uint8)
    labels = np.repeat(np.arange(1, 5, dtype=np.uint8), 14)[:, None].repeat(56, axis=1)
    for name, pixels in (("in", noise), ("maps", labels)):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "scene.png")
    return tmp_path


def explain_scene(folder, function, *more):
    """Run the main job on in/scene.png with a network of planted.py; return that network."""
    model = f"{PROJECT}/tests/planted.py:{function}"
    paths = ("--images", folder / "in", "--results", folder / "out", "--model", model)
    options = (*paths, "--device", "cpu", *more)
    assert main_generate_sag.main([str(option) for option in options]) == 0
    return load_network(model)


def test_a_true_record_of_regions_is_confirmed(stripes):
    network = explain_scene(stripes, "resnet", "--regions", stripes / "maps")
    assert found(stripes / "out/scene", stripes, network) == ""


def test_a_false_map_of_regions_is_found(stripes):
    network = explain_scene(stripes, "resnet", "--regions", stripes / "maps")
    index = np.repeat(np.arange(3, -1, -1), 14)[:, None].repeat(56, axis=1)
    turned = Regions(index.astype(np.int32), [1, 2, 3, 4], list("abcd")).png()
    change_record(stripes / "out/scene", lambda record: record["regions"].update(map=turned))
    assert found(stripes / "out/scene", stripes, network) != ""


def test_a_true_record_of_dropped_tokens_is_confirmed(stripes):
    network = explain_scene(stripes, "small_vit", "--baseline", "drop")
    assert found(stripes / "out/scene", stripes, network) == ""


# ---------------------------------------------------------------- its own mathematics


def test_a_tent_is_1_at_its_centre():
    assert tent(5, (4, 4), (64, 64))[21, 21] == 1


def test_tents_sum_to_1():
    total = sum(tent(patch, (4, 4), (56, 56)) for patch in range(16))
    assert np.allclose(total, 1)


def test_a_single_cell_covers_its_axis():
    assert np.array_equal(ramp(0, cells=1, pixels=5), np.ones(5))


def test_a_square_is_its_patch_alone():
    rows, columns = np.nonzero(square(6, (4, 4), (8, 8)))
    assert {*zip(rows.tolist(), columns.tolist())} == {(2, 4), (2, 5), (3, 4), (3, 5)}


def test_subset_minimality_is_about_all_subsets():
    root = {"patches": [1, 4, 7], "minimal": "subset"}
    assert set(sets_below(root)) == {(), (1,), (4,), (7,), (1, 4), (1, 7), (4, 7)}


def test_single_minimality_is_about_single_removals():
    root = {"patches": [1, 4, 7], "minimal": "single"}
    assert set(sets_below(root)) == {(1, 4), (1, 7), (4, 7)}


def test_scores_are_unpacked_by_their_bits():
    scores = {"sets": "0 1 8001", "probabilities": [0.1, 0.2, 0.3]}
    record = {"grid": [4, 4], "scores": scores}
    assert sampled_scores(record) == {(): 0.1, (0,): 0.2, (0, 15): 0.3}


def test_the_sample_of_scores_is_bounded():
    sets = " ".join(f"{number:x}" for number in range(1001))
    record = {"grid": [4, 4], "scores": {"sets": sets, "probabilities": [0.5] * 1001}}
    assert 150 < len(sampled_scores(record)) <= 200


def test_patches_of_likely_roots_come_first():
    roots = [{"patches": [2], "probability": 0.9}, {"patches": [1, 3], "probability": 0.8}]
    record = {"saliency": [0.1, 0.5, 0.9, 0.2], "roots": roots}
    assert curve_orders(record)["roots"] == [2, 3, 1, 0]


def test_a_polygon_has_the_mean_height_of_its_trapezoids():
    assert mean_height([0, 1, 4], [0.0, 1.0, 1.0]) == pytest.approx(3.5 / 4)


def test_attention_to_every_token_is_the_network(small_transformer):
    image = torch.rand(3, 56, 56, generator=torch.Generator().manual_seed(1))
    masked = masked_attention(small_transformer, image, (7, 7), [tuple(range(49))])
    assert torch.allclose(masked, small_transformer(image[None]).softmax(dim=1), atol=1e-5)


@pytest.fixture
def small_transformer():
    return load_network(f"{PROJECT}/tests/planted.py:small_vit").module


# ---------------------------------------------------------------- the command


def status_of(run_folder, *options):
    """Return the exit status of a check of the planted network's results."""
    paths = ("--images", run_folder / "in", "--model", MODEL, "--device", "cpu")
    return main([str(option) for option in (*paths, *options)])


def test_true_records_exit_with_0(run_folder, capsys):
    assert status_of(run_folder, run_folder / "out") == 0
    assert "1 record," in capsys.readouterr().out


def test_a_false_record_exits_with_1(result, run_folder, capsys):
    change_record(result, lambda record: record.update(dnf="P5"))
    assert status_of(run_folder, result) == 1
    expected = f"{result / 'sag.json'}: the formula is not that of the roots"
    assert expected in capsys.readouterr().out


def test_no_record_exits_with_1(run_folder, tmp_path, capsys):
    assert status_of(run_folder, tmp_path) == 1
    assert "0 records" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["{", "[]", '{"image": "scene.png"}'])
def test_a_damaged_record_exits_with_1(content, result, run_folder, capsys):
    (result / "sag.json").write_text(content, encoding="utf-8")
    assert status_of(run_folder, result) == 1
    assert f"{result / 'sag.json'}: it cannot be checked" in capsys.readouterr().out


def test_a_missing_image_exits_with_1(result, run_folder, capsys):
    change_record(result, lambda record: record.update(image="gone.png"))
    assert status_of(run_folder, result) == 1
    assert "cannot read it" in capsys.readouterr().out


def test_an_unknown_model_exits_with_2(run_folder, capsys):
    assert status_of(run_folder, run_folder / "out", "--model", "resnot") == 2
    assert "--model resnot" in capsys.readouterr().err
