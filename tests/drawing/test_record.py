"""The typed record: a round trip loses nothing, and damage of every kind is one clear line."""

import json

import msgspec
import pytest
from drawn import make_sag, wide_sag

from drawing.record import (
    Baseline,
    Category,
    Curve,
    Curves,
    Edge,
    Graph,
    Node,
    RegionMap,
    Root,
    decode_sag,
    encode_sag,
)

RISING = Curve(
    insertion=[0.0, 1.0],
    deletion=[1.0, 0.5, 0.0],
    insertion_area=0.5,
    deletion_area=0.5,
    insertion_patches=[0, 49],
    deletion_patches=[0, 24, 49],
)
REGIONS = RegionMap(
    names=["head", "wing"], labels=[1, 4], areas=[0.25, 0.75], map="AAAA", source={"source": "slic"}
)
SAGS = {
    "without roots": make_sag(),
    "of one root": wide_sag(),
    "with curves": make_sag(curves=Curves(igos=RISING)),
    "with Grad-CAM": make_sag(gradcam=[[0.0, 1.0]]),
    "of regions": make_sag(grid=(1, 2), saliency=[0.5, 1.0], regions=REGIONS),
    "of an odd name": make_sag(category=Category(0, 'ñ "鳥" <b>\n')),
}


# ---------------------------------------------------------------- round trip


@pytest.mark.parametrize("name", SAGS)
def test_a_record_is_the_same_after_a_round_trip(name):
    assert decode_sag(encode_sag(SAGS[name])) == SAGS[name]


def test_the_file_says_its_format():
    assert json.loads(encode_sag(make_sag()))["format"] == 1


def test_the_file_ends_with_a_line_break():
    assert encode_sag(make_sag()).endswith(b"}\n")


def test_an_edge_is_a_list_of_three_numbers():
    graph = Graph(nodes=[Node((3,), 0.9, 1.0), Node((), 0.0, 0.0)], edges=[Edge(0, 1, 3)])
    assert json.loads(encode_sag(make_sag(sag=graph)))["sag"]["edges"] == [[0, 1, 3]]


def test_the_source_of_regions_is_called_from():
    record = json.loads(encode_sag(SAGS["of regions"]))
    assert record["regions"]["from"] == {"source": "slic"}


def test_a_grid_has_no_regions_in_the_file():
    assert "regions" not in json.loads(encode_sag(make_sag()))


def test_curves_that_do_not_exist_are_not_in_the_file():
    curves = json.loads(encode_sag(SAGS["with curves"]))["curves"]
    assert set(curves) == {"igos"}


def test_each_curve_of_the_file_has_its_own_counts():
    curve = json.loads(encode_sag(SAGS["with curves"]))["curves"]["igos"]
    assert (curve["insertion_patches"], curve["deletion_patches"]) == ([0, 49], [0, 24, 49])


OLD_CURVE = {"insertion": [0, 1], "deletion": [1, 0], "insertion_area": 0.5, "deletion_area": 0.5}


def with_curves(curves):
    """Return a record as JSON whose curves are these."""
    record = json.loads(encode_sag(make_sag()))
    return json.dumps(record | {"curves": curves}).encode()


@pytest.mark.parametrize("name", ["igos", "gradcam", "roots"])
def test_a_curve_of_an_older_record_has_the_common_counts(name):
    sag = decode_sag(with_curves({"patches": [0, 49], name: OLD_CURVE}))
    curve = sag.curves.by_name()[name]
    assert curve.insertion_patches == curve.deletion_patches == [0, 49]


def test_an_older_record_is_written_with_counts_of_each_curve():
    sag = decode_sag(with_curves({"patches": [0, 49], "igos": OLD_CURVE}))
    curves = json.loads(encode_sag(sag))["curves"]
    assert set(curves) == {"igos"} and curves["igos"]["deletion_patches"] == [0, 49]


@pytest.mark.parametrize(
    "counts, problem",
    [
        ([0], "not one count of patches per point"),
        ([], "not one count of patches per point"),
        ([0, 3, 49], "not one count of patches per point"),
        ([49, 0], "do not ascend"),
        ([7, 7], "do not ascend"),
        ([0, 50], "more patches than there are"),
    ],
)
def test_counts_that_do_not_fit_their_curve_are_an_error(counts, problem):
    curve = OLD_CURVE | {"insertion_patches": counts, "deletion_patches": [0, 49]}
    with pytest.raises(ValueError, match=problem):
        decode_sag(with_curves({"igos": curve}))


def test_a_field_that_is_not_known_is_ignored():
    record = json.loads(encode_sag(make_sag()))
    record["weather"] = "fine"
    assert decode_sag(json.dumps(record).encode()) == make_sag()


# ---------------------------------------------------------------- what a record knows


def test_a_grid_has_rows_times_columns_patches():
    assert make_sag().num_patches == 49


def test_regions_are_counted_as_patches():
    assert SAGS["of regions"].num_patches == 2


def test_a_grid_has_no_region_names():
    assert make_sag().region_names is None


def test_regions_have_names():
    assert SAGS["of regions"].region_names == ["head", "wing"]


# ---------------------------------------------------------------- damage


def removed(name):
    return lambda record: record.pop(name)


DAMAGE = {  # what is changed -> (how, what the line says)
    "no image": (removed("image"), "`image`"),
    "no format": (removed("format"), "`format`"),
    "another format": (lambda r: r.update(format=2), "2 - at `$.format`"),
    "format 0": (lambda r: r.update(format=0), "format 0"),
    "no evaluations": (removed("evaluations"), "`evaluations`"),
    "text for a number": (lambda r: r.update(probability="high"), "$.probability"),
    "null for a number": (lambda r: r.update(probability=None), "$.probability"),
    "probability above 1": (lambda r: r.update(probability=1.5), "$.probability"),
    "probability below 0": (lambda r: r["baseline"].update(probability=-0.1), "baseline"),
    "threshold above 1": (lambda r: r.update(threshold=2), "$.threshold"),
    "grid of one number": (lambda r: r.update(grid=[7]), "$.grid"),
    "text for a patch": (lambda r: r["roots"][0].update(patches=["a"]), "$.roots[0].patches"),
    "another word": (lambda r: r["roots"][0].update(minimal="maybe"), "$.roots[0].minimal"),
    "edge of two numbers": (lambda r: r["sag"]["edges"][0].pop(), "$.sag.edges"),
    "edge below 0": (lambda r: r["sag"].update(edges=[[-1, 1, 0]]), "$.sag.edges"),
    "saliency too short": (lambda r: r["saliency"].pop(), "saliency: not one number per patch"),
    "unknown root": (lambda r: r.update(diverse_roots=[1]), "no root 1"),
    "unknown root in the set": (lambda r: r.update(diverse_set=[0, 7]), "no root 7"),
    "unknown child": (lambda r: r["sag"].update(edges=[[0, 999, 0]]), "sag.edges: no node 999"),
    "unknown parent": (lambda r: r["sag"].update(edges=[[999, 0, 0]]), "sag.edges: no node 999"),
    "unknown patch of an edge": (
        lambda r: r["sag"].update(edges=[[0, 1, 49]]),
        "sag.edges: no patch 49",
    ),
    "score without a set": (
        lambda r: r["scores"]["probabilities"].append(0.5),
        "scores: not one probability per set",
    ),
    "unknown patch of a root": (lambda r: r["roots"][0].update(patches=[49]), "no patch 49"),
    "unknown patch of a node": (lambda r: r["sag"]["nodes"][1].update(patches=[50]), "no patch 50"),
    "patch below 0": (lambda r: r["roots"][0].update(patches=[-1, 3]), "no patch"),
    "too few region names": (
        lambda r: r.update(regions=msgspec.to_builtins(REGIONS)),
        "regions: not one name per region",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_line_that_says_where(damage):
    change, words = DAMAGE[damage]
    record = json.loads(encode_sag(wide_sag()))
    change(record)
    with pytest.raises(ValueError) as error:
        decode_sag(json.dumps(record).encode())
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"no JSON", b"[]", b"null", b'"sag"', b"\xff\xfe", encode_sag(wide_sag())[:500]],
    ids=["empty", "text", "list", "null", "string", "bytes", "cut off"],
)
def test_what_is_no_record_is_one_line(content):
    with pytest.raises(ValueError) as error:
        decode_sag(content)
    assert "\n" not in str(error.value)


NAN = float("nan")
NANS = {
    "probability": {"probability": NAN},
    "baseline": {"baseline": Baseline("black", NAN)},
    "saliency": {"saliency": [NAN] * 49},
    "root": {"roots": [Root((0,), 0.9, NAN, "subset")]},
    "infinite": {"saliency": [float("inf")] * 49},
}


@pytest.mark.parametrize("place", NANS)
def test_a_record_with_nan_is_not_written(place):
    with pytest.raises(ValueError):
        encode_sag(make_sag(**NANS[place]))


def test_nan_in_a_file_is_refused():
    content = encode_sag(make_sag()).replace(b'"probability": 0.9', b'"probability": NaN')
    with pytest.raises(ValueError):
        decode_sag(content)


@pytest.mark.parametrize(
    "fields",
    [{"saliency": [1.0]}, {"diverse_roots": [0]}, {"probability": 2.0}],
    ids=["saliency", "index", "range"],
)
def test_a_record_that_could_not_be_read_is_not_written(fields):
    with pytest.raises(ValueError):
        encode_sag(make_sag(**fields))
