"""The figure of insertion and deletion curves: measured points, of new records and of old ones."""

import json
from xml.etree import ElementTree

import pytest
from drawn import SVG, make_sag

from drawing.curves import draw_curves
from drawing.record import Curve, Curves, decode_sag, encode_sag
from drawing.styles import DARK

SAMPLED = Curve(
    insertion=[0.0, 0.2, 0.9, 1.0],
    deletion=[1.0, 0.1, 0.0],
    insertion_area=0.6,
    deletion_area=0.2,
    insertion_patches=[0, 6, 7, 49],
    deletion_patches=[0, 12, 49],
)
OLD_CURVE = {
    "insertion": [0.0, 0.5, 1.0],
    "deletion": [1.0, 0.5, 0.0],
    "insertion_area": 0.6,
    "deletion_area": 0.4,
}


def dots(folder, gid):
    """Return the places in curves.svg, in points, of the dots of one line."""
    tree = ElementTree.parse(folder / "curves.svg")
    (line,) = [element for element in tree.iter() if element.get("id") == gid]
    return [float(use.get("x")) for use in line.iter(f"{SVG}use")]


@pytest.fixture
def drawn(tmp_path):
    """A folder with the figure of curves of a record that has I-GOS alone."""
    draw_curves(make_sag(curves=Curves(igos=SAMPLED)), tmp_path, style=DARK, formats=("svg",))
    return tmp_path


@pytest.mark.parametrize("side, count", [("insertion", 4), ("deletion", 3)])
def test_each_measurement_has_a_dot(drawn, side, count):
    assert len(dots(drawn, f"{side}-igos")) == count


def test_a_dot_is_where_it_was_measured(drawn):
    first, second, third, last = dots(drawn, "insertion-igos")
    assert (second - first) / (last - first) == pytest.approx(6 / 49, abs=1e-4)
    assert (third - first) / (last - first) == pytest.approx(7 / 49, abs=1e-4)


def test_curves_of_an_older_record_are_drawn(tmp_path):
    record = json.loads(encode_sag(make_sag()))
    record["curves"] = {"patches": [0, 20, 49], "igos": OLD_CURVE}
    sag = decode_sag(json.dumps(record).encode())
    draw_curves(sag, tmp_path, style=DARK, formats=("svg",))
    first, middle, last = dots(tmp_path, "insertion-igos")
    assert (middle - first) / (last - first) == pytest.approx(20 / 49, abs=1e-4)


def test_without_a_curve_there_is_no_figure(tmp_path):
    draw_curves(make_sag(curves=Curves()), tmp_path, style=DARK, formats=("svg",))
    assert not list(tmp_path.iterdir())
