"""--keep-matrices and --from-matrices: all classes, and the same statistics without the network."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import lamps as lamps_module
import numpy as np
import pytest
import torch
from lamps import probabilities

import score_deviation
from companions.score_deviation import explainer as explainer_module
from companions.score_deviation.deviations import Scores, deviations_of
from companions.score_deviation.matrices import Matrix, read_matrix
from companions.score_deviation.record import Asked, LabelMap, MapSource, Question
from drawing.record import Model
from utils import file_sha256

FILES = ("statistics.json", "labels.csv")


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    """Leave out the figures of the images and of the classes, which take seconds."""
    monkeypatch.setattr(explainer_module, "draw_map", lambda *_, **__: None)
    monkeypatch.setattr(score_deviation, "sort_all_maps", lambda *_: None)
    monkeypatch.setattr(score_deviation, "draw_classes", lambda *_: None)


@pytest.fixture
def kept(lamp_set):
    """A set that was explained with its matrices kept."""
    assert lamp_set.run(*lamp_set.manifest, "--keep-matrices") == 0
    return lamp_set


def read_back(lamp_set, *options):
    """Run --from-matrices into back/; return the exit status."""
    return lamp_set.run(
        "--from-matrices", lamp_set.path / "out", *options, "--results", lamp_set.path / "back"
    )


def matrix_of(lamp_set, name):
    """Return the matrix of an image."""
    return read_matrix(lamp_set.path / f"out/in/{name}/matrix.npz")


def test_a_matrix_has_the_untouched_image_first_and_a_row_per_label(kept):
    matrix = matrix_of(kept, "one")
    assert matrix.about.names == ["upper lamp", "middle lamp", "lower lamp"]
    assert matrix.about.classes == ["a", "b", "c"]
    wanted = [probabilities(*lamps) for lamps in ((1, 1), (0, 1), (1, 0), (1, 1))]
    assert matrix.probabilities.dtype == np.float16
    np.testing.assert_allclose(matrix.probabilities, wanted, atol=5e-4)


def test_any_class_is_read_without_the_network(kept):
    found = matrix_of(kept, "one").deviations(2)  # class c: neither explained nor true
    wanted = probabilities(1, 1)[2] - probabilities(1, 0)[2]
    assert found[1] == pytest.approx(wanted, abs=5e-4)


def test_matrices_reproduce_the_statistics_exactly(kept, monkeypatch):
    monkeypatch.setattr(score_deviation, "network_of", None)
    assert read_back(kept) == 0
    for name in FILES:
        direct = (kept.path / "out" / name).read_bytes()
        assert (kept.path / "back" / name).read_bytes() == direct
    direct = np.load(kept.path / "out/deviations.npz")
    back = np.load(kept.path / "back/deviations.npz")
    assert set(direct.files) == set(back.files)
    for name in direct.files:
        np.testing.assert_array_equal(back[name], direct[name])


def test_statistics_of_another_class_are_over_all_images(kept):
    assert read_back(kept, "--category", "c") == 0
    found = json.loads((kept.path / "back/statistics.json").read_text())
    assert found["accuracy"] is None
    assert list(found["classes"]) == ["c"]
    middle = next(row for row in found["classes"]["c"]["labels"] if row["label"] == "middle lamp")
    lamps = ((1, 1), (0, 1), (1, 0))
    wanted = np.mean([probabilities(u, m)[2] - probabilities(u, 0)[2] for u, m in lamps])
    assert middle["mean"] == pytest.approx(wanted, abs=5e-4)


def test_a_kept_matrix_is_not_made_again(kept, monkeypatch):
    monkeypatch.setattr(explainer_module, "explain_regions", None)
    assert kept.run(*kept.manifest, "--keep-matrices") == 0


@pytest.mark.parametrize("damage", ["missing", "cut off", "of other settings"])
def test_a_matrix_that_does_not_stand_is_made_again(kept, damage):
    path = kept.path / "out/in/one/matrix.npz"
    before = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut off":
        path.write_bytes(before[:200])
    else:
        other = kept.path / "out/in/two/matrix.npz"
        path.write_bytes(other.read_bytes())
    assert kept.run(*kept.manifest, "--keep-matrices") == 0
    np.testing.assert_array_equal(matrix_of(kept, "one").top, [1, 1, 0, 1])


def test_no_matrix_of_an_earlier_record_stays(kept):
    kept.run(*kept.manifest, baseline="blur")
    assert not list((kept.path / "out").rglob("matrix.npz"))


def test_rounding_changes_no_most_probable_class():
    """0.49995 is above float16's neighbour 0.49976 of 0.4998: exact values win."""
    full = np.array([0.50001, 0.49999], np.float32)
    without = np.array([[0.49999, 0.50001], [0.3, 0.7]], np.float32)
    scores = Scores(
        full=full,
        without=without,
        classes=["a", "b"],
        regions=LabelMap(names=["x", "y"], labels=[1, 2], areas=[0.5, 0.5], map=""),
        baseline="mean",
    )
    direct = deviations_of(scores, true_index=1)
    rows = np.concatenate([full[None], without])
    assert rows.astype(np.float16)[0, 0] == rows.astype(np.float16)[0, 1]  # the trap
    matrix = Matrix.of(scores, planted_record(direct))
    again = matrix.record()
    assert again.predicted == direct.predicted
    assert again.true == direct.true
    assert again.labels == direct.labels


def planted_record(found):
    """Return what Matrix.of() reads of a record."""
    return SimpleNamespace(
        category=found.category,
        predicted=found.predicted,
        true=found.true,
        regions=found.regions,
        question=Question(
            image="x.png",
            image_sha256="",
            size=(12, 12),
            model=Model(name="planted", weights_sha256="", classes=2),
            segmentation=MapSource("label map"),
            asked=Asked(category=None, baseline=found.baseline, seed=0, true=found.true.index),
        ),
    )


@pytest.mark.parametrize(
    "options, words",
    [
        (("--from-matrices", "{}/in"), "no matrix.npz in it"),
        (("--from-matrices", "{}/out", "{}/in"), "reads no images"),
        (("--from-matrices", "{}/out", "--category", "zebra"), "--category zebra"),
    ],
)
def test_what_cannot_be_read_is_one_line(kept, capsys, options, words):
    capsys.readouterr()
    assert kept.run(*(word.replace("{}", str(kept.path)) for word in options)) == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_damaged_matrix_is_named_and_the_others_count(kept, capsys):
    (kept.path / "out/in/one/matrix.npz").write_bytes(b"no zip")
    assert read_back(kept) == 1
    err = capsys.readouterr().err
    assert "one/matrix.npz: not a matrix of this program" in err
    assert "statistics of 2 images" in err


@pytest.fixture
def weighted(lamp_set):
    """A function that explains the set with this scale of the logits, the network's weight."""

    def explain(scale, *options, baseline="black"):
        path = lamp_set.path / f"{scale}.pth"
        torch.save({"scale": torch.tensor(float(scale))}, path)
        network = ("--model", f"{Path(lamps_module.__file__)}:scaled", "--weights", path)
        options = (*lamp_set.manifest, *network, "--keep-matrices", *options)
        return lamp_set.run(*options, baseline=baseline)

    return explain


def test_a_matrix_knows_the_weights(weighted, lamp_set):
    assert weighted(1) == 0
    model = matrix_of(lamp_set, "one").about.question.model
    assert model.weights_sha256 == file_sha256(lamp_set.path / "1.pth")


def test_a_matrix_of_other_weights_is_made_anew(weighted, lamp_set):
    assert weighted(1) == 0
    assert weighted(2) == 0
    odds = np.exp([-2.0, 0, 0])  # twice the logits of both lamps shining
    wanted = odds / odds.sum()
    found = matrix_of(lamp_set, "one").probabilities[0]
    np.testing.assert_allclose(found, wanted, atol=5e-4)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"scale": 2}, "weights"),
        ({"scale": 1, "baseline": "mean"}, "fill"),
        ({"scale": 1, "options": ("--resize", "crop")}, "preprocessing"),
    ],
)
def test_matrices_of_other_settings_are_not_mixed(weighted, lamp_set, capsys, change, word):
    assert weighted(1) == 0
    options = change.get("options", ())
    path = lamp_set.path / "out/in/two"
    others = ("--results", lamp_set.path / "others")
    baseline = change.get("baseline", "black")
    assert weighted(change["scale"], *options, *others, baseline=baseline) == 0
    shutil.copy(lamp_set.path / "others/in/two/matrix.npz", path / "matrix.npz")
    capsys.readouterr()
    assert read_back(lamp_set) == 1
    err = capsys.readouterr().err
    assert f"two/matrix.npz: differs from in/one.png in {word}\n" in err
    assert "statistics of 2 images" in err


def test_matrices_of_other_weights_than_named_are_refused(weighted, lamp_set, capsys):
    assert weighted(1) == 0
    torch.save({"scale": torch.tensor(2.0)}, lamp_set.path / "2.pth")
    assert read_back(lamp_set, "--weights", lamp_set.path / "1.pth") == 0
    assert read_back(lamp_set, "--weights", lamp_set.path / "2.pth") == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "2.pth: the matrices of" in last
    assert last.endswith("are of other weights")


def change_about(path, change):
    """Change what a matrix is about."""
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(arrays["about"].tobytes())
    change(about)
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez_compressed(path, **arrays)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"format": 1}, "of an earlier version; --keep-matrices makes it anew"),
        ({"category": 2}, "category 2, not 1 as it was asked"),
        ({"rank": None}, "rank None of the true class 0"),
        ({"rank": 4}, "rank 4 of the true class 0"),
        ({"exact_classes": [1, 2]}, "the true class 0 is not among the exact ones"),
    ],
)
def test_a_matrix_that_contradicts_itself_is_named(kept, capsys, change, words):
    change_about(kept.path / "out/in/one/matrix.npz", lambda about: about.update(change))
    assert read_back(kept) == 1
    assert words in capsys.readouterr().err
