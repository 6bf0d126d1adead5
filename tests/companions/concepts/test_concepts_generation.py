"""The generate command: files, going on, failures, diffusers; and training on what it made."""

import csv
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_generators import save_pipeline

import companions.concepts.image_generators as image_generators_module
from companions.concepts.generation import MadeFrom, read_made_from, write_made
from companions.concepts.image_generators import UNSAFE, DiffusersPipeline, ImageOptions

PROMPTS = "class,prompt\npainted crake,a painted crake at dusk\npainted crake,a painted crake\n"
KITE = "harbour kite,a harbour kite on sand\n"


@pytest.fixture
def prompts(tmp_path):
    """A file with three prompts of two classes."""
    path = tmp_path / "prompts_mine.csv"
    path.write_text(PROMPTS + KITE)
    return path


@pytest.fixture
def generate(prompts, run, tmp_path):
    """A function that makes the prompts' images with the painter, to its exit status."""

    def call(*further):
        words = ("generate", "--generator", "birds", "--prompts", prompts, "--size", 32)
        return run(*words, "--results", tmp_path, *further)

    return call


@pytest.fixture
def drawn(monkeypatch):
    """A list of the prompts that the painter draws."""
    found = []
    real = image_generators_module.draw_prompt

    def counted(prompt, seed):
        found.append(prompt)
        return real(prompt, seed)

    monkeypatch.setattr(image_generators_module, "draw_prompt", counted)
    return found


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def pixels(folder):
    """Return the images below a folder, by name."""
    paths = sorted(folder.rglob("*.png"))
    return {path.relative_to(folder).as_posix(): np.asarray(Image.open(path)) for path in paths}


# ---------------------------------------------------------------- the painter's images


def test_every_prompt_has_an_image_in_its_classs_folder(generate, tmp_path):
    assert generate() == 0
    rows = rows_of(tmp_path / "selection_mine.csv")
    assert [(row["class"], row["image"]) for row in rows] == [
        ("painted crake", "generated/mine/painted_crake/00000.png"),
        ("painted crake", "generated/mine/painted_crake/00001.png"),
        ("harbour kite", "generated/mine/harbour_kite/00000.png"),
    ]
    assert all(Image.open(tmp_path / row["image"]).size == (32, 32) for row in rows)
    assert (tmp_path / "selection_mine.png").is_file()


def test_an_image_says_what_it_was_made_from(generate, tmp_path):
    assert generate() == 0
    made_from = read_made_from(tmp_path / "generated/mine/painted_crake/00000.png")
    assert (made_from.prompt, made_from.generator) == ("a painted crake at dusk", "birds")


def test_the_seed_decides_the_images(generate, tmp_path):
    assert generate() == 0
    first = pixels(tmp_path / "generated")
    assert generate("--overwrite", "--batch-size", 2) == 0
    again = pixels(tmp_path / "generated")
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert generate("--seed", 1) == 0
    other = pixels(tmp_path / "generated")
    assert not any(np.array_equal(first[name], other[name]) for name in first)


def test_an_interrupted_run_makes_the_rest(generate, drawn, monkeypatch):
    real = image_generators_module.draw_prompt

    def third_interrupts(prompt, seed):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return real(prompt, seed)

    with monkeypatch.context() as patch:
        patch.setattr(image_generators_module, "draw_prompt", third_interrupts)
        assert generate() == 130
    assert len(drawn) == 2
    assert generate() == 0
    assert drawn[2:] == ["a harbour kite on sand"]
    assert generate() == 0
    assert len(drawn) == 3


def test_an_image_of_another_prompt_is_made_again(generate, drawn, prompts):
    assert generate() == 0
    prompts.write_text(PROMPTS.replace("dusk", "sea") + KITE)
    assert generate() == 0
    assert drawn[3:] == ["a painted crake at sea"]


def test_a_prompt_without_a_bird_fails_alone(generate, prompts, tmp_path, capsys):
    prompts.write_text(PROMPTS + "harbour kite,a bird\n")
    assert generate() == 1
    failed = "failed: generated/mine/harbour_kite/00000.png: 'a bird' names no bird"
    assert capsys.readouterr().err.count(failed) == 1
    assert [row["class"] for row in rows_of(tmp_path / "selection_mine.csv")] == [
        "painted crake"
    ] * 2


def test_a_prompt_that_fails_leaves_no_image_of_an_earlier_one(generate, prompts, tmp_path):
    assert generate() == 0
    prompts.write_text(PROMPTS + "harbour kite,a bird\n")
    assert generate() == 1
    assert not (tmp_path / "generated/mine/harbour_kite/00000.png").exists()


def test_no_class_leads_out_of_the_results(generate, prompts, tmp_path):
    prompts.write_text("class,prompt\n../../x,a copper jay\n/etc,a copper jay\n")
    before = set(tmp_path.parent.iterdir())
    assert generate() == 0
    assert set(tmp_path.parent.iterdir()) == before
    for row in rows_of(tmp_path / "selection_mine.csv"):
        assert row["image"].startswith("generated/mine/")
        assert ".." not in row["image"]


@pytest.mark.parametrize(
    "text, problem",
    [
        ("class\njay\n", "line 2 has no prompt"),
        ("class,prompt\n", "no row in it"),
        (None, "prompts_mine.csv: No such file"),
    ],
)
def test_unusable_prompts_are_one_line(generate, prompts, only_line, text, problem):
    prompts.unlink()
    if text is not None:
        prompts.write_text(text)
    assert generate() == 2
    assert problem in only_line()


def test_generate_needs_prompts(run, only_line, tmp_path):
    assert run("generate", "--generator", "birds", "--results", tmp_path / "none") == 2
    assert "no prompts_*.csv in" in only_line()


@pytest.mark.parametrize("content", [b"", b"\x89PNG cut", b"{}"])
def test_a_file_that_is_no_made_image_was_made_from_nothing(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    assert read_made_from(tmp_path / "a.png") is None


def test_an_images_text_is_kept_whatever_it_says(tmp_path):
    prompt = 'ein "Häher" – 松鴉\n\0'
    made_from = MadeFrom(
        prompt, seed=2**63 - 1, generator="g", size=None, steps=1, guidance=0.5, precision="x"
    )
    write_made(np.zeros((4, 4, 3), np.uint8), tmp_path / "a.png", made_from)
    assert read_made_from(tmp_path / "a.png") == made_from


# ---------------------------------------------------------------- training on them


def test_improve_takes_the_selection_and_a_folder(generate, pool, run):
    assert generate() == 0
    folder = pool.results.parent / "generated/mine"
    words = pool.improve(
        *("--steps", 2), selection=[pool.results.parent / "selection_mine.csv", folder]
    )
    both = words[:1] + words[3:]  # without --images
    assert run(*both) == 2  # both are named mine
    shutil.move(folder, folder.with_name("elsewhere"))
    assert generate() == 0
    both = [folder.with_name("elsewhere") if word == folder else word for word in both]
    assert run(*both) == 0
    rows = json.loads((pool.results / "improve.json").read_text())["rows"]
    assert [(row["network"], row["images"]) for row in rows] == [
        ("before", 0),
        ("mine", 3),
        ("elsewhere", 3),
    ]


def test_an_image_that_is_nowhere_is_one_line(pool, run, only_line):
    selection = pool.csv("s", "harbour_kite/z.png,harbour kite")
    words = pool.improve(selection=[selection])
    assert run(*words[:1], *words[3:]) == 2
    assert "line 2: no harbour_kite/z.png in " in only_line()


def test_a_folder_of_another_class_is_one_line(pool, run, only_line, tmp_path):
    (tmp_path / "mine/owl").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "mine/owl/a.png")
    assert run(*pool.improve(selection=[tmp_path / "mine"])) == 2
    assert "mine: folder owl: owl is none of the model's" in only_line()


# ---------------------------------------------------------------- diffusers


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A folder with a tiny random pipeline."""
    folder = tmp_path_factory.mktemp("pipeline") / "tiny"
    save_pipeline(folder)
    return folder


def test_a_pipelines_images_do_not_depend_on_the_batch(pipeline, prompts, run, tmp_path):
    made = {}
    for batch_size in (1, 3):
        results = tmp_path / str(batch_size)
        words = ("generate", "--generator", pipeline, "--prompts", prompts, "--results", results)
        words += ("--denoising-steps", 2, "--device", "cpu", "--batch-size", batch_size)
        assert run(*words) == 0
        made[batch_size] = pixels(results / "generated")
    assert len(made[1]) == 3
    for name, image in made[1].items():
        assert image.shape == (16, 16, 3)
        assert np.abs(image.astype(int) - made[3][name]).max() <= 1
    crake, other = (made[1][f"mine/painted_crake/0000{i}.png"] for i in range(2))
    assert np.abs(crake.astype(int) - other).max() > 10


@pytest.fixture
def copied(pipeline, tmp_path):
    """A copy of the pipeline, to damage."""
    return shutil.copytree(pipeline, tmp_path / "copy")


def refused(folder, prompts, run, only_line, tmp_path):
    """Return the line of a run with a pipeline that cannot be used."""
    words = ("generate", "--generator", folder, "--prompts", prompts, "--device", "cpu")
    assert run(*words, "--results", tmp_path / "out") == 2
    line = only_line()
    assert f"--generator {folder}: " in line
    return line


@pytest.mark.parametrize("part", ["text_encoder/model", "unet/diffusion_pytorch_model"])
def test_pickled_weights_are_refused(copied, part, prompts, run, only_line, tmp_path):
    weights = copied / f"{part}.safetensors"
    weights.rename(weights.with_name(f"{'pytorch_' * ('text' in part)}{weights.stem}.bin"))
    assert "cannot load" in refused(copied, prompts, run, only_line, tmp_path)


@pytest.mark.parametrize(
    "part, weights",
    [
        ("unet/diffusion_pytorch_model", ["conv_out.weight"]),
        ("vae/diffusion_pytorch_model", ["decoder.conv_in.bias", "decoder.conv_out.weight"]),
        ("text_encoder/model", ["encoder.layers.0.mlp.fc1.bias"]),
    ],
)
def test_missing_weights_are_named(copied, part, weights, prompts, run, only_line, tmp_path):
    path = copied / f"{part}.safetensors"
    state = load_file(path)
    kept = {key: value for key, value in state.items() if not key.endswith(tuple(weights))}
    assert len(kept) == len(state) - len(weights)
    save_file(kept, path, metadata={"format": "pt"})
    line = refused(copied, prompts, run, only_line, tmp_path)
    name = part.split("/")[0]
    assert f"copy: {name} lacks {len(weights)} of its weights: " in line
    assert all(key in line for key in weights)


@pytest.mark.parametrize("part, code", [("unet", "unet/mine.py"), ("_class_name", "mine.py")])
def test_code_of_a_pipeline_is_not_run(copied, part, code, prompts, run, only_line, tmp_path):
    index = json.loads((copied / "model_index.json").read_text())
    index[part] = ["mine", "Mine"]
    (copied / "model_index.json").write_text(json.dumps(index))
    (copied / code).write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')\n")
    assert "code of its own (mine.py)" in refused(copied, prompts, run, only_line, tmp_path)
    assert not (tmp_path / "was_run").exists()


def test_a_folder_without_an_index_is_one_line(prompts, run, only_line, tmp_path):
    (tmp_path / "empty").mkdir()
    line = refused(tmp_path / "empty", prompts, run, only_line, tmp_path)
    assert "no model_index.json" in line


def test_a_blacked_out_image_and_nan_are_failures():
    images = np.zeros((3, 2, 2, 3))
    images[0] = 0.5
    images[2] = np.nan

    def pipeline(prompts, **_):
        return SimpleNamespace(images=images, nsfw_content_detected=[False, True, False])

    generator = DiffusersPipeline(pipeline, "g", ImageOptions(), option="--generator g")
    first, unsafe, nan = generator.images(["a"] * 3, [0, 1, 2])
    assert first.tolist() == np.full((2, 2, 3), 128).tolist()
    assert (unsafe, nan) == (UNSAFE, "the pipeline returns NaN")
