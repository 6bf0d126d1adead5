"""The authors' programs to the letter: figures computed by hand, and the command."""

from math import log

import numpy as np
import pytest
from small_sets import cub_tree, published_lists

from companions.deliberative.annotations import SHARES
from companions.deliberative.cub import PART_GROUPS, attribute_groups, cub
from companions.deliberative.image_lists import read_list
from companions.deliberative.published import (
    published_divergence,
    published_fine,
    published_label_map,
    published_object_curve,
    published_pairs,
    published_part_curves,
    published_places,
    published_region,
    published_shared_objects,
    published_shared_parts,
)
from utils import UserError

# ---------------------------------------------------------------- pairs and regions


def test_pairs_are_of_the_three_largest_at_each_location():
    first = [5, 1e-7, 3, 4]
    second = [1e-7, 1e-7, 1e-7, 9]  # of equal values, the last ones are the largest
    maps = np.array([first, second]).T.reshape(4, 1, 2)
    assert published_pairs(maps) == [(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_a_region_lies_above_the_value_at_its_size():
    fine = np.arange(100).reshape(10, 10) / 200
    # The fifth largest is 95 / 200: four pixels are above it.
    assert published_region(fine, 0.05).sum() == 4


def test_values_of_1_or_more_stay_in_the_mask():
    fine = np.arange(100).reshape(10, 10) / 49
    mask = published_region(fine, 0.05).ravel()
    assert mask[96:].tolist() == [1] * 4
    assert mask[49:96].tolist() == pytest.approx((np.arange(49, 96) / 49).tolist())
    assert mask[:49].sum() == 0


def test_a_map_is_resized_between_the_middles_of_its_cells():
    assert published_fine(np.array([[0.0, 4.0]]), (1, 4)).tolist() == [[0, 1, 3, 4]]


# ---------------------------------------------------------------- parts


def test_the_divergence_is_of_softmaxes():
    found = published_divergence(np.array([[0.0, 0.0], [log(3), 0.0]]))
    terms = 0.5 * log(1 / 1.25) + 0.5 * log(1 / 0.75)  # of the first row, (1/2, 1/2)
    others = 0.75 * log(1.5 / 1.25) + 0.25 * log(0.5 / 0.75)  # of the second, (3/4, 1/4)
    assert found == pytest.approx(np.array([[0, terms + others], [terms + others, 0]]))


def test_what_is_alike_counts_a_class_against_itself():
    # Of 3 x 3 x 1 divergences, three are 0: the second in order is one of them.
    rows = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    shared = published_shared_parts([[rows]])
    assert shared[..., 0].tolist() == np.eye(3, dtype=bool).tolist()


def test_the_columns_of_a_part_are_those_of_the_authors(tmp_path):
    groups = attribute_groups(cub_tree(tmp_path))
    ranges = {  # first and last, from 1
        "back": ((59, 73), (237, 240)),
        "beak": ((1, 9), (150, 152), (279, 293)),
        "crown": ((95, 105), (153, 167), (294, 308)),
        "left wing": ((10, 24), (213, 217), (309, 312)),
        "tail": ((74, 79), (80, 94), (168, 182), (241, 244)),
    }
    for part, columns in ranges.items():
        wanted = sorted(n for first, last in columns for n in range(first, last + 1))
        assert [n for n, g in enumerate(groups, 1) if g in PART_GROUPS[part]] == wanted


def test_parts_are_squashed_and_rounded():
    points = {"beak": (50.4, 30.0), "tail": (99.9, 0.0)}
    found = published_places(points, image_size=(100, 60), size=(224, 224))
    assert found == {"beak": (112, 112), "tail": (0, 223)}


def test_precision_and_recall_by_hand():
    fine = np.zeros((10, 10))
    fine[0, 1] = 0.9  # the largest
    fine[5, 5] = 0.5
    fine[9, 9] = 0.3
    places = {"a": (0, 1), "b": (5, 5), "c": (9, 9), "d": (0, 0)}
    curves = published_part_curves(
        [fine, fine, fine],
        [{"a", "b"}, set(), {"d"}],  # the second shares nothing, the third a part at (0, 0)
        places,
        shares=[0.02, 0.03],
    )
    # The region of 2 % is above the second value: it has a alone. That of 3 % has a and b. The
    # second pair counts for the recall, with 0.
    assert curves["recall"].tolist() == [0.25, 0.5]
    assert curves["precision"].tolist() == [1, 1]


def test_without_a_part_in_sight_nothing_is_known():
    curves = published_part_curves([np.ones((4, 4))], [{"a"}], {}, shares=[0.5])
    assert np.isnan(curves["recall"]).all()
    assert np.isnan(curves["precision"]).all()


# ---------------------------------------------------------------- objects


def test_the_most_frequent_shared_objects_by_hand():
    frequencies = np.array([[1.0, 0.5, 0.2], [0.8, 0.5, 0.9], [0.0, 0.5, 0.9]])
    # Means over both: object 1: .9 of (0, 1); object 2: .5 of all; object 3: .9 of (1, 2). Of 27,
    # the one in place 26 is the largest.
    shared = published_shared_objects(frequencies)
    pairs = sorted(map(tuple, np.argwhere(shared).tolist()))
    assert pairs == [(0, 1, 0), (1, 0, 0), (1, 2, 2), (2, 1, 2)]


def test_a_label_map_is_resized_by_repeating_its_numbers():
    assert published_label_map(np.array([[1, 2], [3, 4]]), (2, 3)).tolist() == [
        [1, 2, 3],
        [4, 1, 2],
    ]


def test_the_iou_counts_pairs_that_share_nothing():
    fine = np.arange(100).reshape(10, 10) / 200
    labels = np.zeros((10, 10), int)
    labels[9, 6:] = 7  # the four largest values
    curve = published_object_curve([fine, fine], [{7}, set()], labels, shares=[0.05, 0.09])
    assert curve["iou"].tolist() == [0.5, 0.25]


# ---------------------------------------------------------------- lists


def test_a_list_of_another_machine_is_found_below_the_folder(tmp_path):
    folder = cub_tree(tmp_path)
    _, test = published_lists(folder)
    listed = read_list(test, below=folder)
    assert [image.target for image in listed] == [0, 1, 2]
    assert [image.path for image in listed] == cub(folder).images


@pytest.mark.parametrize(
    "line, words",
    [("nowhere/x.jpg 0 0", "line 1: no nowhere/x.jpg"), ("x.jpg three", "three is not the number")],
)
def test_a_list_with_a_bad_line_is_refused(tmp_path, line, words):
    (tmp_path / "list.txt").write_text(line)
    with pytest.raises(UserError, match=words):
        read_list(tmp_path / "list.txt", below=tmp_path)


def test_no_list_leads_out_of_the_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "x.jpg").write_bytes(b"")
    (tmp_path / "list.txt").write_text("../x.jpg 0 0")
    with pytest.raises(UserError, match="no "):
        read_list(tmp_path / "list.txt", below=tmp_path / "in")


# ---------------------------------------------------------------- the command


@pytest.fixture
def tree(colour_run):
    """CUB-200-2011 in miniature, beside the network of colours."""
    return cub_tree(colour_run.path)


def test_as_published_every_size_is_measured(colour_run, tree):
    assert colour_run("--evaluate", "cub", "--published", "--moved", 0, images=tree) == 0
    table = colour_run.evaluation()
    assert table["published"] is True
    assert table["shares"] == list(SHARES)
    assert table["images"] == 3
    record = colour_run.record(f"{cub(tree).images[0].parent.name}/{cub(tree).images[0].stem}")
    assert record.model.mean == [0.4706145, 0.46000465, 0.45479808]
    assert record.settings["resize"] == "crop"
    assert (colour_run.path / "out/curves.png").is_file()


def test_only_the_hardest_images_of_a_list_are_measured(colour_run, tree):
    _, test = published_lists(tree)
    options = ("--evaluate", "cub", "--list", test, "--hardest", 2, "--moved", 0)
    assert colour_run(*options, images=tree) == 0
    assert colour_run.evaluation()["images"] == 2
    rows = (colour_run.path / "out/hardest.csv").read_text().splitlines()[1:]
    values = [float(row.rpartition(",")[2]) for row in rows]
    assert len(values) == 2
    assert values == sorted(values)


@pytest.mark.parametrize("options", ["--published", "--hardest 3"])
def test_what_belongs_to_an_evaluation_is_refused_without(two_scenes, error_line, options):
    assert two_scenes(*options.split()) == 2
    assert "only with --evaluate" in error_line()
