"""A disk that is really full: a small one of memory, where this process may mount it."""

import shutil
import subprocess

import pytest
from main_job import run_planted
from PIL import Image

import draw_sag
import running.results

ROOM = 2_000_000  # bytes of the disk


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", place]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this process may not mount a disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)  # lazily: a reader may still hold it


def fill(disk):
    """Leave no byte of a disk."""
    with open(disk / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


@pytest.fixture
def result(disk, tmp_path, monkeypatch):
    """A result on the disk, whose free room is not asked for first."""
    monkeypatch.setattr(running.results, "LEAST_FREE", 0)
    Image.new("RGB", (50, 40), "white").save(tmp_path / "a.png")
    assert run_planted(tmp_path / "a.png", disk / "out", "--pictures", "graph") == 0
    return disk / "out/a"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}


def test_the_main_job_keeps_the_old_result(result, disk, tmp_path):
    before = contents(result)
    fill(disk)
    options = (tmp_path / "a.png", disk / "out", "--pictures", "graph", "--overwrite")
    assert run_planted(*options) in (1, 2)
    assert contents(result) == before


def test_drawing_again_keeps_the_old_figures(result, disk, tmp_path, capsys):
    draw_sag.main([str(result), "--images", str(tmp_path / "a.png"), "--formats", "svg"])
    before = contents(result)
    fill(disk)
    capsys.readouterr()
    options = ["--images", str(tmp_path / "a.png"), "--formats", "svg", "--hidden", "outline"]
    assert draw_sag.main([str(result), *options]) == 2
    assert "No space left" in capsys.readouterr().err
    assert contents(result) == before
