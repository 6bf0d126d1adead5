"""The search that settings name."""

from dataclasses import replace
from typing import Protocol

import torch

from diverse_search import diverse_search, fill_up
from scoring.questions import Asks
from search import (
    SearchResult,
    beam_search,
    combinatorial_search,
    exhaustive_search,
    greedy_search,
)


class SearchSettings(Protocol):
    """The settings of the searches, as the main job has them."""

    @property
    def search(self) -> str:
        """Name of the search: beam, combinatorial, exhaustive or diverse."""

    @property
    def prob_thresh(self) -> float:
        """Sufficient is above this share of the full image's probability."""

    @property
    def beam_width(self) -> int:
        """See beam_search()."""

    @property
    def num_successors(self) -> int:
        """See beam_search()."""

    @property
    def max_num_roots(self) -> int:
        """See beam_search() and diverse_search()."""

    @property
    def max_root_size(self) -> int:
        """See beam_search() and diverse_search()."""

    @property
    def comb_top(self) -> int:
        """See combinatorial_search()."""

    @property
    def comb_size(self) -> int:
        """See combinatorial_search()."""

    @property
    def exhaustive_size(self) -> int | str:
        """The max_size of exhaustive_search(); a number once the patches are known."""

    @property
    def overlap_thresh(self) -> int:
        """The overlap of diverse_search() and fill_up()."""

    @property
    def num_roots_sag(self) -> int:
        """Number of roots that the graph may show: what fill_up() fills up to."""

    @property
    def fill_up(self) -> bool:
        """Whether the diverse search adds to what the beam search finds."""


def search_of(
    settings: SearchSettings, saliency: torch.Tensor, *, is_timed: bool = False
) -> Asks[SearchResult]:
    """Return the search that the settings name, and what goes before and after it.

    Args:
        settings: name and limits of the search.
        saliency: one number per patch; lower values are more salient.
        is_timed: whether there is a time limit. Then a greedy search goes first, and what it finds
            counts where time leaves nothing better.
    """
    first = SearchResult((), "time_limit")
    if is_timed:
        first = yield from greedy_search(saliency, prob_thresh=settings.prob_thresh)
    found = yield from bare_search(settings, saliency)
    if settings.search == "beam" and settings.fill_up:
        found = yield from fill_up(
            found,
            saliency,
            num_roots=min(settings.num_roots_sag, settings.max_num_roots),
            overlap=settings.overlap_thresh,
            prob_thresh=settings.prob_thresh,
            max_root_size=settings.max_root_size,
        )
    if found.stopped_by == "time_limit" and not found.mses:
        return replace(found, mses=first.mses)
    return found


def bare_search(settings: SearchSettings, saliency: torch.Tensor) -> Asks[SearchResult]:
    """Return the search that the settings name, as it is in the paper.

    Args:
        settings: name and limits of the search.
        saliency: one number per patch; lower values are more salient.
    """
    if settings.search == "combinatorial":
        return combinatorial_search(
            saliency,
            prob_thresh=settings.prob_thresh,
            comb_top=settings.comb_top,
            comb_size=settings.comb_size,
        )
    if settings.search == "exhaustive":
        return exhaustive_search(
            saliency.numel(),
            prob_thresh=settings.prob_thresh,
            max_size=int(settings.exhaustive_size),
        )
    if settings.search == "diverse":
        return diverse_search(
            saliency,
            prob_thresh=settings.prob_thresh,
            overlap=settings.overlap_thresh,
            max_num_roots=settings.max_num_roots,
            max_root_size=settings.max_root_size,
        )
    return beam_search(
        saliency,
        prob_thresh=settings.prob_thresh,
        beam_width=settings.beam_width,
        num_successors=settings.num_successors,
        max_num_roots=settings.max_num_roots,
        max_root_size=settings.max_root_size,
    )
