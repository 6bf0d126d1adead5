"""A run that is stopped in the middle of a search goes on there."""

from types import SimpleNamespace

import numpy as np
import pytest
from drawn import read_sag
from main_job import FLOAT32, run_planted

from running import kept_scores
from running import results as result_files
from running.kept_scores import KeptScores, encode_scores, read_scores
from scoring.engine import Engine

OPTIONS = ("--search", "exhaustive", "--exhaustive-size", 4, *FLOAT32)
TABLES = {"float32": {(): 0.25, (0, 3): 0.5, (1, 2, 48): 1e-9}, "reduced": {(7,): 0.125}}
STOP_AT = 5  # answers; the search asks a few times more


@pytest.fixture(scope="module")
def runs(white_images_once, tmp_path_factory):
    """A run of one image, one that is stopped in its search, and the same again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(result_files, "draw_all", lambda *_, **__: None)
        patch.setattr(kept_scores, "SECONDS", 0.0)
        passes = count_passes(patch)
        folder = tmp_path_factory.mktemp("kept")
        image = white_images_once / "a.png"

        def explain(out):
            passes.clear()
            status = run_planted(image, folder / out, *OPTIONS)
            return SimpleNamespace(status=status, passes=sum(passes))

        whole = explain("whole")
        with patch.context() as stopping:
            stop_after(stopping, STOP_AT)
            stopped = explain("stopped")
        kept = list((folder / "stopped").rglob(".scores_*.npz"))
        resumed = explain("stopped")
        return SimpleNamespace(
            folder=folder, whole=whole, stopped=stopped, kept=kept, resumed=resumed
        )


@pytest.fixture(scope="module")
def white_images_once(tmp_path_factory):
    from main_job import make_white_images

    return make_white_images(tmp_path_factory.mktemp("white"))


def count_passes(patch):
    """Return a list that grows by the masks of each batch but those of gradients."""
    passes = []
    launch = Engine.launch

    def counted(self, kind, parts):
        if kind != "gradient":
            passes.append(sum(map(len, parts)))
        return launch(self, kind, parts)

    patch.setattr(Engine, "launch", counted)
    return passes


def stop_after(patch, answers):
    """Interrupt a run after so many answers to its searches."""
    note = KeptScores.note
    noted = []

    def interrupted(self, tables):
        note(self, tables)
        noted.append(1)
        if len(noted) == answers:
            raise KeyboardInterrupt

    patch.setattr(KeptScores, "note", interrupted)


def test_a_run_that_is_stopped_keeps_its_scores(runs):
    assert runs.stopped.status == 130
    assert len(runs.kept) == 1


def test_what_was_scored_costs_no_further_pass(runs):
    mask_passes = runs.stopped.passes + runs.resumed.passes - runs.whole.passes
    assert runs.resumed.status == 0
    assert 0 <= mask_passes < 100  # the saliency mask is made again
    assert runs.resumed.passes < runs.whole.passes - 500


def test_the_record_is_that_of_a_run_without_a_stop(runs):
    whole = read_sag(runs.folder / "whole/a")
    resumed = read_sag(runs.folder / "stopped/a")
    assert resumed.roots == whole.roots
    assert resumed.scores == whole.scores
    assert resumed.evaluations == whole.evaluations


def test_the_scores_go_once_the_record_is_there(runs):
    assert not list(runs.folder.rglob(".scores_*.npz"))


def test_scores_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "scores.npz"
    path.write_bytes(encode_scores(TABLES, "key"))
    assert read_scores(path, "key") == TABLES


def test_scores_of_something_else_are_not_used(tmp_path):
    path = tmp_path / "scores.npz"
    path.write_bytes(encode_scores(TABLES, "key"))
    assert read_scores(path, "another key") == {}


@pytest.mark.parametrize("damage", ["absent", "empty", "cut off", "not numbers", "other lengths"])
def test_a_damaged_file_of_scores_is_no_reason_to_stop(damage, tmp_path):
    path = tmp_path / "scores.npz"
    whole = encode_scores(TABLES, "key")
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut off":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "not numbers":
        np.savez(path, key=np.array("key"), float32_sizes=np.array(["a"]))
    elif damage == "other lengths":
        arrays = dict(np.load(path.with_name(write_beside(path, whole))))
        arrays["float32_scores"] = arrays["float32_scores"][:1]
        np.savez(path, **arrays)
    assert read_scores(path, "key") == {}


def write_beside(path, content):
    """Write a file beside another and return its name."""
    beside = path.with_name("whole.npz")
    beside.write_bytes(content)
    return beside.name
