"""deliberative_explanation.py: what a run leaves, what it does not repeat, what it refuses."""

from pathlib import Path

import numpy as np
import planted
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from companions.deliberative import explainer as explainer_module
from deliberative_explanation import main

PLANTED = Path(planted.__file__)


# ---------------------------------------------------------------- results


@pytest.mark.parametrize("name", ["a", "sub/b"])
def test_an_image_leaves_a_record_of_its_insecurities(two_scenes, name):
    assert two_scenes("--moved", 3, "--share", 0.04) == 0
    record = two_scenes.record(name)
    [insecurity] = record.insecurities
    assert {category.name for category in insecurity.classes} == {"red", "green"}
    assert np.array(insecurity.map).shape == (7, 7)
    assert record.classes[2].name == "blue"
    certainty = 1 - record.classes[0].probability
    assert record.difficulty_value == pytest.approx(certainty, abs=1e-6)


def test_a_record_says_what_removal_does(two_scenes):
    two_scenes("--moved", 3, "--share", 0.04)
    [insecurity] = two_scenes.record("a").insecurities
    assert insecurity.before.p_a == pytest.approx(0.443, abs=0.001)
    assert insecurity.without.p_a < insecurity.before.p_a
    assert insecurity.without.difficulty > insecurity.before.difficulty
    assert insecurity.moved is not None


def test_an_image_leaves_a_figure_in_each_format(two_scenes):
    assert two_scenes("--formats", "png,svg") == 0
    folder = two_scenes.path / "out/sub/b"
    assert "red" in (folder / "insecurities.svg").read_text()
    assert np.asarray(Image.open(folder / "insecurities.png")).std() > 20


def test_an_image_without_insecurities_is_drawn(colour_run, capsys):
    colour_run.images.mkdir()
    Image.new("RGB", (56, 56)).save(colour_run.images / "black.png")
    assert colour_run("--formats", "svg") == 0
    assert colour_run.record("black").insecurities == []
    assert "no place with evidence" in capsys.readouterr().err
    drawn = (colour_run.path / "out/black/insecurities.svg").read_text()
    assert "No place has evidence for two" in drawn


def test_a_figure_for_print_is_as_wide_as_a_column(two_scenes):
    two_scenes("--style", "paper", images=two_scenes.images / "a.png")
    figure = Image.open(two_scenes.path / "out/a/insecurities.png")
    assert figure.width == pytest.approx(3.3 * 400, abs=2)


def test_images_may_be_given_by_name(two_scenes):
    assert (
        main(
            [
                *("--images", str(two_scenes.images / "a.png")),
                *("--results", str(two_scenes.path / "out"), "--device", "cpu"),
                *("--model", f"{PLANTED}:colours", "--moved", "0"),
            ]
        )
        == 0
    )
    assert two_scenes.record("a").insecurities[0].moved is None


@pytest.mark.parametrize("rank", ["probable", "strength"])
def test_the_record_says_how_its_insecurities_were_ranked(two_scenes, rank):
    two_scenes("--rank", rank, "--moved", 0, images=two_scenes.images / "a.png")
    record = two_scenes.record("a")
    assert record.settings["rank"] == rank
    found = record.insecurities
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        odds = one.before.p_a * one.before.p_b if rank == "probable" else 1
        assert one.score == pytest.approx(one.strength * odds, rel=1e-4)


# ---------------------------------------------------------------- resume


@pytest.fixture
def explained(monkeypatch):
    """A list that grows with each image that is explained."""
    images = []
    find = explainer_module.find_insecurities

    def noted(*arguments, **options):
        images.append(1)
        return find(*arguments, **options)

    monkeypatch.setattr(explainer_module, "find_insecurities", noted)
    return images


def test_a_record_that_exists_is_not_made_again(two_scenes, explained):
    two_scenes()
    before = two_scenes.file("a").read_bytes()
    assert two_scenes("--batch-size", 3) == 0
    assert len(explained) == 2
    assert two_scenes.file("a").read_bytes() == before


def test_overwrite_makes_records_again(two_scenes, explained):
    two_scenes()
    two_scenes("--overwrite")
    assert len(explained) == 4


def test_another_difficulty_makes_records_again(two_scenes, explained):
    two_scenes()
    two_scenes("--difficulty", "entropy")
    assert len(explained) == 4


def test_a_damaged_record_is_made_again(two_scenes, explained):
    two_scenes()
    whole = two_scenes.file("a").read_bytes()
    two_scenes.file("a").write_bytes(whole[:100])
    assert two_scenes() == 0
    assert len(explained) == 3
    assert two_scenes.record("a").image == "a.png"


def test_ctrl_c_keeps_what_is_finished(two_scenes, monkeypatch, capsys):
    find = explainer_module.find_insecurities
    done = []

    def interrupt(*arguments, **options):
        if done:
            raise KeyboardInterrupt
        done.append(1)
        return find(*arguments, **options)

    monkeypatch.setattr(explainer_module, "find_insecurities", interrupt)
    assert two_scenes() == 130
    assert "out, the same command goes on from there" in capsys.readouterr().err
    assert len(list((two_scenes.path / "out").rglob("insecurities.json"))) == 1


def test_an_interrupted_run_goes_on(two_scenes, explained):
    two_scenes(images=two_scenes.images / "a.png")
    assert two_scenes() == 0
    assert len(explained) == 2


# ---------------------------------------------------------------- failures


def test_a_bad_image_is_named_and_the_others_are_done(two_scenes, capsys):
    (two_scenes.images / "c.png").write_bytes(b"no image")
    assert two_scenes() == 1
    assert "failed: c.png: cannot read it: not an image" in capsys.readouterr().err
    assert len(list((two_scenes.path / "out").rglob("insecurities.json"))) == 2


def test_a_network_that_answers_nan_fails_the_image(two_scenes, capsys, monkeypatch):
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: x * float("nan"))
    assert two_scenes(images=two_scenes.images / "a.png") == 1
    assert "NaN" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, words",
    [
        ("--share 0", ": 0 is"),
        ("--share 1.2", "1.2"),
        ("--top 0", ": 0 is"),
        ("--top 11", "11"),
        ("--attribution luck", "luck"),
        ("--difficulty no.safetensors", "no.safetensors"),
        ("--baseline drop", "drop"),
        ("--rank x", "x is none of"),
        ("--moved -1", "-1"),
        ("--evaluate imagenet", "imagenet"),
        ("--evaluate cub", "images.txt"),
        ("--evaluate ade20k", "objectInfo150"),
        ("--evaluate cub --train-hardness x.safetensors", "only one of --train-hardness"),
    ],
)
def test_unusable_arguments_are_one_line(two_scenes, error_line, options, words):
    assert two_scenes(*options.split()) == 2
    line = error_line()
    assert words in line
    assert options.split()[0] in line


def run_with(model, two_scenes, images=None):
    """Run the command with a planted network; return its exit status."""
    return two_scenes("--model", f"{PLANTED}:{model}", images=images)


def test_a_network_without_convolutions_is_refused(two_scenes, error_line):
    (two_scenes.path / "names.txt").write_text("a\nb\nc\nd\n")
    assert run_with("small_vit", two_scenes) == 2
    line = error_line()
    assert "Conv2d (1)" in line
    assert "LayerNorm" in line
    assert not list((two_scenes.path / "out").rglob("*.json"))


def test_a_network_without_layers_is_refused(two_scenes, error_line):
    assert run_with("network", two_scenes) == 2
    assert "its layers: none" in error_line()


def test_a_missing_folder_of_images_is_named(two_scenes, error_line):
    assert run_with("colours", two_scenes, images=two_scenes.images / "nowhere") == 2
    assert "nowhere" in error_line()


# ---------------------------------------------------------------- training


@pytest.fixture
def labelled(colour_run):
    """The command on 40 images in a folder per class, a quarter of them in the wrong one."""
    rng = np.random.default_rng(0)
    for number in range(40):
        image = np.zeros((56, 56, 3), np.uint8)
        image[..., :2] = rng.integers(0, 256, 2)
        greener = int(image[0, 0, 1] > image[0, 0, 0])
        name = ("red", "green")[greener if number % 4 else number // 4 % 2]
        folder = colour_run.images / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
    return colour_run


@pytest.fixture
def trained(labelled, capsys):
    """The same, and the file of a predictor trained on the images."""
    labelled.predictor = labelled.path / "hard.safetensors"
    assert labelled("--train-hardness", labelled.predictor) == 0
    labelled.log = capsys.readouterr().err
    return labelled


def test_training_writes_a_predictor_and_says_how_good_it_is(trained):
    assert load_file(trained.predictor)["weight"].shape == (1, 3)
    assert "rank correlation" in trained.log


def test_a_trained_predictor_is_a_difficulty(trained):
    image = next((trained.images / "red").glob("*.png"))
    assert trained("--difficulty", trained.predictor, "--moved", 0, images=image) == 0
    record = trained.record(image.stem)
    assert record.difficulty.name == "hardness"
    assert 0 < record.difficulty_value < 1


def test_an_unreadable_image_is_left_out_of_training(trained, capsys):
    learned = load_file(trained.predictor)
    (trained.images / "red/deep").mkdir()  # the class is the first folder
    (trained.images / "red/deep/cut.png").write_bytes(b"no image")
    assert trained("--train-hardness", trained.predictor) == 1
    err = capsys.readouterr().err
    assert "failed: red/deep/cut.png: cannot read it: not an image" in err
    again = load_file(trained.predictor)
    assert all(torch.equal(learned[key], value) for key, value in again.items())


def test_a_folder_that_is_no_class_is_refused(labelled, capsys):
    (labelled.images / "violet").mkdir()
    Image.new("RGB", (8, 8)).save(labelled.images / "violet/x.png")
    assert labelled("--train-hardness", labelled.path / "hard.safetensors") == 2
    assert "violet" in capsys.readouterr().err.splitlines()[-1]


def test_a_predictor_needs_enough_images(labelled, capsys):
    for path in sorted(labelled.images.rglob("*.png"))[:25]:
        path.unlink()
    assert labelled("--train-hardness", labelled.path / "hard.safetensors") == 2
    assert "15 images; a predictor needs 20" in capsys.readouterr().err
