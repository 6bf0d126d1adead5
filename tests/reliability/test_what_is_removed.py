"""Only what a record lists is removed; new results are exchanged for old ones at the end."""

import os
import shutil
from pathlib import Path

import pytest
from drawn import make_sag, read_sag
from main_job import rows_of, run_planted
from PIL import Image

from companions.deliberative import hardness
from drawing.page import write_gallery
from drawing.record import encode_sag
from running import results as result_files
from running.all_images import require_own_page
from running.result_files import are_whole, clear, files_below, files_of
from running.summary import SUMMARY, merge_rows, write_summary
from utils import UserError

MINE = ["curves_mine.xlsx", "roots/mine.png", "nodes/mine.png", "SAG_my_roots.png", "notes.txt"]


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """A folder with a white image and its results."""
    folder = tmp_path_factory.mktemp("explained")
    Image.new("RGB", (50, 40), "white").save(folder / "a.png")
    assert run_planted(folder / "a.png", folder / "out") == 0
    return folder


@pytest.fixture
def image(tmp_path, explained):
    """The white image, copied."""
    return Path(shutil.copy2(explained / "a.png", tmp_path))


@pytest.fixture
def result(explained, out):
    """The image's results, copied, and files of the user's own in them."""
    shutil.copytree(explained / "out", out)
    for name in MINE:
        (out / "a" / name).write_text("mine")
    return out / "a"


def mine_in(folder):
    return {name for name in MINE if (folder / name).is_file()}


# ---------------------------------------------------------------- what is not ours stays


def test_a_record_lists_the_files_drawn_with_it(result):
    assert set(read_sag(result).files) == set(files_below(result)) - {*MINE, "sag.json"}


def test_overwrite_leaves_what_is_not_ours(result, image, out):
    assert run_planted(image, out, "--overwrite", "--num-roots-sag", 2) == 0
    assert mine_in(result) == set(MINE)


def test_overwrite_leaves_no_figure_of_the_earlier_result(result, image, out):
    before = set(read_sag(result).files)
    assert run_planted(image, out, "--pictures", "graph", "--prob-thresh", 0.5) == 0
    gone = before - set(read_sag(result).files)
    assert gone and not any((result / name).exists() for name in gone)


def test_figures_in_other_formats_go_with_their_record(result, image, out):
    (result / "SAG_final_3roots_paper.pdf").write_text("drawn by draw_sag.py")
    assert run_planted(image, out, "--num-roots-sag", 2, "--pictures", "graph") == 0
    assert not list(result.glob("*3roots*"))


def test_clearing_leaves_what_is_not_ours(result):
    clear(result)
    assert set(files_below(result)) == set(MINE)


def test_clearing_a_record_of_an_older_version_leaves_what_is_not_ours(result):
    sag = read_sag(result)
    sag.files = []
    (result / "sag.json").write_bytes(encode_sag(sag))
    clear(result)
    assert set(files_below(result)) == set(MINE)


@pytest.mark.parametrize("name", ["../b.txt", "/etc/hosts", "roots/../../b.txt", "a/b/c/d"])
def test_a_record_cannot_have_files_outside_of_its_folder_removed(name, tmp_path):
    (tmp_path / "a/roots").mkdir(parents=True)
    (tmp_path / "b.txt").touch()
    (tmp_path / "a/sag.json").write_bytes(encode_sag(make_sag(files=[name])))
    assert files_of(tmp_path / "a") == []


# -------------------------------------------------------------- the old result stays until the end


def test_a_failed_drawing_leaves_the_earlier_result(result, image, out, monkeypatch):
    before = {name: (result / name).read_bytes() for name in files_below(result)}

    def full_disk(sag, image, folder, look):
        (folder / "dnf.txt").write_text("half")
        raise OSError(28, "No space left on device", "dnf.txt")

    monkeypatch.setattr(result_files, "draw_all", full_disk)
    assert run_planted(image, out, "--overwrite") == 1
    assert {name: (result / name).read_bytes() for name in before} == before


def test_a_record_that_cannot_be_written_leaves_the_earlier_result(result, image, out, monkeypatch):
    before = (result / "sag.json").read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(result_files, "write_record", full_disk)
    assert run_planted(image, out, "--overwrite") == 1
    assert (result / "sag.json").read_bytes() == before


def test_what_a_killed_drawing_left_is_removed(result, image, out):
    (result / ".new.999999999").mkdir()
    assert run_planted(image, out, "--overwrite", "--pictures", "none") == 0
    assert not list(result.glob(".new*"))


def test_a_class_of_another_image_is_not_cleared(result, image, out):
    other = result / "category_0"
    other.mkdir()
    (other / "sag.json").write_bytes(encode_sag(make_sag(image="a/category_0.png")))
    assert run_planted(image, out, "--overwrite", "--pictures", "none") == 0
    assert (other / "sag.json").exists()


# ---------------------------------------------------------------- pictures that are gone


DAMAGE = {
    "removed": os.unlink,
    "cut off": lambda path: os.truncate(path, 100),
    "empty": lambda path: os.truncate(path, 0),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["gridimage.png", "dnf_gif.gif", "sag.html", "SAG_3roots.dot"])
def test_a_picture_that_is_damaged_is_noticed(name, damage, result):
    sag = read_sag(result)
    assert are_whole(result, sag)
    DAMAGE[damage](result / name)
    assert not are_whole(result, sag)


def test_a_picture_that_is_gone_is_drawn_again(result, image, out, capsys):
    (result / "gridimage.png").unlink()
    assert run_planted(image, out) == 0
    assert (result / "gridimage.png").is_file()
    assert "drawn from its record" in capsys.readouterr().err


# ---------------------------------------------------------------- files of another kind


@pytest.mark.parametrize("name", ["thesis.txt", "folder"])
def test_no_predictor_is_written_over_another_file(name, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=f"{name}: there already"):
        hardness.require_replaceable(tmp_path / name)


def test_a_predictor_is_written_over_a_predictor(tmp_path):
    import torch

    predictor = hardness.Hardness(torch.zeros(3), torch.tensor(0.0))
    hardness.save(predictor, tmp_path / "hard.safetensors", "sha")
    hardness.require_replaceable(tmp_path / "hard.safetensors")


def test_a_table_of_the_users_is_no_summary(tmp_path):
    (tmp_path / "summary.csv").write_text("name,price\nbread,3\n")
    with pytest.raises(ValueError, match="left as it is"):
        merge_rows(tmp_path / "summary.csv", [], SUMMARY)
    assert (tmp_path / "summary.csv").read_text() == "name,price\nbread,3\n"


def test_a_page_of_the_users_is_no_gallery(tmp_path):
    (tmp_path / "index.html").write_text("<h1>My page</h1>")
    with pytest.raises(ValueError, match="left as it is"):
        require_own_page(tmp_path / "index.html")


def test_a_gallery_is_replaced(tmp_path):
    write_summary(tmp_path, [])
    write_gallery(tmp_path)
    require_own_page(tmp_path / "index.html")


# ---------------------------------------------------------------- a damaged summary

GOOD = "in.png,3,tern,0.5,1,2,1,3,exhausted,True,9,8,0.1,in,"
BAD_ROWS = {
    "a word for a number": GOOD.replace("0.5", "zz"),
    "not a number": GOOD.replace("0.5", "nan"),
    "a short row": "in.png,3",
    "no image": GOOD.replace("in.png", "", 1),
    "a quote that does not end": '"in.png',
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_damaged_row_is_left_out_and_the_others_stay(row, tmp_path):
    good = GOOD.replace("in.png", "good.png")
    text = "\n".join([",".join(SUMMARY), good, BAD_ROWS[row]])
    (tmp_path / "summary.csv").write_text(text + "\n")
    write_summary(tmp_path, [])
    assert [line["image"] for line in rows_of(tmp_path)] == ["good.png"]
    write_gallery(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n", ",".join(SUMMARY).encode() + b"\n\x00\xff"])
def test_an_empty_or_cut_summary_is_written_anew(content, tmp_path):
    (tmp_path / "summary.csv").write_bytes(content)
    write_summary(tmp_path, [])
    assert (tmp_path / "summary.csv").read_text() == ",".join(SUMMARY) + "\n"
