"""What the main job returns in Python: a record that can be asked, shown and saved.

    sag = explain(model, image)
    sag.roots[0].patches
    sag.confidence([11, 30])            # from the record's table, or scored now
    sag.save("Results/peacock")         # all files of a result folder
    sag                                 # in a notebook, the graph shows itself

Everything that it holds is in sag.json; see drawing/record.py.
"""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from msgspec import UNSET

from drawing.graph_figure import draw_graph
from drawing.masked_images import MaskedImages
from drawing.record import (
    Check,
    Curve,
    Curves,
    Edge,
    Graph,
    Node,
    Root,
    Sag,
    scores_of,
)
from drawing.styles import DARK
from running.record_files import pixels_sha256
from running.results import save
from scoring import curves
from scoring.patch_sets import PatchSet, canonical
from search import MSE, Checked


class Explanation(Sag, kw_only=True, tag_field="format", tag=1):
    """The record of one image and class, with the network still at hand.

    Attributes:
        shown_image: (H, W, 3) uint8 RGB, as the network saw it.
    """

    def attach(
        self, image: np.ndarray, scorer: Callable[[Sequence[PatchSet]], Iterable[float]]
    ) -> "Explanation":
        """Keep the image and a float32 scorer of it beside the record; return the explanation."""
        self.shown_image = image
        self.pixels_sha256 = pixels_sha256(image)
        self._scorer = scorer
        self._table = scores_of(self)
        return self

    def confidence(self, patches: Iterable[int]) -> float:
        """Return the class's probability with only these patches visible, in float32.

        Args:
            patches: patch numbers, or numbers of regions.

        Raises:
            ValueError: there is no such patch.
        """
        visible = canonical(patches)
        if visible not in self._table:
            self._table[visible] = float(next(iter(self._scorer([visible]))))
        return self._table[visible]

    def save(self, folder: str | Path) -> None:
        """Write all files of a result folder; files of an earlier result in it are replaced."""
        save(self, self.shown_image, Path(folder))

    def _repr_png_(self) -> bytes:
        """Return the figure of the graph, for notebooks."""
        masked = MaskedImages.of(self, self.shown_image)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            draw_graph(
                self,
                masked,
                folder=folder,
                style=DARK,
                hidden="dim",
                only_final=True,
            )
            return next(folder.glob("SAG_final_*.png")).read_bytes()


# ---------------------------------------------------------------- from findings to the record


def root_entries(mses: Sequence[MSE], full_probability: float) -> list[Root]:
    """Return MSEs as the record lists them."""
    return [
        Root(
            mse.patches,
            mse.probability,
            relative=mse.probability / full_probability,
            minimal=mse.minimal,
            found_by=mse.found_by or UNSET,
            checked=check_entry(mse.checked) if mse.checked else UNSET,
        )
        for mse in mses
    ]


def check_entry(checked: Checked) -> Check:
    """Return what was checked of a large MSE as the record has it."""
    return Check(checked.lacking, checked.drawn, at_most=checked.at_most)


def graph_entries(graph: nx.DiGraph) -> Graph:
    """Return a SAG as the record lists it: nodes, and edges by the nodes' numbers."""
    number = {patches: i for i, patches in enumerate(graph)}
    stopped_by = graph.graph["stopped_by"]
    return Graph(
        nodes=[
            Node(patches, values["probability"], values["relative"])
            for patches, values in graph.nodes(data=True)
        ],
        edges=[
            Edge(number[parent], number[child], removed)
            for parent, child, removed in graph.edges(data="removed")
        ],
        complete=stopped_by is None,
        stopped_by=stopped_by,
    )


def curve_entries(found: Mapping[str, curves.Curve]) -> Curves:
    """Return insertion and deletion curves as the record lists them."""
    entries: dict[str, Any] = {
        name: Curve(
            insertion=curve.insertion,
            deletion=curve.deletion,
            insertion_area=curve.insertion_area,
            deletion_area=curve.deletion_area,
            insertion_patches=curve.insertion_patches,
            deletion_patches=curve.deletion_patches,
        )
        for name, curve in found.items()
    }
    return Curves(**entries)
