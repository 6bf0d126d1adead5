"""Which sets of a graph are drawn, and where."""

from collections import Counter

import numpy as np
import pytest
from drawn import make_sag, wide_sag

from drawing.captions import caption
from drawing.graph_layout import fitted, nodes_to_draw
from drawing.record import Edge, Graph, Node
from drawing.styles import DARK, paper, with_limits

WIDTHS = [2, 3.3, 7]  # inches


@pytest.fixture(scope="module", params=WIDTHS)
def column(request):
    """The layout of a wide graph in a column of a paper."""
    return fitted(wide_sag(), paper(request.param))


def sizes_drawn(**limits) -> dict[int, int]:
    sag = wide_sag()
    drawn = nodes_to_draw(sag, 60, **limits)
    return dict(Counter(len(sag.sag.nodes[i].patches) for i in drawn))


def test_the_root_and_the_sets_whose_removal_cost_most_are_drawn():
    nodes = [Node((i,), probability=0.5, relative=i / 500) for i in range(300)]
    nodes[0] = Node(tuple(range(300)), probability=0.5, relative=0.9)
    edges = [Edge(0, i, i) for i in range(1, 300)]
    sag = make_sag(grid=(20, 20), saliency=[1.0] * 400, sag=Graph(nodes=nodes, edges=edges))
    assert nodes_to_draw(sag, 60) == list(range(60))


def test_every_child_of_a_root_is_drawn_before_what_is_further_below():
    nodes = [
        Node((0, 1, 2), probability=0.9, relative=1.0),
        Node((0, 1), probability=0.8, relative=0.9),
        Node((0, 2), probability=0.8, relative=0.95),
        Node((0,), probability=0.0, relative=0.0),
    ]
    edges = [Edge(0, 1, 2), Edge(0, 2, 1), Edge(1, 3, 1)]
    sag = make_sag(sag=Graph(nodes=nodes, edges=edges))
    assert nodes_to_draw(sag, 3) == [0, 1, 2]
    assert nodes_to_draw(sag, 4, max_in_row=1, is_wide=True) == [0, 1, 2, 3]


def test_sets_of_one_size_are_limited():
    assert sizes_drawn(max_in_row=3) == {14: 1, 13: 3, 12: 3}


def test_steps_below_a_root_are_limited():
    assert sizes_drawn(max_in_row=3, max_steps=1) == {14: 1, 13: 3}


def test_a_wide_graph_fits_the_column(column):
    assert column.width <= column.style.width - 8


def test_a_wide_graph_is_drawn_in_part(column):
    assert 1 < len(column.drawn) < 106


def test_the_caption_says_what_is_left_out(column):
    said = " ".join(caption(wide_sag(), column.drawn, "dim"))
    drawn = len(column.drawn)
    assert f"{drawn} of 106 sets are drawn" in said and f"{106 - drawn} are left out" in said


def test_no_image_covers_another(column):
    places = np.array(list(column.nodes.values()))
    apart = np.abs(places[:, None] - places[None]) + 1e6 * np.eye(len(places))[..., None]
    assert (apart >= column.style.node).any(-1).all()


def test_a_node_says_how_many_of_its_children_are_left_out():
    sag = wide_sag()
    layout = fitted(sag, paper(7))
    drawn = [e for e in sag.sag.edges if e.parent == 0 and e.child in layout.nodes]
    assert f"+{14 - len(drawn)} more" in layout.lines[0]


def test_a_limit_of_nodes_widens_the_rows_of_a_dark_graph():
    assert with_limits(DARK, 60).max_in_row == 12


def test_a_column_keeps_its_rows_whatever_the_limit():
    assert with_limits(paper(3.3), 60).max_in_row == paper(3.3).max_in_row


def test_a_record_without_a_graph_has_an_empty_layout():
    assert fitted(make_sag(), DARK).drawn == []
