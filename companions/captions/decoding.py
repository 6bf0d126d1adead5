"""Captions of graphs, by beam search; a beam of one is greedy.

captions = decode(captioner, batch, beam=5)
captions[0].words, captions[0].attention       # (T,), (T, N)
"""

from dataclasses import dataclass, fields, is_dataclass
from typing import TypeVar

import torch

from companions.captions.model import Captioner, Context, GraphBatch
from companions.concepts.published_files import BOS, EOS, UNK

MOST_WORDS = 25
T = TypeVar("T")


@dataclass
class Caption:
    """A decoded caption.

    Attributes:
        words: numbers of its words, without the end.
        attention: of each word over the nodes, (T, N).
        score: mean log probability of a word, the end included.
    """

    words: list[int]
    attention: torch.Tensor
    score: float


def picked(value: T, rows: torch.Tensor) -> T:
    """Return rows of every tensor in a tensor, tuple or dataclass."""
    if isinstance(value, torch.Tensor):
        return value[rows]
    if isinstance(value, tuple):
        return tuple(picked(entry, rows) for entry in value)
    assert is_dataclass(value)
    return type(value)(**{f.name: picked(getattr(value, f.name), rows) for f in fields(value)})


@torch.inference_mode()
def decode(captioner: Captioner, batch: GraphBatch, *, beam: int = 5) -> list[Caption]:
    """Return the best caption of each graph.

    Args:
        captioner: in eval mode.
        batch: B graphs.
        beam: captions that the search keeps at each length.
    """
    context, state = captioner.encode(batch)
    captions = []
    for row in range(len(batch.mask)):
        only = torch.tensor([row], device=batch.mask.device)
        captions.append(_search(captioner, picked(context, only), picked(state, only), beam=beam))
    return captions


@dataclass
class _Open:
    """A caption that has not ended."""

    words: list[int]
    attention: list[torch.Tensor]
    total: float  # log probability


def _search(captioner: Captioner, context: Context, state, *, beam: int) -> Caption:
    """Search one graph: of all continuations the best `beam` go on; an ended one leaves."""
    kept = [_Open([], [], 0.0)]
    ended: list[Caption] = []
    for _ in range(MOST_WORDS):
        last = torch.tensor([one.words[-1] if one.words else BOS for one in kept])
        rows = torch.zeros(len(kept), dtype=torch.long, device=context.mask.device)
        step = captioner.step(last.to(rows.device), picked(context, rows), state)
        log = step.logits.log_softmax(1)
        log[:, [BOS, UNK]] = -torch.inf  # neither is a word
        totals = log + torch.tensor([one.total for one in kept], device=log.device)[:, None]
        best = totals.flatten().topk(min(beam, totals.numel()))
        parents = []
        extended = []
        for total, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            parent, word = divmod(place, log.shape[1])
            one = kept[parent]
            if word == EOS:
                ended.append(_ended(one, total, length=len(one.words) + 1, like=step.attention))
                continue
            attention = [*one.attention, step.attention[parent]]
            extended.append(_Open([*one.words, word], attention, total))
            parents.append(parent)
        if not extended or len(ended) >= beam:
            return max(ended, key=lambda caption: caption.score)
        state = picked(step.state, torch.tensor(parents, device=log.device))
        kept = extended
    ended += [_ended(one, one.total, length=MOST_WORDS, like=step.attention) for one in kept]
    return max(ended, key=lambda caption: caption.score)


def _ended(one: _Open, total: float, *, length: int, like: torch.Tensor) -> Caption:
    attention = torch.stack(one.attention) if one.attention else like[:0]
    return Caption(one.words, attention, total / length)
