"""How a command starts and ends: without packages, interrupted, or with nobody who reads."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from companions.score_deviation.scene_sets import manifest
from running import results
from running.command_line import Between, convert
from running.results import make_writable
from scoring.image_files import as_rgb
from scoring.regions import load_label_map
from utils import PROJECT, UserError, write_atomically

START = "from running.start import start; start()\n"


def python(code, **options):
    """Run code in a Python of its own, in the project's folder."""
    options = {"capture_output": True, "text": True, "cwd": PROJECT, **options}
    return subprocess.run([sys.executable, "-c", code], **options)


def test_an_interrupt_of_the_imports_is_one_line():
    ended = python(START + "raise KeyboardInterrupt")
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=str)
def test_a_request_to_end_is_an_interrupt(number):
    heard = f"import os, signal, time\nsignal.signal({int(number)}, signal.SIG_DFL)\n"
    ended = python(f"{heard}{START}os.kill(os.getpid(), {int(number)})\ntime.sleep(9)")
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")


def test_a_run_under_nohup_does_not_end_with_its_terminal():
    deaf = f"import os, signal\nsignal.signal({int(signal.SIGHUP)}, signal.SIG_IGN)\n"
    ended = python(f"{deaf}{START}os.kill(os.getpid(), {int(signal.SIGHUP)})\nprint('on')")
    assert (ended.returncode, ended.stdout) == (0, "on\n")


def test_a_missing_package_is_one_line():
    ended = python(START + "import package_that_is_not_there")
    assert ended.returncode == 2
    assert "package_that_is_not_there is not installed here; run: bash" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_any_package_a_command_is_one_line():
    command = [sys.executable, "-S", "-E", "draw_sag.py", "Results"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1 and "requirements_install.sh" in ended.stderr


SPEAKS = START + "import sys; sys.stderr.write('x' * 99999); print('y' * 99999); sys.stderr.flush()"


def test_nobody_who_reads_is_no_reason_to_stop():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = python(SPEAKS, capture_output=False, stdout=writer, stderr=writer)
    finally:
        os.close(writer)
    assert ended.returncode in (0, 120)  # 120: Python itself could not flush at its end


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "2>/dev/full", "0<&- 1>&- 2>&-"])
def test_closed_and_full_streams_are_no_reason_to_stop(closed, tmp_path):
    code = SPEAKS + f"\nopen({str(tmp_path / 'done')!r}, 'w').write('all')"
    subprocess.run(["bash", "-c", f'"$0" -c "$1" {closed}', sys.executable, code], cwd=PROJECT)
    assert (tmp_path / "done").read_text() == "all"


# ---------------------------------------------------------------- options


@pytest.mark.parametrize("text", ["--5", "", "5.0", "1e1", "9" * 5000, "０x5"])
def test_a_number_that_is_none_is_named_shortly(text):
    with pytest.raises(ValueError, match="is not a whole number") as error:
        convert(text, __import__("typing").Annotated[int, Between(1, 28)])
    assert len(str(error.value)) < 200


def test_text_that_is_not_utf8_is_named():
    with pytest.raises(ValueError, match=r"bad\\xff is not UTF-8"):
        convert("bad\udcff", str)


# ---------------------------------------------------------------- disks


def test_a_full_disk_is_found_before_the_search(tmp_path, monkeypatch):
    usage = results.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(results.shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(UserError, match="1 MB are free"):
        make_writable(tmp_path)


def test_a_full_disk_is_named_with_the_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*sag\.json'"):
        write_atomically(tmp_path / "sag.json", "{}")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- values of images


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_image_of_what_is_no_number_is_named(value):
    values = np.zeros((4, 4), np.float32)
    values[1, 1] = value
    with pytest.raises(ValueError, match="NaN or infinity"):
        as_rgb(Image.fromarray(values))


def test_a_label_map_of_what_is_no_number_is_named(tmp_path):
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "map.tiff")
    with pytest.raises(ValueError, match="NaN or infinity"):
        load_label_map(tmp_path / "map.tiff")


def test_a_manifest_in_latin_1_is_not_utf8(tmp_path):
    (tmp_path / "rows.csv").write_bytes("image\né.png\n".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8 text"):
        manifest(tmp_path / "rows.csv")
