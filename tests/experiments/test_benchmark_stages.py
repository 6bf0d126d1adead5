"""The benchmark's tables, from planted measurements."""

import pytest

from experiments.benchmark_report import COLUMNS, table
from experiments.benchmark_result import (
    EAGER,
    ONE_BY_ONE,
    About,
    BatchRow,
    BenchmarkResult,
    SideRow,
    WholeJob,
    WholeJobRow,
    read_result,
    write_result,
)
from experiments.benchmark_sides import batches_since
from experiments.benchmark_stages import (
    batches_line,
    passes_of,
    share_of_ceiling,
    stage_table,
)

ABOUT = {
    "model": {},
    "images": "Images",
    "quick": False,
    "search": "beam",
    "device": "cpu",
    "threads": 2,
    "precision": "auto",
    "versions": {},
}
# At 100 images/s in bfloat16 and 50 in float32: mask 1.0 + 0.6, search 1.0 + 1.0, tree 1.0, curves
# 2.0 seconds at the ceiling.
PASSES = {
    "mask": {"bfloat16": 100, "gradient": 20},
    "search": {"bfloat16": 100, "float32": 50},
    "tree": {"float32": 50},
    "curves": {"float32": 100},
}
STAGES = {"mask": 2.0, "search": 2.0, "tree": 1.0, "curves": 4.0}


def side_row(image, seconds, **changes):
    """Return a row of a side."""
    known = {"asked": 300, "scored": 200, "roots": 4, "proven": 2, "diverse": 1}
    return SideRow(image=image, seconds=seconds, **{**known, **changes})


@pytest.fixture
def row():
    """Return the row of a side as shipped."""
    batches = {
        "float32": BatchRow(batches=10, masks=150, rows=200, synchronisations=20),
        "gradient": BatchRow(),
    }
    return side_row(
        "a.png", 5.0, precision="bfloat16", stages=STAGES, passes=PASSES, batches=batches
    )


@pytest.fixture
def result(row):
    """Return measurements of two images, one of which takes twice as long alone."""
    whole = [
        WholeJobRow(image="a.png", stages={"load": 0.5, **STAGES, "draw": 3.0}),
        WholeJobRow(image="b.png", stages={"load": 0.5, **STAGES, "draw": 1.0}),
    ]
    return BenchmarkResult(
        **ABOUT,
        sides={
            ONE_BY_ONE: [side_row("a.png", 50.0), side_row("b.png", 100.0)],
            EAGER: [
                row,
                side_row("b.png", 5.0, stages=STAGES, passes=PASSES, precision="bfloat16"),
            ],
        },
        ceilings={EAGER: {"float32": {"1": 20, "8": 50}, "bfloat16": {"8": 100, "16": 90}}},
        whole_job=WholeJob(seconds=20.0, images_at_once=1, rows=whole),
    )


def test_a_gradient_is_three_passes(row):
    assert passes_of(row, ["mask"]) == 100 + 3 * 20
    assert passes_of(row, ["mask", "search", "tree", "curves"]) == 460


def test_the_ceiling_is_the_best_rate_of_each_precision(result, row):
    share = {stage: share_of_ceiling(row, result, side=EAGER, stages=[stage]) for stage in STAGES}
    assert share == pytest.approx({"mask": 0.8, "search": 1.0, "tree": 1.0, "curves": 0.5})


def test_the_table_compares_both_times(result):
    rows = {row[0]: dict(zip(COLUMNS, row)) for row in table(result)[1:]}
    assert rows[ONE_BY_ONE]["speed-up"] == "1.0"
    assert rows[EAGER]["speed-up"] == "15.0"  # of 10 and 20
    assert rows[EAGER]["overhead"] == "1.09"  # 5 seconds for what takes 4.6
    assert rows[EAGER]["passes"] == "360"
    assert rows["as shipped, whole job"]["s an image"] == "10.00"
    assert rows["as shipped, whole job"]["speed-up"] == "7.5"  # of 5 and 10


def test_gradients_of_one_by_one_count_as_three(result):
    rows = {row[0]: dict(zip(COLUMNS, row)) for row in table(result)[1:]}
    assert rows[ONE_BY_ONE]["passes"] == str(200 + 2 * 40)


def test_stages_are_medians(result):
    rows = {row[0]: row[1:] for row in stage_table(result)}
    assert rows["stage"][:3] == ["s alone", "s in the whole job", "passes"]
    assert rows["stage"][3:] == ["bfloat16", "float32", "gradient", "at the ceiling"]
    assert rows["mask"] == ["2.00", "2.00", "160", "100", "0", "20", "80%"]
    assert rows["load"] == ["", "0.50", "", "", "", "", ""]
    assert rows["drawing"] == ["", "2.00", "", "", "", "", ""]
    assert rows["all"] == ["9.00", "11.50", "460", "200", "200", "20", "73%"]


def test_batches_are_summed_over_the_images(row):
    assert batches_line([row, row]) == (
        "float32 20 batches of 15.0 masks, filled to 75%, 2.0 synchronisations each"
    )


def test_an_image_has_its_steps_and_a_part_of_the_rest():
    rows = [
        WholeJobRow(image="a", stages={"load": 9.0, "mask": 1.0, "search": 2.0}),
        WholeJobRow(image="b", stages={"mask": 1.0, "draw": 9.0}),
    ]
    whole = WholeJob(seconds=10.0, images_at_once=1, rows=rows)
    assert whole.seconds_of("a") == 3.0 + 3.0
    assert whole.seconds_of("b") == 1.0 + 3.0


def test_images_that_share_batches_have_equal_parts():
    rows = [WholeJobRow(image=name, stages={"mask": 8.0}) for name in "ab"]
    assert WholeJob(seconds=10.0, images_at_once=2, rows=rows).seconds_of("a") == 5.0


def test_batches_before_an_image_are_not_its_own():
    before = {"float32": BatchRow(batches=2, masks=9, rows=10, synchronisations=2)}
    after = {"float32": BatchRow(batches=5, masks=29, rows=40, synchronisations=5)}
    since = batches_since(before, after)
    assert since == {"float32": BatchRow(batches=3, masks=20, rows=30, synchronisations=3)}


def test_what_was_measured_is_read_again(result, tmp_path):
    write_result(tmp_path / "benchmark.json", result)
    assert read_result(tmp_path / "benchmark.json", About(**ABOUT)) == result
