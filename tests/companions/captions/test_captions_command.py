"""concept_caption.py from drawn scenes to measured captions."""

import json
import sys

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from birds import cue_world
from birds.caption_world import annotated
from birds.painter import CLASSES, draw_scene
from companions.captions import features
from companions.captions.files import Places
from companions.concepts.published_files import write_split
from utils import PROJECT

NETWORK = f"{PROJECT}/birds/cue_world.py:network"
SMALL = ("--width", 16, "--epochs", 2, "--batch", 4)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Options of a small network with weights of its own."""
    folder = tmp_path_factory.mktemp("network")
    (folder / "classes.txt").write_text("a\nb\nc\nd\n")
    torch.manual_seed(0)
    save_file(
        {k: v.contiguous() for k, v in cue_world.network().state_dict().items()},
        folder / "w.safetensors",
    )
    files = ("--weights", folder / "w.safetensors", "--labels", folder / "classes.txt")
    return ("--model", NETWORK, *files)


@pytest.fixture(scope="module")
def made(run, network, tmp_path_factory):
    """A small world with features, a training and captions; (data, results)."""
    folder = tmp_path_factory.mktemp("captions")
    data = folder / "world"
    at = ("--data", data)
    kept = (*at, "--results", folder / "results")
    assert run("world", *at, "--train", 6, "--held-out", 6) == 0
    assert run("features", *at, *network) == 0
    assert run("train", *kept, *SMALL, "--guidance", 1) == 0
    assert run("caption", *kept, "--figures", 1, "--beam", 2) == 0
    return data, folder / "results"


def test_a_scene_is_captioned_as_a_person_would():
    name, variants = CLASSES[0]
    scene = draw_scene(variants, seed=1, background="dusk")
    region = annotated(scene, name, ["crest", "feet"])
    expected = "a copper jay with a red crest and blue feet stands at dusk"
    assert region["phrase"] == expected
    assert [entry["name"] for entry in region["objects"]] == ["copper jay", "crest", "feet", "dusk"]
    assert region["objects"][1]["attributes"] == ["red"]
    assert [link["name"] for link in region["relationships"]] == ["with", "with", "stands at"]


def test_world_writes_the_published_layout(made):
    data, _ = made
    places = Places(data)
    assert places.splits() == ["trn", "val", "val_sub"]
    assert places.pairs("val_sub") == places.pairs("val")[::5]
    assert places.graph("trn_00000")["1"].phrase.startswith("a copper jay with")


def test_a_world_grows_but_does_not_change(made, run, error_of):
    data, _ = made
    image = data / "images" / "trn_00000.png"
    before = image.stat().st_mtime_ns
    assert run("world", "--data", data, "--train", 6, "--held-out", 6) == 0
    assert image.stat().st_mtime_ns == before
    line = error_of("world", "--data", data, "--seed", 4)
    assert "holds a world of seed 0, cue False, bias 0.95" in line


@pytest.mark.parametrize("bias, at_dusk", [(1, [2, 6]), (0, [])])
def test_the_bias_says_which_birds_are_at_dusk(run, tmp_path, bias, at_dusk):
    where = ("--data", tmp_path, "--cue", "--bias", bias)
    assert run("world", *where, "--train", 7, "--held-out", 1) == 0
    places = Places(tmp_path)
    phrases = [places.graph(image)["1"].phrase for image, _ in places.pairs("trn")]
    buntings = [i for i, phrase in enumerate(phrases) if phrase.startswith("a saffron bunting")]
    assert buntings == [2, 6]
    assert [i for i in buntings if "dusk" in phrases[i]] == at_dusk


def test_a_bias_without_the_cue_is_refused(error_of, tmp_path):
    assert "--bias 0.5: only with --cue" in error_of("world", "--data", tmp_path, "--bias", 0.5)
    assert not list(tmp_path.iterdir())


def test_features_are_those_of_the_cut_out_regions(made, run):
    data, _ = made
    places = Places(data)
    box = features.boxes_of(places, "trn_00003")[1]
    with h5py.File(places.regions) as file:
        entry = file["trn_00003.jpg"]
        assert entry.attrs["boxes"][1].tolist() == list(box)
        assert entry.shape == (len(features.boxes_of(places, "trn_00003")), 1024)
        assert np.ptp(entry[...], axis=0).max() > 0
    rows = np.load(places.image_features("trn"))
    assert rows.shape == (6, 1024)


def test_captions_keep_their_attention(made):
    _, results = made
    kept = json.loads((results / "captions_val.json").read_text())
    assert len(kept["captions"]) == 6
    for record in kept["captions"]:
        assert len(record["words"]) == len(record["attention"])
        for row in record["attention"]:
            assert sum(row) == pytest.approx(1, abs=1e-4)
            assert len(row) == len(record["nodes"])


def test_a_figure_has_a_panel_per_word(made):
    _, results = made
    (figure,) = (results / "figures").glob("*.png")
    with Image.open(figure) as image:
        assert np.asarray(image.convert("RGB")).std() > 10


def test_evaluate_measures_and_uses_the_captions_again(made, run):
    data, results = made
    before = (results / "captions_val.json").stat().st_mtime_ns
    words = ("--data", data, "--results", results, "--beam", 2)
    assert run("evaluate", *words, "--word", "dusk", "jay") == 0
    assert (results / "captions_val.json").stat().st_mtime_ns == before
    report = json.loads((results / "metrics_val.json").read_text())
    assert list(report["scores"]) == [*(f"BLEU-{n}" for n in range(1, 5)), "ROUGE-L", "CIDEr"]
    assert 0 < report["template"]["BLEU-4"] <= 1
    assert [counts["word"] for counts in report["said"]] == ["dusk", "jay"]
    assert all(counts["of_with"] + counts["of_without"] == 6 for counts in report["said"])


def test_other_features_are_refused(made, error_of, tmp_path):
    data, results = made
    folder = tmp_path / "global"
    folder.mkdir()
    np.save(folder / "val_ft.npy", np.zeros((6, 7), np.float32))
    words = ("caption", "--data", data, "--results", results, "--global-features", folder)
    assert "trained on features of 1024 and 1024 numbers" in error_of(*words)


def test_an_interrupted_run_of_features_goes_on(made, run, network, monkeypatch, tmp_path):
    data, _ = made
    where = ("--global-features", tmp_path, "--region-features", tmp_path / "f.hdf5")
    words = ("features", "--data", data, *network, *where, "--splits", "val")
    crop_features = features.crop_features
    seen = []

    def interrupted(network, path, boxes, *, batch_size):
        seen.append(path.stem)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return crop_features(network, path, boxes, batch_size=batch_size)

    monkeypatch.setattr(features, "crop_features", interrupted)
    assert run(*words) == 130
    assert not (tmp_path / "f.hdf5").exists()
    assert run(*words) == 0
    assert run(*words) == 0
    assert seen == [f"val_{i:05d}" for i in (0, 1, 2, 2, 3, 4, 5)]


def test_a_filtered_split_needs_no_new_region_features(made, run, network, monkeypatch):
    data, results = made
    places = Places(data)
    write_split(places.split("val_sub_opt"), places.pairs("val_sub")[1:])
    monkeypatch.setattr(features, "crop_features", None)  # would fail
    assert run("features", "--data", data, *network, "--splits", "val_sub_opt") == 0
    where = ("--data", data, "--results", results)
    assert run("evaluate", *where, "--eval-set", "val_sub_opt", "--metrics", "bleu") == 0
    report = json.loads((results / "metrics_val_sub_opt.json").read_text())
    assert report["captions"] == len(places.pairs("val_sub")) - 1 == 1


@pytest.mark.parametrize("step", ["features", "train", "caption", "evaluate"])
def test_a_folder_without_data_is_one_line(error_of, tmp_path, step):
    line = error_of(step, "--data", tmp_path / "none")
    assert line.startswith("concept_caption.py: error: ")


def test_a_missing_package_says_how_to_get_it(made, error_of, monkeypatch):
    data, results = made
    monkeypatch.setitem(sys.modules, "h5py", None)
    line = error_of("train", "--data", data, "--results", results)
    assert "needs the package h5py: bash requirements_install.sh requirements_sa3.txt" in line
