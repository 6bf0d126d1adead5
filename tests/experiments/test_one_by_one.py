"""The benchmark's reference side follows the released code's rules, by hand."""

from itertools import combinations

import pytest
import torch
from planted import PlantedNetwork

from experiments.one_by_one import OneByOne


@pytest.fixture
def reference():
    """Return a maker of the reference side on 3 x 3 patches of a planted network."""

    def make(conjunctions):
        network = PlantedNetwork(conjunctions, grid=3, size=33)
        return OneByOne(
            network, torch.ones(3, 33, 33), torch.zeros(3, 33, 33), category=1, grid=(3, 3)
        )

    return make


def test_search_by_hand(reference):
    side = reference([(0,), (1, 2)])
    saliency = torch.tensor([0.3, 0.1, 0.2, 1, 1, 1, 1, 1, 1])  # order: 1 2 0 3 4 ..
    roots = side.search(saliency, threshold=0.8, beam_width=1, num_successors=2, max_num_roots=5)
    # {1}, {2}; both stay (w + 1 = 2). {1 2} is sufficient, shrunk in 2 passes. {0 1} -> without 0:
    # no, without 1: {0}; again without 0: no. {1 2} once more, 1 + 2. {0 2} -> without 0: no,
    # without 2: {0}; again without 0: no. Nothing insufficient is left.
    assert roots == [(1, 2), (0,)]
    assert side.evaluations == 2 + (1 + 2) + (1 + 3) + (1 + 2) + (1 + 3)


def test_search_keeps_one_state_more_and_finishes_the_level(reference):
    side = reference(list(combinations(range(4), 2)))
    roots = side.search(
        torch.arange(9.0), threshold=0.8, beam_width=1, num_successors=3, max_num_roots=1
    )
    # Of {0} {1} {2} two stay, and give six pairs, one of them twice: a whole level, though one root
    # was asked for.
    assert roots == [(0, 2), (1, 2), (2, 3), (0, 1), (1, 3)]
    assert side.evaluations == 3 + 6 * 3


def test_the_tree_removes_only_the_first_three_patches(reference):
    side = reference([(0, 1, 2, 3)])
    side.score_tree((0, 1, 2, 3), threshold=0.4)
    assert side.evaluations == 1 + 3


def test_the_tree_scores_nodes_wherever_they_occur(reference):
    side = reference([()])
    side.score_tree((0, 1, 2), threshold=0.4)
    assert side.evaluations == 1 + 3 + 3 * 2 + 6 * 1
