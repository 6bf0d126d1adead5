"""The commands of the bundled world, with small budgets."""

import csv

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from birds import between, painter, part_scenes, train
from birds.painter import CLASSES, LABEL_NAMES, PARTS
from get_perturbation_mask import BASELINES
from utils import PROJECT


def names_below(folder, pattern):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(pattern))


# ---------------------------------------------------------------- drawing


def test_the_painter_draws_the_bundled_scenes(tmp_path):
    assert painter.main(["--folder", str(tmp_path)]) == 0
    assert names_below(tmp_path, "*.png") == names_below(PROJECT / "Images", "*.png")


def test_part_scenes_writes_a_set_and_its_table(tmp_path):
    assert part_scenes.main([str(tmp_path), "--per-class", "1"]) == 0
    rows = list(csv.DictReader((tmp_path / "images.csv").read_text().splitlines()))
    assert [row["class"] for row in rows] == [name for name, _ in CLASSES]
    assert all((tmp_path / row[column]).is_file() for row in rows for column in ("image", "mask"))
    assert (tmp_path / "names.txt").read_text().split() == list(LABEL_NAMES)


def test_between_writes_scenes_by_class(tmp_path):
    assert between.main([str(tmp_path), "--scenes", "2"]) == 0
    written = names_below(tmp_path, "*.png")
    assert len(written) == 2
    assert all(name.split("/")[0] in dict(CLASSES) for name in written)


def test_between_finds_a_scene_half_way(tmp_path):
    assert between.main([str(tmp_path), "--halfway", "1"]) == 0
    (written,) = names_below(tmp_path, "*.png")
    assert Image.open(tmp_path / written).size == (224, 224)


@pytest.mark.parametrize("words", [[], ["folder", "--scenes", "-1"]])
def test_between_refuses_unusable_arguments(words):
    with pytest.raises(SystemExit) as end:
        between.main(words)
    assert end.value.code == 2


# ---------------------------------------------------------------- training


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder that a training of four steps leaves."""
    folder = tmp_path_factory.mktemp("birds")
    options = {"scenes": 32, "batch": 16, "epochs": 1, "final-epochs": 1}
    options |= {"test-scenes": 12, "set-scenes": 1, "workers": 1, "out": folder}
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_proper_part_sets", lambda: [(), PARTS[:1], PARTS[1:]])
        assert train.main(words) == 0
    return folder


def test_training_writes_weights_and_labels(trained):
    bundled = load_file(PROJECT / "birds/birds.safetensors")
    state = load_file(trained / "birds.safetensors")
    assert {name: value.shape for name, value in state.items()} == {
        name: value.shape for name, value in bundled.items()
    }
    assert (trained / "birds_labels.txt").read_text().splitlines() == [name for name, _ in CLASSES]


def test_training_logs_its_settings_and_measurements(trained):
    log = (trained / "train.log").read_text()
    assert "scenes 32, epochs 1, final_epochs 1, batch 16" in log
    assert "epoch 2/2  side 224" in log
    assert "accuracy on 12 fresh scenes" in log
    assert "drawn with an insufficient set of its parts only" in log


def test_a_training_without_a_step_is_refused(tmp_path, capsys):
    assert train.main(["--scenes", "8", "--out", str(tmp_path)]) == 2
    assert "no step of training" in capsys.readouterr().err


def test_training_hides_with_baselines_that_exist():
    assert set(train.BASELINE_ODDS) == set(BASELINES) - {"drop"}  # drop hides no pixels
    assert sum(train.BASELINE_ODDS.values()) == pytest.approx(1)


def test_targets_are_what_can_be_known():
    table = train.knowable_targets()
    everything = 2 ** len(PARTS) - 1
    assert table[:, everything].equal(torch.eye(len(CLASSES)))
    assert table[3, 0].tolist() == pytest.approx([1 / len(CLASSES)] * len(CLASSES))
    beak = table[0, 1]
    assert beak[beak > 0].tolist() == pytest.approx(
        [1 / int((beak > 0).sum())] * int((beak > 0).sum())
    )


def test_an_image_shown_whole_is_not_changed():
    threads = cv2.getNumThreads()
    scene = train.training_scene(1)
    cv2.setNumThreads(threads)
    batches = train.Batches([scene], np.random.default_rng(0))
    for _ in range(40):
        image, bits = train.hide(scene, batches.basis, side=224, rng=batches.rng)
        assert image.shape == (224, 224, 3)
        assert -1 <= bits < 2 ** len(PARTS)
        if np.array_equal(image, scene.image):
            assert bits == int((scene.drawn * train.PART_BITS).sum())
            return
    raise AssertionError("no image was shown whole")
