"""Questions to a record: exact answers for scored sets, neighbours for others, or the network."""

import re
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from drawn import make_sag
from PIL import Image

from drawing.record import (
    Baseline,
    Category,
    Model,
    RegionMap,
    Root,
    encode_sag,
    pack_scores,
    scores_of,
)
from running.ask import answer, nearest
from running.check_record import masked_attention
from scoring.networks import load_network
from scoring.regions import Regions
from utils import PROJECT, UserError

PLANTED = f"{PROJECT}/tests/planted.py:network"
ROOTS = [(5,), (6, 10), (1, 8, 14)]  # what the planted network finds sufficient
EVERYTHING = tuple(range(16))
UNSCORED = (0, 2, 3, 4, 7, 15)
UNSCORED_TEXT = "0,2,3,4,7,15"
SCORED = [(0,), (0, 2), (2, 7, 15), (0, 2, 3, 4, 7), (6,), (8, 10), (*UNSCORED, 5), (*UNSCORED, 6)]
REGIONS = ("head", "wing", "tail", "rest")


def planted_probability(patches):
    """Return the planted network's probability of its class 1."""
    return 0.95 if any(set(root) <= set(patches) for root in ROOTS) else 0.02


def model_of(network):
    """Return what a record says of a network."""
    return msgspec.convert(network.description(), Model)


def planted_sag(**fields):
    """Return a record of the planted network, in whose table are the sets SCORED."""
    without_one = [tuple(p for p in EVERYTHING if p != hidden) for hidden in EVERYTHING]
    sets = [tuple(sorted(patches)) for patches in (*SCORED, *without_one)]
    table = {patches: planted_probability(patches) for patches in sets}
    known = {
        "model": model_of(load_network(PLANTED)),
        "category": Category(index=1, name="tern"),
        "probability": 0.95,
        "baseline": Baseline(name="black", probability=0.02),
        "grid": (4, 4),
        "saliency": [1.0] * 16,
        "roots": [Root(root, probability=0.95, relative=1.0, minimal="subset") for root in ROOTS],
        "scores": pack_scores(table),
        "settings": {"model": PLANTED, "weights": None, "labels": None},
    }
    return make_sag(**{**known, **fields})


def write_result(folder, sag, image=None):
    """Write a result's record and image into a folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sag.json").write_bytes(encode_sag(sag))
    if image is None:
        image = np.full((56, 56, 3), 255, np.uint8)
    Image.fromarray(image).save(folder / "perturbation_original.png")
    return folder


@pytest.fixture
def result(tmp_path):
    return write_result(tmp_path / "scene", planted_sag())


# ---------------------------------------------------------------- sets that were scored


def test_a_scored_set_has_its_exact_confidence(result):
    assert answer(result, only="6,10") == (
        "tern, only P6 & P10: 100 % of the full image's confidence, "
        "probability 0.9500, sufficient (scored)"
    )


def test_a_scored_set_may_be_insufficient(result):
    assert answer(result, only="6") == (
        "tern, only P6: 2 % of the full image's confidence, "
        "probability 0.0200, not sufficient (scored)"
    )


def test_without_hides_the_patches_it_names(result):
    assert "tern, without P5: 100 %" in answer(result, without="5")


def test_without_no_patch_is_the_full_image(result):
    assert "without no patch: 100 %" in answer(result, without="")


def test_only_no_patch_is_the_baseline(result):
    assert "only no patch: 2 %" in answer(result, only="")


@pytest.mark.parametrize("text", ["P6,P10", "10, 6", "6,10,6", "p6,,10"])
def test_patches_may_be_written_in_several_ways(result, text):
    assert answer(result, only=text) == answer(result, only="6,10")


def test_a_class_without_probability_has_no_percentage(tmp_path):
    sag = planted_sag(probability=0.0, roots=[])
    line = answer(write_result(tmp_path, sag), without="")
    assert line == "tern, without no patch: probability 0.0000, not sufficient (scored)"


def test_a_record_without_scores_knows_its_roots(tmp_path):
    sag = planted_sag(scores=pack_scores({}))
    assert "100 %" in answer(write_result(tmp_path, sag), only="1,8,14")


# ---------------------------------------------------------------- sets that were not scored


def test_an_unscored_set_has_an_estimate_and_not_a_score(result):
    first = answer(result, only=UNSCORED_TEXT).splitlines()[0]
    assert re.search(r": not scored; estimated \d+ %, likely \d+ to \d+ % of the full", first)


def test_a_record_of_few_sets_estimates_nothing(tmp_path):
    sag = planted_sag(scores=pack_scores({}))
    first = answer(write_result(tmp_path, sag), only=UNSCORED_TEXT).splitlines()[0]
    assert first.endswith(": not scored.")


def test_three_larger_and_three_smaller_sets_are_listed(result):
    text = answer(result, only=UNSCORED_TEXT)
    assert text.count("showing also") == 3
    assert text.count("hiding also") == 3


def test_a_listed_set_is_named_by_its_difference(result):
    lines = answer(result, only=UNSCORED_TEXT).splitlines()
    assert "  showing also P5: 100 % of the full image's confidence" in lines[2]


def test_a_removed_patch_is_named(result):
    lines = answer(result, only=UNSCORED_TEXT).splitlines()
    assert "  hiding also P15: 2 % of the full image's confidence" in lines[5]


def test_an_unscored_set_says_how_to_score_it(result):
    last = answer(result, only=UNSCORED_TEXT).splitlines()[-1]
    assert last == "--score runs the network on the set itself."


def test_many_patches_are_cut_to_ten(tmp_path):
    sag = planted_sag(scores=pack_scores({}), roots=[])
    text = answer(write_result(tmp_path, sag), only="0,1")
    assert "showing also P2 & P3 & P4 & P5 & P6 & P7 & P8 & P9 & P10 & P11 and 4 more" in text


def test_larger_sets_contain_the_set():
    larger, _ = nearest(scores_of(planted_sag()), UNSCORED)
    assert all(set(patches) > set(UNSCORED) for patches in larger)


def test_smaller_sets_are_contained():
    _, smaller = nearest(scores_of(planted_sag()), UNSCORED)
    assert all(set(patches) < set(UNSCORED) for patches in smaller)


def test_the_most_similar_sets_come_first():
    _, smaller = nearest(scores_of(planted_sag()), UNSCORED)
    assert smaller == [(0, 2, 3, 4, 7), (2, 7, 15), (0, 2)]


def test_of_similar_sets_the_confident_come_first():
    larger, _ = nearest(scores_of(planted_sag()), UNSCORED)
    assert larger[:2] == [(0, 2, 3, 4, 5, 7, 15), (0, 2, 3, 4, 6, 7, 15)]


# ---------------------------------------------------------------- regions


def region_map():
    """Return a map of four horizontal stripes."""
    index = np.repeat(np.arange(4), 14)[:, None].repeat(56, axis=1).astype(np.int32)
    regions = Regions(index, [1, 2, 3, 4], list(REGIONS))
    return RegionMap(names=list(REGIONS), labels=[1, 2, 3, 4], areas=[0.25] * 4, map=regions.png())


@pytest.fixture
def regions_result(tmp_path):
    roots = [Root((1, 2), probability=0.95, relative=1.0, minimal="subset")]
    sag = planted_sag(
        grid=(1, 4),
        saliency=[1.0] * 4,
        roots=roots,
        scores=pack_scores({}),
        regions=region_map(),
    )
    return write_result(tmp_path / "regions", sag)


@pytest.mark.parametrize("text", ["wing,tail", "Wing, TAIL", "1,2", "wing,2"])
def test_regions_may_be_named(regions_result, text):
    assert "tern, only wing & tail: 100 %" in answer(regions_result, only=text)


def test_an_unknown_region_is_named(regions_result):
    with pytest.raises(UserError, match="beak is not a region; there are head, wing, tail, rest"):
        answer(regions_result, only="beak")


def test_a_region_out_of_range_is_named(regions_result):
    with pytest.raises(UserError, match="4 is not a patch; there are 0 to 3"):
        answer(regions_result, only="4")


# ---------------------------------------------------------------- the network


def test_score_runs_the_network(result):
    line = answer(result, only=UNSCORED_TEXT, score=True, device="cpu", model=PLANTED)
    assert "probability 0.0200, not sufficient (scored now, by the network)" in line


def test_score_finds_what_is_sufficient(result):
    line = answer(result, only="0,6,7,10", score=True, device="cpu", model=PLANTED)
    assert "probability 0.9500, sufficient (scored now, by the network)" in line


def test_a_scored_set_does_not_run_the_network(result):
    (result / "perturbation_original.png").unlink()
    assert "(scored)" in answer(result, only="6,10", score=True)


def test_score_takes_the_regions_of_the_record(regions_result):
    line = answer(regions_result, only="head,tail", score=True, device="cpu", model=PLANTED)
    visible = [p for p in EVERYTHING if p // 4 in (0, 2)]  # rows of patches in these stripes
    assert f"probability {planted_probability(visible):.4f}" in line


def test_score_drops_the_tokens_of_a_transformer(tmp_path):
    name = f"{PROJECT}/tests/planted.py:small_vit"
    network = load_network(name)
    sag = planted_sag(
        model=model_of(network),
        baseline=Baseline(name="drop", probability=0.02),
        settings={"model": name, "weights": None, "labels": None},
        grid=(7, 7),
        saliency=[1.0] * 49,
        roots=[],
        scores=pack_scores({}),
    )
    image = np.random.default_rng(0).integers(0, 256, (56, 56, 3), dtype=np.uint8)
    line = answer(
        write_result(tmp_path, sag, image), only="3,17,30", score=True, device="cpu", model=name
    )
    masked = masked_attention(network.module, network.prepare(image), (7, 7), [(3, 17, 30)])
    assert f"probability {float(masked[0, 1]):.4f}" in line


def test_other_weights_are_refused(tmp_path):
    model = msgspec.structs.replace(model_of(load_network(PLANTED)), weights_sha256="0")
    sag = planted_sag(model=model)
    with pytest.raises(UserError, match="other weights than those of the record"):
        answer(
            write_result(tmp_path, sag), only=UNSCORED_TEXT, score=True, device="cpu", model=PLANTED
        )


def test_images_that_are_not_there_are_named(result, tmp_path):
    with pytest.raises(UserError, match="/nowhere"):
        answer(result, only=UNSCORED_TEXT, score=True, images=tmp_path / "nowhere")


# ---------------------------------------------------------------- what cannot be answered


@pytest.mark.parametrize(
    "text, word", [("16", "16"), ("1;2", "1;2"), ("-1", "-1"), ("head", "head"), ("P", "P")]
)
def test_what_is_no_patch_is_named(result, text, word):
    with pytest.raises(UserError, match=f"{word} is not a patch; there are 0 to 15"):
        answer(result, only=text)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="gone: no such folder"):
        answer(tmp_path / "gone", only="1")


def test_a_folder_without_a_record_is_named(tmp_path):
    with pytest.raises(UserError, match="no sag.json in it"):
        answer(tmp_path, only="1")


def test_a_damaged_record_is_named(result):
    (result / "sag.json").write_text("{")
    with pytest.raises(UserError, match="a damaged record"):
        answer(result, only="1")


@pytest.mark.parametrize("options", [{}, {"only": "1", "without": "2"}])
def test_a_question_needs_only_or_without(result, options):
    with pytest.raises(UserError, match="--only or --without"):
        answer(result, **options)


def test_a_record_answers_without_pytorch(result):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from running.ask import answer\n"
        "print(answer(Path(sys.argv[1]), only='6,10'))\n"
        "sys.exit(bool({'torch', 'matplotlib', 'cv2', 'scipy'}.intersection(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(result)]
    assert subprocess.run(command, cwd=PROJECT, capture_output=True).returncode == 0
