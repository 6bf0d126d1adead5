"""Statistics of many images, counted by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from lamps import probabilities
from msgspec.structs import replace

import score_deviation
from companions.score_deviation.accuracy import loss
from companions.score_deviation.class_figures import heading_of
from companions.score_deviation.record import (
    Asked,
    ClassProbability,
    DeviationRecord,
    LabelDeviation,
    LabelMap,
    MapSource,
    TrueClass,
)
from companions.score_deviation.statistics import (
    class_statistics,
    distracting,
    distracting_by_largest,
    kind_of,
    labels_table,
    shares_of,
    statistics,
)
from drawing.record import Category, Model


@pytest.fixture
def drawn_set(lamp_set):
    """A set whose classes get figures; that takes seconds, and most tests look at numbers."""
    return lamp_set


@pytest.fixture(autouse=True)
def without_class_figures(request, monkeypatch):
    """Leave the figures of the classes out, unless the test is about them."""
    if "drawn_set" not in request.fixturenames:
        monkeypatch.setattr(score_deviation, "draw_classes", lambda *_: None)


A = ClassProbability(0, "a", 0.4)
B = ClassProbability(1, "b", 0.6)


def label_of(name, deviation=0.0, area=0.1, top=A):
    """Return a label with these values."""
    return LabelDeviation(
        label=1,
        name=name,
        area=area,
        deviation=deviation,
        probability=0.5,
        true_deviation=deviation,
        top=top,
    )


def record_of(*labels, true=A, predicted=A):
    """Return a record of class a with these labels."""
    return DeviationRecord(
        category=Category(0, "a"),
        probability=0.4,
        predicted=predicted,
        true=TrueClass(true.index, true.name, true.probability, rank=1) if true else None,
        baseline="mean",
        regions=LabelMap(names=[], labels=[], areas=[], map=""),
        labels=list(labels),
        evaluations=1,
        seconds=0.0,
        image="x.png",
        image_sha256="",
        size=(2, 2),
        model=Model(name="", weights_sha256="", classes=2),
        segmentation=MapSource("slic"),
        asked=Asked(None, "mean", seed=0, true=None),
        settings={},
        versions={},
    )


# ---------------------------------------------------------------- relevant labels


@pytest.fixture
def diluted():
    """Rows of a lamp that is in one of four images, and of a wall that is in all."""
    records = [
        record_of(label_of("lamp", 0.03, 0.1), label_of("wall", -0.5, 0.9)),
        record_of(label_of("wall", 0.1, 1.0)),
        record_of(label_of("wall", 0.1, 1.0)),
        record_of(label_of("wall", 0.1, 1.0)),
    ]
    return {row.label: row for row in class_statistics(records).labels}


def test_an_absent_label_dilutes_the_mean(diluted):
    assert diluted["lamp"].mean == pytest.approx(0.03 / 4)
    assert diluted["lamp"].kind == "irrelevant"


def test_the_mean_where_present_is_not_diluted(diluted):
    assert diluted["lamp"].mean_present == pytest.approx(0.03)
    assert diluted["lamp"].mean_area == pytest.approx(0.1)
    assert diluted["lamp"].present == 1


def test_mean_and_median_may_differ_in_sign(diluted):
    assert diluted["wall"].mean == pytest.approx(-0.05)
    assert diluted["wall"].median == pytest.approx(0.1)
    assert diluted["wall"].kind == "opposing"


@pytest.mark.parametrize(
    "mean, kind",
    [(0.02, "relevant"), (0.01, "irrelevant"), (-0.01, "irrelevant"), (-0.02, "opposing")],
)
def test_the_kind_of_a_label_follows_its_mean(mean, kind):
    assert kind_of(mean, 0.01) == kind


def test_without_a_known_class_the_explained_one_counts():
    found = statistics([record_of(label_of("lamp", 0.2), true=None)])
    assert found.accuracy is None
    assert found.classes["a"].correct == 1
    assert found.classes["a"].labels[0].mean == pytest.approx(0.2)


# ---------------------------------------------------------------- distracting labels


def three_labels(of_wall):
    """Return a misclassified image; of_wall: class b's probability without the wall."""
    return record_of(
        label_of("lamp", top=ClassProbability(0, "a", 0.7)),
        label_of("wall", top=ClassProbability(1, "b", of_wall)),
        label_of("door", top=ClassProbability(0, "a", 0.6)),
        predicted=B,
    )


def test_a_label_distracts_if_the_true_class_wins_without_it():
    assert distracting(three_labels(0.9)) == {"lamp", "door"}


def test_published_rule_names_no_label_of_another_class():
    assert distracting_by_largest(three_labels(0.9)) == set()


def test_published_rule_names_only_the_largest():
    assert distracting_by_largest(three_labels(0.65)) == {"lamp"}


def test_published_rule_counts_the_untouched_image_among_the_rows():
    """Absent labels have rows too: class b's 0.75 there is above the 0.7 of a without the lamp."""
    sure = replace(three_labels(0.65), predicted=ClassProbability(1, "b", 0.75))
    assert distracting_by_largest(sure) == set()
    assert distracting(sure) == {"lamp", "door"}


def test_published_rule_names_all_labels_at_the_largest():
    """Where the maximum stands in several rows, all of them are recorded, as np.where finds."""
    assert distracting_by_largest(three_labels(0.7)) == {"lamp", "wall"}


def test_both_counts_are_kept():
    rows = {row.label: row for row in class_statistics([three_labels(0.65)]).labels}
    assert (rows["lamp"].distracting, rows["lamp"].distracting_by_largest) == (1, 1)
    assert (rows["door"].distracting, rows["door"].distracting_by_largest) == (1, 0)


# ---------------------------------------------------------------- files


def test_statistics_of_a_set_by_hand(lamp_set):
    assert lamp_set.run(*lamp_set.manifest) == 0
    found = lamp_set.statistics()
    # one: (1, 1), true a, predicted b: wrong; without the middle lamp a wins: it distracts.
    # two: (0, 1), true b: right (a tie of b and c goes to b). three: (1, 0), true a: right.
    assert found["accuracy"] == {"top_1": 2 / 3, "top_2": 2 / 3, "top_5": 1.0}
    assert found["with_true_class"] == 3
    # Class a: one of two images right. Class b: all. Losses by hand.
    assert found["mean_class_accuracy"] == (1 / 2 + 1) / 2
    of_true = [probabilities(1, 1)[0], probabilities(0, 1)[1], probabilities(1, 0)[0]]
    assert found["mean_loss"] == pytest.approx(-np.log(of_true).mean(), abs=1e-6)
    a = found["classes"]["a"]
    b = found["classes"]["b"]
    assert (a["images"], a["correct"], b["images"], b["correct"]) == (2, 1, 1, 1)
    rows = {row["label"]: row for row in a["labels"]}
    gone = probabilities(1, 0)[0] - probabilities(0, 0)[0]
    assert rows["upper lamp"]["mean"] == pytest.approx(gone, abs=1e-6)
    assert rows["upper lamp"]["kind"] == "relevant"
    assert rows["lower lamp"]["kind"] == rows["middle lamp"]["kind"] == "irrelevant"
    counts = {n: (r["distracting"], r["distracting_by_largest"]) for n, r in rows.items()}
    assert counts == {"middle lamp": (1, 1), "upper lamp": (0, 0), "lower lamp": (0, 0)}
    middle = next(row for row in b["labels"] if row["label"] == "middle lamp")
    wanted = probabilities(0, 1)[1] - probabilities(0, 0)[1]
    assert middle["mean"] == pytest.approx(wanted, abs=1e-6)
    every = {row["label"]: row for row in found["classes"]["all classes"]["labels"]}
    assert every["upper lamp"]["images"] == 2
    assert every["upper lamp"]["mean"] == pytest.approx(gone / 2, abs=1e-6)


def test_the_log_has_the_table_of_the_published_readme(lamp_set, capsys):
    lamp_set.run(*lamp_set.manifest)
    lines = capsys.readouterr().err.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("Model"))
    assert [word.strip() for word in lines[at].split("|")][1:] == [
        *("Loss", "Top@1", "Top@2", "Top@5", "Mean Class Accuracy")
    ]
    assert [word.strip() for word in lines[at + 1].split("|")][2:] == [
        *("66.67", "66.67", "100.00", "75.00")
    ]


def test_accuracy_only_has_the_figures_of_a_whole_run(lamp_set):
    assert lamp_set.run(*lamp_set.manifest, "--accuracy-only") == 0
    figures = json.loads((lamp_set.path / "out/accuracy.json").read_text())
    assert figures["images"] == 3
    assert [figures[name] for name in ("top_1", "top_2", "top_5")] == [2 / 3, 2 / 3, 1]
    assert figures["mean_class_accuracy"] == 3 / 4
    of_true = [probabilities(1, 1)[0], probabilities(0, 1)[1], probabilities(1, 0)[0]]
    assert figures["mean_loss"] == pytest.approx(-np.log(of_true).mean(), abs=1e-6)
    assert not list((lamp_set.path / "out").rglob("deviation.json"))


def test_accuracy_needs_true_classes(lamp_set, capsys):
    assert lamp_set.run(lamp_set.path / "in", *lamp_set.maps, "--accuracy-only") == 2
    assert "no image with a true class" in capsys.readouterr().err


def test_a_probability_that_rounds_to_0_has_a_finite_loss():
    assert loss(TrueClass(0, "a", 0.0, rank=9)) == pytest.approx(103, abs=0.3)


def test_arrays_have_a_row_per_image_and_a_column_per_label(lamp_set):
    lamp_set.run(*lamp_set.manifest)
    arrays = np.load(lamp_set.path / "out/deviations.npz")
    gone = probabilities(1, 0)[0] - probabilities(0, 0)[0]
    assert arrays["deviation"].shape == arrays["area"].shape == (3, 3)
    assert arrays["labels"].tolist() == ["lower lamp", "middle lamp", "upper lamp"]
    assert arrays["images"].tolist() == ["in/one.png", "in/three.png", "in/two.png"]
    assert arrays["deviation"][1, 2] == pytest.approx(gone, abs=1e-6)
    assert arrays["correct"].tolist() == [False, True, True]


def test_labels_csv_has_the_rows_of_statistics_json(lamp_set):
    lamp_set.run(*lamp_set.manifest)
    table = pd.read_csv(lamp_set.path / "out/labels.csv")
    found = lamp_set.statistics()
    both = {"true": found["classes"], "predicted": found["predicted"]}
    assert len(table) == sum(len(t["labels"]) for of in both.values() for t in of.values())
    assert "values" not in table
    for _, row in table[table["class"] == "a"].iterrows():
        labels = both[row["grouped_by"]]["a"]["labels"]
        wanted = next(r for r in labels if r["label"] == row["label"])
        assert row["kind"] == wanted["kind"]
        assert row["mean"] == pytest.approx(wanted["mean"], abs=1e-6)
        assert row["distracting"] == wanted["distracting"]


def test_a_number_in_labels_csv_has_six_digits(lamp_set):
    lamp_set.run(*lamp_set.manifest)
    lines = (lamp_set.path / "out/labels.csv").read_text().splitlines()
    assert lines[0].split(",")[:6] == ["class", "label", "kind", "images", "present", "mean"]
    row = next(line for line in lines if line.startswith("a,upper lamp"))
    gone = probabilities(1, 0)[0] - probabilities(0, 0)[0]
    assert row.split(",")[5] == f"{gone:.6f}"


def test_a_class_never_recognised_has_no_means(lamp_set):
    lamp_set.write_manifest("in/one.png,maps/one.png,c", "in/two.png,maps/two.png,a")
    assert lamp_set.run(*lamp_set.manifest) == 0
    found = lamp_set.statistics()["classes"]["c"]
    assert found["correct"] == 0
    assert all(row["mean"] is None and row["kind"] is None for row in found["labels"])
    assert not (lamp_set.path / "out/classes/c_words.png").exists()
    row = next(
        line
        for line in (lamp_set.path / "out/labels.csv").read_text().splitlines()
        if line.startswith("c,upper lamp")
    )
    assert row == "c,upper lamp,,0,0,,,,,,,0.333333,1,0,0,true"


def test_figures_and_maps_of_the_classes(drawn_set):
    """one is an a taken for a b, two a b, three an a: the others are right."""
    drawn_set.run(*drawn_set.manifest)
    classes = drawn_set.path / "out/classes"
    kinds = ("labels", "words", "distribution")
    for stem in ("a", "b", "all_classes"):
        assert all((classes / f"{stem}_{kind}.png").is_file() for kind in kinds)
        assert all((classes / f"predicted/{stem}_{kind}.png").is_file() for kind in kinds)
    maps = sorted(p.relative_to(classes / "maps").as_posix() for p in classes.rglob("in/*.png"))
    assert maps == [
        *("a/correct/in/three.png", "a/predicted/in/three.png"),
        *("b/correct/in/two.png", "b/predicted/in/one.png", "b/predicted/in/two.png"),
    ]
    own = (drawn_set.path / "out/in/one/deviation.png").read_bytes()
    assert (classes / "maps/b/predicted/in/one.png").read_bytes() == own


def test_maps_of_another_class_are_in_no_folder(lamp_set, capsys):
    lamp_set.run(*lamp_set.manifest)
    lamp_set.run(*lamp_set.manifest, "--category", "c")
    assert "3 maps are not of the class predicted" in capsys.readouterr().err
    assert not (lamp_set.path / "out/classes/maps").exists()


# ---------------------------------------------------------------- by predicted class


def test_all_images_count_for_the_class_predicted(lamp_set):
    """one and two are taken for b, right or wrong; the deviations are those of b."""
    lamp_set.run(*lamp_set.manifest, "--category", "c")  # the record has b's all the same
    found = lamp_set.statistics()["predicted"]
    assert (found["b"]["images"], found["b"]["correct"]) == (2, 1)
    middle = next(row for row in found["b"]["labels"] if row["label"] == "middle lamp")
    of_one = probabilities(1, 1)[1] - probabilities(1, 0)[1]
    of_two = probabilities(0, 1)[1] - probabilities(0, 0)[1]
    assert (middle["images"], middle["present"]) == (2, 2)
    assert middle["mean"] == pytest.approx((of_one + of_two) / 2, abs=1e-6)
    assert middle["misclassified"] == middle["distracting"] == 0
    assert sorted(middle["values"]) == pytest.approx(sorted([of_one, of_two]), abs=1e-6)


def test_a_record_of_an_earlier_version_does_not_dilute_the_mean():
    other = replace(record_of(label_of("lamp", 0.2)), category=Category(1, "b"))
    new = replace(other, labels=[replace(label_of("lamp", 0.2), predicted_deviation=0.4)])
    table = class_statistics([other, new], by="predicted")
    assert (table.images, table.labels[0].images, table.labels[0].mean) == (2, 1, 0.4)


def test_a_heading_claims_no_accuracy_where_true_classes_are_unknown():
    table = class_statistics([record_of(label_of("lamp", 0.2), true=None)])
    assert heading_of("a", table, "true", known=False) == "a: 1 images"
    assert heading_of("a", table, "true", known=True).startswith("a: 1 of 1 images classified")


def test_without_true_classes_there_is_one_grouping():
    found = statistics([record_of(label_of("lamp", 0.2), true=None)])
    assert found.predicted == {}


# ---------------------------------------------------------------- absent labels


def test_with_absent_as_zero_quartiles_are_over_all_images():
    """A lamp of 0.4 in one of four images: quartiles of 0, 0, 0, 0.4 by hand."""
    records = [record_of(label_of("lamp", 0.4), label_of("wall"))]
    records += [record_of(label_of("wall"))] * 3
    found = statistics(records, absent_as_zero=True).classes["a"].labels[0]
    assert found.label == "lamp"
    assert sorted(found.values) == [0, 0, 0, 0.4]
    assert (found.lower_quartile, found.median) == (0, 0)
    assert found.upper_quartile == pytest.approx(0.1)
    assert (found.mean, found.mean_present, found.present) == (0.1, 0.4, 1)
    here = statistics(records).classes["a"].labels[0]
    assert here.values == [0.4]
    assert here.median == 0.4


def test_a_share_is_of_the_pixels_of_all_images_right_or_wrong():
    records = [
        record_of(label_of("lamp", area=0.5), label_of("wall", area=0.5)),
        record_of(label_of("wall", area=1.0), predicted=B),
    ]
    assert shares_of(records) == {"lamp": 0.25, "wall": 0.75}
    rows = {row.label: row for row in class_statistics(records).labels}
    assert (rows["lamp"].share, rows["wall"].share) == (0.25, 0.75)


def test_superpixels_have_no_statistics(lamp_set, capsys):
    images = lamp_set.path / "in"
    assert lamp_set.run(images, "--regions", "slic", "--segments", 4) == 0
    assert "no statistics: superpixels" in capsys.readouterr().err
    assert not (lamp_set.path / "out/statistics.json").exists()


def test_labels_table_has_a_column_per_field():
    table = labels_table(statistics([record_of(label_of("lamp", 0.2))]))
    assert table.loc[0, "class"] == "a"
    assert table.loc[0, "mean"] == pytest.approx(0.2)
