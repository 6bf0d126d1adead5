"""Every image has a folder of its own, whatever its name, and nothing is written outside."""

import os
from itertools import permutations
from pathlib import Path

import pytest
from drawn import read_sag
from main_job import run_planted
from PIL import Image

from companions.score_deviation.class_figures import file_stems
from companions.score_deviation.scene_sets import Item, folders_of, manifest
from experiments.jobs import plan_jobs
from running.images import find_images
from running.result_folders import NamedImage, require_below, result_folders, run_folder
from running.results import make_jobs
from utils import UserError, printable

# Names of images below a folder that would share a folder, or lie in one another's.
TOGETHER = [
    (b"a.png", b"a/category_0.png"),
    (b"a.png", b"a/roots.png"),
    (b"a.png", b"a/nodes.png"),
    (b"a.png", b"a/sag.json.png"),
    (b"a.png", b"a/b/c.png"),
    (b"a.png", b"a.jpg"),
    (b"a.png", b"a.jpg", b"a.png.jpg"),
    (b"a.png", b"A.png", b"a/x.png", b"A/x.png"),
    (b"bad\xfe.png", b"bad\xff.png"),
    (b"bad\xfe.png", b"bad\\xfe.png"),
    (b"bad\xfe/a.png", b"bad\xff/a.png"),
    (b"a.b.png", b"a.png", b"a.b/c.png"),
    (b"line\nbreak.png", b"line break.png"),
    (b"summary.csv.png", b"summary.csv/a.png"),
    (b"index.html.png", b"finished.jsonl.png", b"summary.parquet.png"),
    (b"classes/a.png", b"classes.png"),
    (b"x" * 240 + b".png", b"x" * 241 + b".png"),
    (b"\xff" * 200 + b".png", b"\xff" * 201 + b".png"),
]
OWN = {"summary.csv", "index.html", "finished.jsonl", "summary.parquet", "classes"}


def make_images(root, names):
    """Make empty files of these names, which are bytes; return their paths."""
    paths = [Path(os.fsdecode(os.path.join(os.fsencode(root), name))) for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def folders_for(root, paths):
    jobs = make_jobs(paths, root=root, results=Path("out"))
    return [job.folder for job in jobs]


@pytest.mark.parametrize("names", TOGETHER, ids=str)
def test_no_image_shares_a_folder_or_lies_in_anothers(names, tmp_path):
    folders = folders_for(tmp_path, make_images(tmp_path, names))
    assert len(set(folders)) == len(names)
    assert not any(a in b.parents for a, b in permutations(folders, 2))


@pytest.mark.parametrize("names", TOGETHER, ids=str)
def test_no_image_takes_a_name_of_the_programs_own(names, tmp_path):
    folders = folders_for(tmp_path, make_images(tmp_path, names))
    assert OWN.isdisjoint(folder.parts[1] for folder in folders)


@pytest.mark.parametrize("names", TOGETHER, ids=str)
def test_an_images_folder_does_not_depend_on_the_run(names, tmp_path):
    paths = make_images(tmp_path, names)
    together = folders_for(tmp_path, paths)
    assert [folders_for(tmp_path, [path])[0] for path in paths] == together


@pytest.mark.parametrize("names", TOGETHER, ids=str)
def test_names_in_the_log_are_one_line_and_differ(names, tmp_path):
    paths = make_images(tmp_path, names)
    shown = {printable(path.relative_to(tmp_path)) for path in paths if b"\\" not in bytes(path)}
    assert len(shown) == len([path for path in paths if b"\\" not in bytes(path)])
    assert all(len(name.splitlines()) == 1 for name in shown)


def test_an_ordinary_image_is_named_after_its_path(tmp_path):
    (path,) = make_images(tmp_path, [b"birds/c d.png"])
    assert folders_for(tmp_path, [path]) == [Path("out/birds/c d")]


OUTSIDE = ["...png", "..png", "....png", "../a.png", "a/../../b.png", "/etc/a.png", "x/...png"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leads_out_of_the_results(name, tmp_path):
    (folder,) = result_folders([NamedImage(tmp_path / name, name)], tmp_path / "out")
    require_below(folder, tmp_path / "out")


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_measurement_lies_outside(name, tmp_path):
    from experiments.images import Subject

    subject = Subject(name, load=None, label=0, identity=lambda: "")
    (job,) = plan_jobs([subject], ["beam3"], limits={}, seed=0, folder=tmp_path / "measurements")
    require_below(job.path, tmp_path / "measurements")


@pytest.mark.parametrize("name", ["...png", "..png"])
def test_an_image_named_of_dots_has_its_record_below_the_results(name, tmp_path):
    Image.new("RGB", (50, 40), "white").save(tmp_path / name, format="PNG")
    assert run_planted(tmp_path / name, tmp_path / "r/out", "--pictures", "none") == 0
    (record,) = tmp_path.rglob("sag.json")
    assert record.parent.parent == tmp_path / "r/out"


@pytest.mark.parametrize("row", ["/", "..", ".", "../.."])
def test_a_row_of_a_manifest_that_names_no_image_is_named(row, tmp_path):
    (tmp_path / "rows.csv").write_text(f"image\n{row}\n")
    with pytest.raises(UserError, match="line 2 names no image"):
        manifest(tmp_path / "rows.csv")


@pytest.mark.parametrize("row", ["a\0.png", "\0/a.png", "a.png,\0"])
def test_a_row_of_a_manifest_with_a_zero_byte_is_named(row, tmp_path):
    (tmp_path / "rows.csv").write_text(f"image,mask\n{row}\n")
    with pytest.raises(UserError, match="line 2 has a zero byte|not a CSV file"):
        manifest(tmp_path / "rows.csv")


def test_images_of_a_manifest_from_several_folders_stay_apart(tmp_path):
    paths = make_images(tmp_path, [b"one/a.png", b"two/a/b.png"])
    items = [Item(paths[0], "a.png"), Item(paths[1], "a/b.png")]
    first, second = folders_of(items, Path("out"))
    assert first not in second.parents


# ---------------------------------------------------------------- links


def test_a_link_out_of_the_results_is_not_followed(tmp_path, capsys):
    Image.new("RGB", (50, 40), "white").save(tmp_path / "a.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").symlink_to(tmp_path / "elsewhere")
    assert run_planted(tmp_path / "a.png", tmp_path / "out") == 1
    assert not any((tmp_path / "elsewhere").iterdir())
    assert "leads out of" in capsys.readouterr().err


def test_a_link_inside_a_result_is_not_written_through(tmp_path):
    Image.new("RGB", (50, 40), "white").save(tmp_path / "a.png")
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "out/a").mkdir(parents=True)
    (tmp_path / "out/a/dnf.txt").symlink_to(tmp_path / "mine.txt")
    assert run_planted(tmp_path / "a.png", tmp_path / "out", "--pictures", "none") == 0
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert read_sag(tmp_path / "out/a").files == ["dnf.txt"]


def test_results_may_themselves_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    require_below(tmp_path / "out/a", tmp_path / "out")


# ---------------------------------------------------------------- runs and classes


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/tmp", ".hidden", "summary.csv"])
def test_a_run_has_a_plain_name(name, tmp_path):
    with pytest.raises(UserError, match="--run"):
        run_folder(tmp_path, name)


def test_a_run_has_a_folder_below_the_results(tmp_path):
    assert run_folder(tmp_path, "wide beams") == tmp_path / "wide beams"


@pytest.mark.parametrize("names", [("a/b", "a b"), ("a_b", "a b"), ("A", "a"), ("x" * 999, "y")])
def test_the_figures_of_two_classes_have_two_names(names):
    stems = file_stems(names)
    assert len({stem.lower() for stem in stems.values()}) == len(names)
    assert all(len(stem) < 200 and "/" not in stem for stem in stems.values())


# ---------------------------------------------------------------- folders that are not searched


def test_a_link_to_a_folder_is_said(tmp_path, capsys):
    make_images(tmp_path / "in", [b"a.png"])
    make_images(tmp_path / "other", [b"b.png"])
    (tmp_path / "in/link").symlink_to(tmp_path / "other")
    assert len(find_images(tmp_path / "in").paths) == 1
    assert f"{tmp_path / 'in/link'}: not searched" in capsys.readouterr().err


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """A folder that cannot be read, among images."""
    make_images(tmp_path, [b"a.png", b"locked/b.png"])
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    return tmp_path / "locked"


def test_an_unreadable_folder_is_said(locked, capsys):
    find_images(locked.parent)
    assert f"{locked}: not searched for images: Permission denied" in capsys.readouterr().err


def test_an_unreadable_folder_of_images_is_not_called_empty(locked):
    with pytest.raises(UserError, match="Permission denied"):
        find_images(locked)
