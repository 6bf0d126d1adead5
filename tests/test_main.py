"""The main job as a user runs it, on planted networks with known explanations.

What it leaves is checked by independent code (running/check_record.py) under both precisions.
"""

import contextlib
import io
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from drawn import read_sag
from main_job import (
    FLOAT32,
    NETWORKS,
    ROOTS,
    WHITE_IMAGES,
    make_white_images,
    roots_of,
    rows_of,
    run,
    run_planted,
    search_planted,
    wrong_claims,
)
from PIL import Image

import main_generate_sag
from drawing.record import Search
from running.check_record import FILES

FOLDERS = ["a", "birds/b", "birds/c d é"]


# ---------------------------------------------------------------- what a run leaves


@pytest.fixture(scope="module")
def finished(precision, tmp_path_factory):
    """A run of the exhaustive search on three images; not to be written to."""
    folder = tmp_path_factory.mktemp("finished")
    images = make_white_images(folder / "in")
    options = ("--search", "exhaustive", "--precision", precision)
    log = io.StringIO()
    with contextlib.redirect_stderr(log):
        status = run_planted(images, folder / "out", *options)
    return SimpleNamespace(images=images, out=folder / "out", status=status, log=log.getvalue())


def test_a_run_ends_with_status_0(finished):
    assert finished.status == 0


def test_every_record_of_a_run_is_confirmed(finished):
    assert wrong_claims(finished.out, finished.images) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_image_has_its_planted_roots(finished, folder):
    assert roots_of(finished.out / folder) == ROOTS


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_image_has_every_file(finished, folder):
    missing = [name for name in FILES if not (finished.out / folder / name.format(n=3)).exists()]
    assert missing == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_root_has_an_image(finished, folder):
    names = {file.name for file in (finished.out / folder / "roots").iterdir()}
    assert names == {"1_5.png", "2_6-10.png", "3_1-8-14.png"}


def test_the_summary_has_a_row_per_image(finished):
    assert [row["image"] for row in rows_of(finished.out)] == list(WHITE_IMAGES)


def test_the_summary_counts_the_roots(finished):
    assert {row["roots"] for row in rows_of(finished.out)} == {"3"}


def test_the_animation_has_a_frame_per_root(finished):
    assert Image.open(finished.out / "a/dnf_gif.gif").n_frames == 3


def test_the_formula_is_written_out(finished):
    assert "P6 & P10" in (finished.out / "a/dnf.txt").read_text(encoding="utf-8")


def test_changed_settings_are_logged(finished):
    assert "search exhaustive" in finished.log


# ---------------------------------------------------------------- beam search


@pytest.fixture(scope="module")
def by_beam(precision, tmp_path_factory):
    """The images and results of a beam search on one image, wide enough to find everything."""
    folder = tmp_path_factory.mktemp("beam")
    images = make_white_images(folder / "in")
    options = ("--num-successors", 16, "--beam-width", 120, "--precision", precision)
    assert run_planted(images / "a.png", folder / "out", *options) == 0
    return SimpleNamespace(images=images, out=folder / "out")


def test_a_record_of_beam_search_is_confirmed(by_beam):
    assert wrong_claims(by_beam.out, by_beam.images) == []


def test_beam_search_finds_the_planted_roots(by_beam):
    assert roots_of(by_beam.out / "a") == ROOTS


def test_the_record_says_how_beam_search_ended(by_beam, precision):
    ended = {
        "float32": Search("beam", True, "exhausted"),
        "bfloat16": Search("beam", False, "exhausted_in_reduced_precision"),
    }
    assert read_sag(by_beam.out / "a").search == ended[precision]


def test_a_root_image_is_what_the_network_saw(by_beam):
    shown = np.asarray(Image.open(by_beam.out / "a/roots/1_5.png"))
    centre = 55 / 3  # of patch 5 of 4 x 4, in pixels along both axes
    tent = np.maximum(0, 1 - np.abs(np.arange(56) - centre) / centre)
    expected = 255 * np.outer(tent, tent)
    assert np.abs(shown - expected[..., None]).max() <= 0.51


# ---------------------------------------------------------------- nothing to explain


@pytest.fixture(scope="module", params=["blind", "certain_of_nothing"])
def nothing(request, precision, tmp_path_factory):
    """The results of a network that needs no patch at all."""
    folder = tmp_path_factory.mktemp("nothing")
    images = make_white_images(folder / "in")
    options = ("--precision", precision)
    assert run_planted(images / "a.png", folder / "out", *options, network=request.param) == 0
    return SimpleNamespace(images=images, out=folder / "out", network=request.param)


def test_a_record_without_roots_is_confirmed(nothing):
    assert wrong_claims(nothing.out, nothing.images, nothing.network) == []


def test_a_record_without_roots_says_why(nothing):
    assert read_sag(nothing.out / "a").search.stopped_by == "baseline_sufficient"


def test_a_record_without_roots_has_an_empty_graph(nothing):
    sag = read_sag(nothing.out / "a")
    assert [*sag.roots, *sag.diverse_roots, *sag.sag.nodes] == []


def test_a_record_without_roots_has_an_empty_formula(nothing):
    assert read_sag(nothing.out / "a").dnf == ""


def test_a_figure_is_drawn_without_roots(nothing):
    assert (nothing.out / "a/SAG_final_0roots.png").exists()


def test_the_formulas_file_says_that_there_is_nothing(nothing):
    assert "nothing to explain" in (nothing.out / "a/dnf.txt").read_text()


# ---------------------------------------------------------------- both classes of one logit


@pytest.fixture(scope="module")
def both_classes(precision, tmp_path_factory):
    """The results of a network with a single logit, for both of its classes."""
    folder = tmp_path_factory.mktemp("logit")
    images = make_white_images(folder / "in")
    paths = ("--images", images / "a.png", "--results", folder / "out", "--device", "cpu")
    model = ("--model", f"{NETWORKS}:one_logit", "--grid", 4, "--precision", precision)
    assert run(*paths, *model, "--num-categories", 2, "--search", "exhaustive") == 0
    return SimpleNamespace(images=images, out=folder / "out")


def test_records_of_both_classes_are_confirmed(both_classes):
    assert wrong_claims(both_classes.out, both_classes.images, "one_logit") == []


def test_the_most_probable_class_has_the_images_folder(both_classes):
    assert read_sag(both_classes.out / "a").category.index == 1


def test_the_most_probable_class_has_the_planted_roots(both_classes):
    assert roots_of(both_classes.out / "a") == ROOTS


def test_the_other_class_has_a_folder_inside(both_classes):
    other = read_sag(both_classes.out / "a/category_0")
    assert (other.category.index, other.search.stopped_by) == (0, "baseline_sufficient")


# ---------------------------------------------------------------- time limits


def out_of_time_at(search, size):
    """Run a search whose time is up when it comes to sets of this size."""
    scores = None
    while True:
        try:
            question = search.send(scores)
            while max(map(len, question.sets), default=0) == size:
                question = search.throw(TimeoutError())
        except StopIteration as end:
            return end.value
        scores = yield question


@pytest.fixture
def cut_short(precision, white_images, out, monkeypatch):
    """The results of an exhaustive search whose time is up when it comes to sets of three."""
    original = main_generate_sag.search_of
    monkeypatch.setattr(
        main_generate_sag, "search_of", lambda *given, **_: out_of_time_at(original(*given), size=3)
    )
    options = ("--search", "exhaustive", "--precision", precision)
    assert search_planted(white_images / "a.png", out, *options) == 0
    return SimpleNamespace(images=white_images, out=out)


def test_a_search_cut_short_is_a_record_that_says_so(cut_short):
    assert wrong_claims(cut_short.out, cut_short.images) == []
    assert read_sag(cut_short.out / "a").search == Search("exhaustive", False, "time_limit")


def test_a_search_cut_short_keeps_what_it_found(cut_short):
    assert roots_of(cut_short.out / "a") == {(5,), (6, 10)}


@pytest.mark.parametrize("search", ["beam", "combinatorial", "exhaustive", "diverse"])
def test_no_time_at_all_is_a_record_that_says_so(search, white_images, out):
    options = ("--time-limit", 1e-6, "--search", search, *FLOAT32)
    assert search_planted(white_images / "a.png", out, *options) == 0
    assert wrong_claims(out, white_images) == []
    assert read_sag(out / "a").search == Search(search, False, "time_limit")


# ---------------------------------------------------------------- grids and seeds


@pytest.mark.parametrize("grid", [1, 28])
def test_the_coarsest_and_the_finest_grid(grid, precision, white_images, out):
    limits = ("--max-root-size", 2, "--max-num-roots", 1, "--precision", precision)
    assert search_planted(white_images / "a.png", out, "--grid", grid, *limits) == 0
    assert wrong_claims(out, white_images) == []
    assert len(read_sag(out / "a").saliency) == grid**2


def test_the_only_patch_of_the_coarsest_grid_is_the_root(precision, white_images, out):
    assert search_planted(white_images / "a.png", out, "--grid", 1, "--precision", precision) == 0
    assert roots_of(out / "a") == {(0,)}


def test_two_fresh_runs_agree_but_for_times(precision, white_images, tmp_path):
    records = []
    for folder in (tmp_path / "once", tmp_path / "again"):
        assert search_planted(white_images / "a.png", folder, "--precision", precision) == 0
        record = msgspec.to_builtins(read_sag(folder / "a"))
        del record["seconds"], record["settings"]["results"]
        records.append(record)
    assert records[0] == records[1]


# ---------------------------------------------------------------- names


ODD_NAME = 'Oren\'s "tern" <b>&amp; ñ 鳥 $x_1$ \\N'


@pytest.fixture(scope="module")
def odd_class(tmp_path_factory):
    """The result folder of a class whose name has quotes, markup and foreign letters."""
    folder = tmp_path_factory.mktemp("class")
    images = make_white_images(folder / "in")
    labels = folder / "names.txt"
    labels.write_text(f"zero\n{ODD_NAME}\ntwo", encoding="utf-8")
    options = ("--labels", labels, "--search", "exhaustive", "--exhaustive-size", 1)
    assert run_planted(images / "a.png", folder / "out", *options) == 0
    return folder / "out/a"


@pytest.mark.filterwarnings("ignore:Glyph")  # no CJK in matplotlib's font
def test_an_odd_class_name_is_recorded_as_it_is(odd_class):
    assert read_sag(odd_class).category.name == ODD_NAME


@pytest.mark.filterwarnings("ignore:Glyph")
def test_an_odd_class_name_is_in_the_formulas_file(odd_class):
    assert ODD_NAME in (odd_class / "dnf.txt").read_text(encoding="utf-8")


def test_a_class_is_chosen_by_name(white_images, out, tmp_path):
    labels = tmp_path / "names.txt"
    labels.write_text("zero\nWood_duck\ntwo")
    options = ("--labels", labels, "--category", "wood duck", "--max-num-roots", 1)
    assert search_planted(white_images / "a.png", out, *options) == 0
    assert read_sag(out / "a").category.index == 1


NOT_UTF8 = b"latin-\xe9".decode("utf-8", "surrogateescape")


@pytest.fixture(
    scope="module",
    params=["plain", "12:30 <&> é", NOT_UTF8],
    ids=["plain", "odd", "not UTF-8"],
)
def odd_file(request, tmp_path_factory):
    """The results of two images, one of whose files has an odd name, and its result folder."""
    folder = tmp_path_factory.mktemp("odd")
    images = make_white_images(folder / "in")
    try:
        (images / "a.png").rename(images / f"birds/{request.param}.png")
    except OSError:
        pytest.skip("this disk takes no such name")
    (images / "birds/b.png").unlink()
    out = folder / "out"
    assert run_planted(images, out, "--search", "exhaustive", *FLOAT32) == 0
    written = request.param.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return SimpleNamespace(out=out, folder=out / "birds" / written)


def test_an_odd_file_name_has_a_record_and_a_row(odd_file):
    assert (odd_file.folder / "sag.json").exists()
    assert len(rows_of(odd_file.out)) == 2


def test_an_odd_file_name_has_images_in_its_graph(odd_file):
    graph = np.asarray(Image.open(odd_file.folder / "SAG_dag_3roots.png").convert("RGB"))
    brightest = graph.max(2).astype(int)
    is_grey = brightest - graph.min(2) < 12
    is_soft_white = is_grey & (brightest > 60) & (brightest < 250)  # the tents of a white image
    assert is_soft_white.sum() > 20000
