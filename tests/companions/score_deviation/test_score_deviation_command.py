"""score_deviation.py: what a run leaves, what it does not repeat, and what it refuses."""

import subprocess
import sys

import numpy as np
import pytest
from lamps import probabilities
from PIL import Image

from companions.score_deviation import explainer as explainer_module
from companions.score_deviation.record import decode_deviation
from score_deviation import Settings, main, with_bundled
from utils import PROJECT

# ---------------------------------------------------------------- results


def test_an_image_leaves_a_record_with_its_deviations(explained):
    record = explained.record("one")
    assert record.category.name == record.predicted.name == "b"
    assert record.true is None
    assert record.evaluations == 4
    full = probabilities(1, 1)[1]
    assert {label.name: label.deviation for label in record.labels} == pytest.approx(
        {
            "upper lamp": full - probabilities(0, 1)[1],
            "middle lamp": full - probabilities(1, 0)[1],
            "lower lamp": 0,
        },
        abs=1e-6,
    )


def test_a_record_says_how_much_each_label_covers(explained):
    assert [label.area for label in explained.record("one").labels] == [1 / 3] * 3


def test_an_image_leaves_a_figure(explained):
    assert Image.open(explained.path / "out/one/deviation.png").width > 800


def test_the_summary_has_a_row_per_image(explained):
    rows = explained.summary()
    assert [row["image"] for row in rows] == ["one.png", "three.png", "two.png"]
    assert rows[0]["most_supporting"] == "middle lamp"
    assert not any(row["error"] for row in rows)


@pytest.mark.parametrize("category", ["0", "a", "A"])
def test_the_class_is_given_by_index_or_name(lamp_set, category):
    lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps, "--category", category)
    record = lamp_set.record("one")
    assert record.category.index == record.asked.category == 0


def test_images_may_be_given_by_name_or_bare(lamp_set):
    images = lamp_set.path / "in/one.png"
    assert lamp_set.run("--images", images, *lamp_set.maps) == 0
    assert lamp_set.record("one").settings["images"] == images.as_posix()


def test_without_images_the_bundled_scenes_are_explained():
    settings = with_bundled(Settings())
    assert settings.images == PROJECT / "Images"
    assert settings.regions == str(PROJECT / "birds/part_maps")
    assert settings.region_names == PROJECT / "birds/part_names.txt"


def test_slic_needs_no_label_names_on_the_bundled_scenes():
    settings = with_bundled(Settings(regions="slic"))
    assert (settings.regions, settings.region_names) == ("slic", None)


def test_without_label_maps_images_are_cut_into_superpixels(lamp_set, capsys):
    assert lamp_set.run(lamp_set.path / "in", "--segments", 4) == 0
    assert "3 of 3 images have no label map and are cut" in capsys.readouterr().err
    assert lamp_set.record("one").segmentation.source == "slic"


# ---------------------------------------------------------------- resume


def write_time(lamp_set, name):
    """Return when an image's record was written."""
    return (lamp_set.path / "out" / name / "deviation.json").stat().st_mtime_ns


def test_a_record_that_exists_is_not_made_again(explained, capsys):
    before = write_time(explained, "one")
    capsys.readouterr()
    assert explained.run(explained.path / "in", *explained.maps) == 0
    assert capsys.readouterr().err.count("there already") == 3
    assert write_time(explained, "one") == before


def test_damaged_and_missing_records_are_made_again(explained, capsys):
    (explained.path / "out/two/deviation.json").write_text('{"format": 1, "labels": [{}]}')
    (explained.path / "out/three/deviation.json").unlink()
    capsys.readouterr()
    assert explained.run(explained.path / "in", *explained.maps) == 0
    assert capsys.readouterr().err.count("there already") == 1
    assert explained.record("two").labels[0].name == "upper lamp"


def test_another_baseline_makes_a_record_again(lamp_set):
    lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps)
    lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps, baseline="blur")
    assert lamp_set.record("one").baseline == "blur"


def test_another_seed_makes_a_record_again(lamp_set):
    lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps)
    lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps, "--seed", 1)
    assert lamp_set.record("one").settings["seed"] == 1


def test_other_label_names_make_a_record_again(lamp_set):
    lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps)
    (lamp_set.path / "names.txt").write_text("x\ny\nz\n")
    lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps)
    assert lamp_set.record("one").labels[0].name == "x"


def test_overwrite_makes_a_record_again(lamp_set):
    lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps)
    before = write_time(lamp_set, "one")
    lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps, "--overwrite")
    assert write_time(lamp_set, "one") != before


# ---------------------------------------------------------------- figures in another style


@pytest.fixture
def drawn(lamp_set, monkeypatch):
    """An explained image, and a list that grows with each figure; the network is gone."""
    lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps)
    figures = []
    draw = explainer_module.draw_map

    def noted(*arguments, **options):
        figures.append(options)
        draw(*arguments, **options)

    monkeypatch.setattr(explainer_module, "draw_map", noted)
    monkeypatch.setattr(explainer_module, "explain_regions", None)
    return figures


def test_other_formats_are_drawn_from_the_record(lamp_set, drawn):
    options = (lamp_set.path / "in/one.png", *lamp_set.maps)
    assert lamp_set.run(*options, "--formats", "png,svg") == 0
    assert (lamp_set.path / "out/one/deviation.svg").is_file()
    assert len(drawn) == 1


def test_figures_of_another_width_are_drawn_again(lamp_set, drawn):
    options = (lamp_set.path / "in/one.png", *lamp_set.maps, "--style", "paper")
    figure = lamp_set.path / "out/one/deviation_paper.png"
    lamp_set.run(*options)
    narrow = Image.open(figure).width
    lamp_set.run(*options, "--width", 6)
    assert Image.open(figure).width > 1.5 * narrow
    lamp_set.run(*options, "--width", 6)
    assert len(drawn) == 2


def test_drawing_changes_nothing_but_settings(lamp_set, drawn):
    before = lamp_set.record("one")
    lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps, "--style", "paper", "--width", 6)
    after = lamp_set.record("one")
    assert after.settings["width"] == 6
    after.settings = before.settings
    assert after == before


def test_no_figure_of_an_earlier_record_stays(lamp_set):
    options = (lamp_set.path / "in/one.png", *lamp_set.maps)
    lamp_set.run(*options, "--style", "paper")
    lamp_set.run(*options, baseline="blur")
    assert not list((lamp_set.path / "out/one").glob("*_paper.*"))


# ---------------------------------------------------------------- folders and interruptions


def test_images_of_one_name_have_folders_of_their_own(lamp_set):
    Image.open(lamp_set.path / "in/two.png").save(lamp_set.path / "in/one.bmp")
    for name in ("one.bmp", "one.png"):  # one run each
        assert lamp_set.run(lamp_set.path / "in" / name, *lamp_set.maps) == 0
    assert lamp_set.record("one").image == "one.bmp"
    assert lamp_set.record("one.png").image == "one.png"


def test_the_summary_keeps_images_of_earlier_runs(lamp_set, monkeypatch):
    for name in ("one.png", "two.png"):
        lamp_set.run(lamp_set.path / "in" / name, *lamp_set.maps)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(explainer_module, "read_deviation", interrupt)
    assert lamp_set.run(lamp_set.path / "in", *lamp_set.maps) == 130
    rows = [(row["image"], row["folder"]) for row in lamp_set.summary()]
    assert rows == [("one.png", "one"), ("two.png", "two")]


def test_a_table_that_is_no_summary_is_a_failure(lamp_set, capsys):
    (lamp_set.path / "out").mkdir()
    (lamp_set.path / "out/summary.csv").write_bytes(b"image\n\xff\n")
    assert lamp_set.run(lamp_set.path / "in/two.png", *lamp_set.maps) == 1
    assert "summary.csv: no summary of this program" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_finished(lamp_set, monkeypatch, capsys):
    original = explainer_module.explain_regions
    done = []

    def interrupt(*arguments, **options):
        if done:
            raise KeyboardInterrupt
        done.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(explainer_module, "explain_regions", interrupt)
    assert lamp_set.run(lamp_set.path / "in", *lamp_set.maps) == 130
    assert "out, the same command goes on from there" in capsys.readouterr().err
    assert len(list((lamp_set.path / "out").rglob("deviation.json"))) == 1


def test_results_are_not_the_folder_of_the_images(lamp_set, capsys):
    images = lamp_set.path / "in"
    assert lamp_set.run(images, "--regions", "slic", "--results", images) == 2
    assert "the folder of the images themselves" in capsys.readouterr().err


def test_results_among_the_images_are_no_images(lamp_set, monkeypatch):
    monkeypatch.setattr(explainer_module, "draw_map", lambda *_, **__: None)
    images = lamp_set.path / "in"
    cut = ("--regions", "slic", "--segments", 4)
    assert lamp_set.run(images, *cut, "--results", images / "here") == 0
    assert lamp_set.run(images, *cut) == 0
    assert len(lamp_set.summary()) == 3


# ---------------------------------------------------------------- failures


@pytest.fixture
def mixed_set(lamp_set):
    """A manifest of a good image and of five that fail in different ways."""
    images = lamp_set.path / "in"
    Image.fromarray(np.zeros((9, 12), np.uint8)).save(lamp_set.path / "maps/two.png")
    (images / "four.png").write_bytes(b"no image")
    (images / "five.png").write_bytes((images / "one.png").read_bytes())
    lamp_set.write_manifest(
        "in/one.png,maps/one.png,a",
        "in/two.png,maps/two.png,a",
        "in/three.png,maps/none.png,a",
        "in/four.png,maps/one.png,a",
        "in/five.png,maps/one.png,zebra",
    )
    return lamp_set


@pytest.mark.parametrize(
    "words",
    [
        "in/two.png: label map",
        "12 x 9 pixels, the image two.png has 12 x 12",
        "in/three.png: ",
        "none.png",
        "in/four.png: cannot read it: not an image",
        "in/five.png: class zebra: ",
        "1 record in",
    ],
)
def test_a_bad_image_of_a_set_is_named(mixed_set, capsys, words):
    assert mixed_set.run(*mixed_set.manifest) == 1
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


def test_the_summary_has_a_row_for_each_failed_image(mixed_set):
    mixed_set.run(*mixed_set.manifest)
    rows = mixed_set.summary()
    assert len(rows) == 5
    assert [bool(row["error"]) for row in rows] == [True, True, False, True, True]


def test_a_label_without_a_name_fails_the_image(lamp_set, capsys):
    (lamp_set.path / "names.txt").write_text("upper lamp\n\nlower lamp\n")
    assert lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps) == 1
    assert "one.png: no name for label 2 in the label map" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, words",
    [
        ("{}/in --regions {}/no.png", "no.png"),
        ("{}/none", "none: no such file"),
        ("{}/in --regions slic --region-names {}/names.txt", "superpixels have no names"),
        ("--manifest {}/none.csv", "none.csv"),
        ("--manifest {}/names.txt", "no column named image"),
        ("--manifest {}/twice.csv", "in/one.png: named twice"),
        ("--ade20k {}", "not ADE20K's folder"),
        ("--places365 {}", "categories_places365.txt"),
        ("{}/in --ade20k {}", "only one of"),
        ("{}/in --regions slic --category 7", "--category 7"),
        ("{}/in --regions slic --category zebra", "--category zebra"),
        ("{}/in --regions slic --segments 1", "--segments: 1 is not a whole number"),
        ("{}/in --regions slic --baseline pink", "--baseline: pink is none of"),
        ("{}/in --regions slic --baseline drop", "--baseline: drop is none of"),
        ("{}/in --regions slic --relevant 2", "--relevant: 2 "),
        ("{}/in --regions slic --labels {}/two.txt", "--labels"),
        ("{}/in --fill mean", "--fill"),
    ],
)
def test_unusable_arguments_are_one_line(lamp_set, capsys, options, words):
    (lamp_set.path / "two.txt").write_text("a\nb\n")
    (lamp_set.path / "twice.csv").write_text("image,mask\nin/one.png,m\nin/one.png,n\n")
    assert lamp_set.run(*options.replace("{}", str(lamp_set.path)).split()) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert words in lines[0]


@pytest.mark.parametrize("command", ["score_deviation.py", "deliberative_explanation.py"])
def test_help_answers_without_pytorch(command):
    code = (
        "import runpy, sys; sys.argv = [sys.argv[1], '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit: print([m for m in ('torch', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "examples:" in done.stdout


def test_the_bundled_scenes_run_from_python(tmp_path):
    assert main(["--images", str(PROJECT / "Images/copper_jay.png"), *bundled(tmp_path)]) == 0
    content = (tmp_path / "copper_jay/deviation.json").read_bytes()
    assert decode_deviation(content).category.name == "copper jay"


def bundled(results):
    """Return the options that cut a bundled scene into parts."""
    return [
        *("--regions", str(PROJECT / "birds/part_maps")),
        *("--region-names", str(PROJECT / "birds/part_names.txt")),
        *("--results", str(results), "--device", "cpu"),
    ]
