"""reproduce_paper.py as a user runs it, on planted networks; labels in every layout; resume; bad input."""

import csv
import json
import re
from pathlib import Path

import pytest
from PIL import Image

import reproduce_paper
from experiments.images import class_numbers, drawn_scenes, from_folder
from experiments.part_truth import box_shares, precision_and_recall
from planted import PLANTED
from utils import UserError

HERE = Path(__file__).resolve().parent
NAMES = ["zero, nought", "one", "two"]


def run(*options):
    """main() in this process -> its exit status."""
    try:
        return reproduce_paper.main([str(o) for o in options])
    except SystemExit as end:
        return end.code


@pytest.fixture
def images(tmp_path):
    """Three white pictures, in a folder per class: two rightly labelled, one wrongly."""
    for name in ("one/a.png", "one/b.png", "two/c.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (56, 56), "white").save(tmp_path / "in" / name)
    (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n")
    return tmp_path / "in"


def options(images, **more):
    given = {
        "images": images,
        "results": images.parent / "out",
        "model": f"{HERE}/planted.py:network",
        "labels": images.parent / "names.txt",
        "grid": 4,
        "device": "cpu",
        "sample": 2,
        "combs": 3,
        "exhaustive": 2,
        **more,
    }
    return [x for name, value in given.items() for x in (f"--{name.replace('_', '-')}", value)]


def table(out, name):
    with open(out / f"tables/{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def untimed(markdown):
    """Without the table of costs, whose seconds no two runs share."""
    return re.sub(r"\*\*Cost of a search.*?float32\.", "", markdown, flags=re.DOTALL)


# ---------------------------------------------------------------- a whole run


def test_tables_of_a_planted_network_have_the_values_that_are_known(images):
    assert run(*options(images)) == 0
    out = images.parent / "out"
    (what,) = table(out, "images")
    assert (
        (what["images"], what["with a label"]) == ("3", "3")
        and float(what["named rightly"]) == pytest.approx(2 / 3)
        and float(what["with an MSE"]) == 1
    )
    assert float(what["confidence"]) == pytest.approx(0.95, abs=1e-3)
    counts = {r["search"]: r for r in table(out, "number_of_explanations")}
    for search in ("CombS", "SIS"):  # all three, which are disjoint
        assert [
            float(counts[search][c]) for c in ("MSEs", "overlap 0", "overlap 1", "overlap 2")
        ] == [len(PLANTED)] * 4
    sizes = {r["search"]: r for r in table(out, "sizes")}
    assert [
        float(sizes["CombS"][c]) for c in ("smallest", "mean size", "1", "2", "3", "4")
    ] == pytest.approx([1, 2, 1 / 3, 1 / 3, 1 / 3, 0])
    small = {r["search"]: r for r in table(out, "small_explanations")}
    assert (
        all(float(small[s]["k = 1"]) == 1 for s in ("BeamS-3", "BeamS-15", "CombS"))
        and "k = 20" not in small["CombS"]
    )
    recall = {r["search"]: r for r in table(out, "recall_of_small")}
    assert (
        recall["CombS"]["images"] == recall["BeamS-3"]["images"] == "2"
        and float(recall["CombS"]["such MSEs an image"]) == 3
    )
    assert (
        float(recall["CombS"]["recall"]) == 1
        and 1 / 3 <= float(recall["BeamS-3"]["recall"]) <= float(recall["BeamS-15"]["recall"]) <= 1
    )
    cost = {r["search"]: r for r in table(out, "cost")}
    assert (
        float(cost["CombS"]["scored"]) >= 1820
        and float(cost["exhaustive, size <= 3"]["scored"])
        == 2 + 16 + 15 * 14 // 2 + 15 * 14 * 13 // 6 - 13
    )
    choices = {r["changed"]: r for r in table(out, "choices")}
    assert (
        float(choices["as it is"]["agreement of roots"]) == 1
        and "Grad-CAM" not in choices
        and {r["images"] for r in choices.values()} == {"2"}
    )
    for figure in (
        "small_explanations",
        "sizes",
        "cost",
        "patch_use",
        "insertion_deletion",
        "simulated_study",
    ):
        assert all(
            (out / f"figures/{figure}.{kind}").stat().st_size > 3000 for kind in ("png", "pdf")
        )
    assert not (out / "figures/truth.png").exists()  # no parts are known here
    assert (
        "| BeamS-3 | 3 |" in (out / "tables.md").read_text()
        and r"\begin{tabular}" in (out / "tables/cost.tex").read_text()
    )


def test_sheets_and_their_key(images):
    assert run(*options(images, conditions="beam3")) == 0
    folder = images.parent / "out/sheets"
    key = list(csv.DictReader(open(folder / "answer_key.csv", encoding="utf-8")))
    assert [r["question"] for r in key] == ["1", "2", "3"] and all(
        (r["right"] == "A") == (float(r["confidence_a"]) > float(r["confidence_b"])) for r in key
    )
    assert sorted(f.name for f in folder.glob("*.html")) == [
        "sheet_igos.html",
        "sheet_root.html",
        "sheet_sag.html",
    ]  # no convolution, no Grad-CAM
    page = (folder / "sheet_sag.html").read_text(encoding="utf-8")
    assert (
        len(re.findall('type="radio"', page)) == 6
        and "{{" not in page
        and "http://" not in page
        and "https://" not in page
    )
    assert page.count("data:image/png") == 9
    for r in key:  # and no answer is given away
        assert f"{float(r['confidence_a']):.2f}" not in re.sub(r"base64,[^\"]*", "", page)


def test_a_drawn_world_brings_its_truth(tmp_path):
    assert (
        run("--scenes", 1, "--conditions", "beam3", "--results", tmp_path, "--device", "cpu") == 0
    )
    (row,) = table(tmp_path, "truth")
    measurement = json.loads((tmp_path / "measurements/scene_00000/beam3.json").read_text())
    shares = box_shares(measurement["boxes"], (7, 7), (224, 224))
    right = precision_and_recall(
        [tuple(r["patches"]) for r in measurement["finding"]["roots"]], shares, 0
    )
    assert (
        row["search"] == "BeamS-3"
        and (float(row["precision"]), float(row["recall"])) == pytest.approx(right)
        and (tmp_path / "figures/truth.png").exists()
    )
    assert (
        set(measurement["boxes"]) == {"beak", "crest", "wing", "tail", "feet"}
        and measurement["label"] == measurement["category"] == 0
    )


# ---------------------------------------------------------------- resume


def test_what_is_there_is_not_measured_again(images, monkeypatch):
    out, calls, real = images.parent / "out", [], reproduce_paper.measure

    def counted(passes, image, category, condition, args):
        calls.append(condition)
        return real(passes, image, category, condition, args)

    monkeypatch.setattr(reproduce_paper, "measure", counted)
    common = options(images, conditions="beam3,sis")
    assert run(*common) == 0 and sorted(calls) == ["beam3"] * 3 + ["sis"] * 2
    before = (out / "tables.md").read_text()
    calls.clear()
    assert run(*common) == 0 and calls == [] and (out / "tables.md").read_text() == before
    (out / "measurements/one/a.png/beam3.json").write_text('{"format": 1, "key"')  # cut off
    assert run(*common) == 0 and calls == ["beam3"]
    calls.clear()
    Image.new("RGB", (56, 56), "#fefefe").save(
        images / "one/b.png"
    )  # another picture of the same name
    assert run(*common) == 0 and set(calls) <= {"beam3", "sis"} and calls.count("beam3") == 1
    calls.clear()
    assert run(*common, "--seed", 1) == 0 and calls.count("beam3") == 3  # other settings
    calls.clear()
    assert run(*common, "--tables-only") == 0 and calls == []


def test_what_is_missing_comes_first(images, monkeypatch):
    """Looking through what is there may take minutes where there is much; the work need not wait for it."""
    common, looked_at, real = options(images, conditions="beam3,sis"), [], reproduce_paper.do
    monkeypatch.setattr(
        reproduce_paper, "do", lambda job, *rest: (looked_at.append(job.path), real(job, *rest))
    )
    assert run(*common) == 0
    *others, last = looked_at
    last.unlink()
    tables_before = (images.parent / "out/tables.md").read_text()
    looked_at.clear()
    assert run(*common) == 0 and looked_at == [last, *others]
    assert untimed((images.parent / "out/tables.md").read_text()) == untimed(tables_before)


def test_an_interrupted_run_goes_on_where_it_was_and_ends_the_same(images, monkeypatch):
    out, real, left = images.parent / "out", reproduce_paper.measure, [2]

    def interrupted(*args):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(*args)

    common = options(images, conditions="beam3,sis")
    with monkeypatch.context() as patch:
        patch.setattr(reproduce_paper, "measure", interrupted)
        assert (
            run(*common) == 130
            and len(list(out.rglob("*.json"))) == 2
            and not list(out.rglob(".*.json.*"))
        )
    assert run(*common) == 0 and len(list(out.rglob("*.json"))) == 5
    assert run(*options(images, conditions="beam3,sis", results=images.parent / "whole")) == 0
    for name in ("number_of_explanations", "simulated_study", "sizes"):
        assert table(out, name) == table(images.parent / "whole", name)


def test_one_bad_image_does_not_stop_the_others(images, capsys):
    (images / "one/bad.png").write_bytes(b"not a picture")
    assert run(*options(images, conditions="beam3")) == 1
    assert "failed: one/bad.png, beam3: ValueError: cannot read it" in capsys.readouterr().err
    assert table(images.parent / "out", "images")[0]["images"] == "3"


def test_an_image_that_is_gone_costs_its_own_measurements_only(images, capsys):
    (images / "one/gone.png").symlink_to(images / "nowhere.png")
    assert run(*options(images, conditions="beam3")) == 1
    assert "failed: one/gone.png, beam3: FileNotFoundError" in capsys.readouterr().err
    assert table(images.parent / "out", "images")[0]["images"] == "3"


def test_labels_may_be_mended_without_measuring_again(images, tmp_path, monkeypatch):
    labels = tmp_path / "l.csv"
    labels.write_text("file,label\none/a.png,2\none/b.png,2\n")
    common = options(images, conditions="beam3", labels_csv=labels)
    assert run(*common) == 0 and float(table(tmp_path / "out", "images")[0]["named rightly"]) == 0
    labels.write_text("file,label\none/a.png,1\none/b.png,2\n")
    monkeypatch.setattr(reproduce_paper, "measure", None)
    assert run(*common) == 0 and float(table(tmp_path / "out", "images")[0]["named rightly"]) == 0.5


def test_results_may_lie_among_the_images_but_not_be_their_folder(images, capsys):
    for _ in range(2):
        assert run(*options(images, conditions="beam3", results=images / "out")) == 0
    assert table(images / "out", "images")[0]["images"] == "3"
    capsys.readouterr()
    assert (
        run(*options(images, results=images)) == 2
        and "the folder of the images themselves" in capsys.readouterr().err
    )


# ---------------------------------------------------------------- labels


def test_labels_in_every_layout(images, tmp_path):
    assert [(s.name, s.label) for s in from_folder(images, None, NAMES)] == [
        ("one/a.png", 1),
        ("one/b.png", 1),
        ("two/c.png", 2),
    ]
    (tmp_path / "l.csv").write_text("file,label\none/a.png,2\ntwo/c.png,Nought\n")
    assert [(s.name, s.label) for s in from_folder(images, tmp_path / "l.csv", NAMES)] == [
        ("one/a.png", 2),
        ("two/c.png", 0),
    ]
    Image.new("RGB", (8, 8)).save(images / "ILSVRC2012_val_00000001.JPEG")
    (tmp_path / "k.csv").write_text(
        "ImageId,PredictionString\nILSVRC2012_val_00000001,1 5 5 9 9\n"
    )  # as Kaggle's LOC_val_solution.csv
    assert [(s.name, s.label) for s in from_folder(images, tmp_path / "k.csv", NAMES)] == [
        ("ILSVRC2012_val_00000001.JPEG", 1)
    ]
    assert [s.label for s in from_folder(images, None, NAMES) if s.name.startswith("ILS")] == [
        None
    ]  # beside the folders: unknown
    assert class_numbers(["n02", "n01"], ["a", "n02", "n01"], ["", ""]) == [1, 2]
    assert class_numbers(["n00000007", "n00000002"], ["a", "b"], ["", ""]) == [
        1,
        0,
    ]  # WordNet ids, all classes there


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "needs a column of files"),
        ("file,label\n", "no row in it"),
        ("label\n1\n", "needs a column of files"),
        ("file,author\na,b\n", "one of labels"),
        ("file,label\none/a.png,9\n", "line 2: 9 is none of the model's 3 classes"),
        ("file,label\none/a.png,\n", "line 2: (empty) is none"),
        ("file,label\none/a.png,1\none/z.png,1\n", "line 3: no such image below"),
        ("file,label\none/a.png,1\none/a.png,2\n", "line 3: one/a.png is there twice"),
        ("file,label\n../names.txt,1\n", "line 2: ../names.txt does not lie below"),
        ("file,label\n/etc/hostname,1\n", "line 2: /etc/hostname does not lie below"),
        ("file,label\none/a.png\n", "line 2: (empty) is none"),
        ("file,label\none/a.png,n01440764\n", "1 WordNet ids, the model has 3 classes"),
    ],
)
def test_a_bad_csv_is_one_line_that_names_it(images, tmp_path, capsys, text, says):
    path = tmp_path / "l.csv"
    path.write_text(text)
    assert run(*options(images, labels_csv=path)) == 2
    error = capsys.readouterr().err.strip()
    assert says in error and str(path) in error and "\n" not in error
    with pytest.raises(UserError):
        from_folder(images, path, NAMES)


@pytest.mark.parametrize(
    "more, says",
    [
        (["--conditions", "beam4"], "beam4 is none of beam3"),
        (["--labels-csv", "nowhere.csv"], "nowhere.csv"),
        (["--grid", "0"], "0 is not a whole number"),
        (["--images", "nowhere"], "nowhere: no such file or folder"),
        (["--grid", "28"], "sets of 784 patches"),
    ],
)
def test_bad_options_are_one_line(images, capsys, more, says):
    assert run(*options(images), *more) == 2
    error = capsys.readouterr().err.strip()
    assert says in error and "\n" not in error


def test_a_folder_that_is_no_class_is_named(images, capsys):
    (images / "two").rename(images / "twelve")
    assert (
        run(*options(images)) == 2
        and "twelve is none of the model's 3 classes" in capsys.readouterr().err
    )


def test_scenes_are_the_bundled_models_and_the_same_each_time(images, capsys):
    assert (
        run("--model", f"{HERE}/planted.py:network", "--results", images.parent / "out") == 2
        and "--model" in capsys.readouterr().err
    )
    first, again, other = (drawn_scenes(13, seed)[12] for seed in (0, 0, 1))
    assert (
        first.load((224, 224)) == again.load((224, 224))
    ).all() and first.identity() == again.identity() != other.identity()
    assert first.label == 0 and set(first.boxes()) == {"beak", "crest", "wing", "tail", "feet"}
    with pytest.raises(ValueError, match="224"):
        first.load((96, 96))
