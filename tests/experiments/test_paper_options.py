"""Options of reproduce_paper.py that cannot be used: one line, status 2."""

import pytest


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--conditions", "beam4"], "beam4 is none of beam3"),
        (["--labels-csv", "nowhere.csv"], "nowhere.csv"),
        (["--grid", "0"], "0 is not a whole number"),
        (["--images", "nowhere"], "nowhere: no such file or folder"),
        (["--grid", "28"], "sets of 784 patches"),
        (["--seed", str(2**32)], "is not a whole number"),
    ],
)
def test_bad_options_are_one_line(paper, capsys, options, says):
    assert paper(*options) == 2
    error = capsys.readouterr().err.strip()
    assert says in error
    assert "\n" not in error


def test_drawn_scenes_are_for_the_bundled_network(run, tmp_path, capsys):
    assert run("--model", "resnet18.py:network", "--results", tmp_path) == 2
    assert "--model" in capsys.readouterr().err


def test_a_csv_needs_the_folder_of_its_files(run, tmp_path, capsys):
    assert run("--labels-csv", "labels.csv", "--results", tmp_path) == 2
    assert "needs --images" in capsys.readouterr().err
