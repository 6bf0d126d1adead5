"""reproduce_paper.py goes on where an earlier run ended, whatever became of its files or images."""

import re

import pytest
from PIL import Image

import reproduce_paper
from experiments import jobs

BEAM3_AND_SIS = ("--conditions", "beam3,sis")
BEAM3 = ("--conditions", "beam3")


@pytest.fixture
def measured(monkeypatch):
    """Return the conditions measured so far, in order; clear() forgets them."""
    conditions = []
    measure = jobs.measure

    def noting(*args, condition, **options):
        conditions.append(condition)
        return measure(*args, condition=condition, **options)

    monkeypatch.setattr(jobs, "measure", noting)
    return conditions


@pytest.fixture
def finished(paper, measured):
    """Return a finished run of two conditions, whose measurements are forgotten."""
    assert paper(*BEAM3_AND_SIS) == 0
    measured.clear()
    return paper


def without_seconds(markdown):
    """Return tables without that of costs, whose seconds differ from run to run."""
    return re.sub(r"\*\*Cost of a search.*?float32\.", "", markdown, flags=re.DOTALL)


# ---------------------------------------------------------------- what is there


def test_each_condition_is_measured_on_its_images(paper, measured):
    assert paper(*BEAM3_AND_SIS) == 0
    assert sorted(measured) == ["beam3"] * 3 + ["sis"] * 2


def test_what_is_there_is_not_measured_again(finished, measured):
    before = (finished.out / "tables.md").read_text()
    assert finished(*BEAM3_AND_SIS) == 0
    assert measured == []
    assert (finished.out / "tables.md").read_text() == before


def test_a_truncated_file_is_measured_again(finished, measured):
    path = finished.out / "measurements/one/a.png/beam3.json"
    path.write_text('{"format": 1, "key"')
    assert finished(*BEAM3_AND_SIS) == 0
    assert measured == ["beam3"]


def test_another_image_of_the_same_name_is_measured(finished, measured):
    Image.new("RGB", (56, 56), "#fefefe").save(finished.images / "one/b.png")
    assert finished(*BEAM3_AND_SIS) == 0
    assert set(measured) <= {"beam3", "sis"}
    assert measured.count("beam3") == 1


def test_other_settings_are_measured(finished, measured):
    assert finished(*BEAM3_AND_SIS, "--seed", 1) == 0
    assert measured.count("beam3") == 3


def test_tables_only_measures_nothing(finished, measured):
    assert finished(*BEAM3_AND_SIS, "--seed", 1, "--tables-only") == 0
    assert measured == []


def test_labels_may_be_corrected_without_measuring(paper, tmp_path, monkeypatch):
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\none/a.png,2\none/b.png,2\n")
    options = (*BEAM3, "--labels-csv", labels)
    assert paper(*options) == 0
    assert float(paper.table("images")[0]["named rightly"]) == 0
    labels.write_text("file,label\none/a.png,1\none/b.png,2\n")
    monkeypatch.setattr(jobs, "measure", None)
    assert paper(*options) == 0
    assert float(paper.table("images")[0]["named rightly"]) == 0.5


# ---------------------------------------------------------------- order, interruptions


def test_what_is_missing_comes_first(finished, monkeypatch):
    """Checking what is there may take minutes; the work need not wait for it."""
    looked_at = []
    run_job = jobs.run_job

    def noting(job, engine, **options):
        looked_at.append(job.path)
        return run_job(job, engine, **options)

    monkeypatch.setattr(jobs, "run_job", noting)
    assert finished(*BEAM3_AND_SIS) == 0
    *others, last = looked_at
    last.unlink()
    tables_before = (finished.out / "tables.md").read_text()
    looked_at.clear()
    assert finished(*BEAM3_AND_SIS) == 0
    assert looked_at == [last, *others]
    tables_after = (finished.out / "tables.md").read_text()
    assert without_seconds(tables_after) == without_seconds(tables_before)


@pytest.fixture
def interrupted(paper, monkeypatch):
    """Return a run that the user interrupts after two measurements."""
    left = [2]
    measure = jobs.measure

    def interrupting(*args, **options):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return measure(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "measure", interrupting)
        assert paper(*BEAM3_AND_SIS) == 130
    return paper


def test_an_interrupted_run_keeps_what_is_finished(interrupted):
    assert len(list(interrupted.out.rglob("*.json"))) == 2
    assert not list(interrupted.out.rglob(".*.json.*"))


def test_an_interrupted_run_ends_as_one_that_was_not(interrupted, tmp_path):
    assert interrupted(*BEAM3_AND_SIS) == 0
    assert len(list(interrupted.out.rglob("*.json"))) == 5
    whole = tmp_path / "whole"
    assert interrupted(*BEAM3_AND_SIS, results=whole) == 0
    for name in ("number_of_explanations", "simulated_study", "sizes"):
        assert interrupted.table(name) == interrupted.table(name, results=whole)


# ---------------------------------------------------------------- images that fail


def test_one_bad_image_does_not_stop_the_others(paper, capsys):
    (paper.images / "one/bad.png").write_bytes(b"not an image")
    assert paper(*BEAM3) == 1
    error = capsys.readouterr().err
    assert "failed: one/bad.png, beam3: ValueError: cannot read it" in error
    assert paper.table("images")[0]["images"] == "3"


def test_an_image_that_is_gone_does_not_stop_the_others(paper, capsys):
    (paper.images / "one/gone.png").symlink_to(paper.images / "nowhere.png")
    assert paper(*BEAM3) == 1
    assert "failed: one/gone.png, beam3: FileNotFoundError" in capsys.readouterr().err
    assert paper.table("images")[0]["images"] == "3"


# ---------------------------------------------------------------- the folder of results


def test_results_may_lie_among_the_images(paper):
    results = paper.images / "out"
    for _ in range(2):
        assert paper(*BEAM3, results=results) == 0
    assert paper.table("images", results=results)[0]["images"] == "3"


def test_results_may_not_be_the_folder_of_images(paper, capsys):
    assert paper(results=paper.images) == 2
    assert "the folder of the images themselves" in capsys.readouterr().err


def test_the_commands_conditions_are_all_there_are():
    from experiments.measurements import CONDITIONS

    assert tuple(CONDITIONS) == reproduce_paper.ALL_CONDITIONS
