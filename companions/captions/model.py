"""The captioner: a role-aware graph encoder, and a decoder with attention over the graph's nodes.

    captioner = Captioner(Shape(words=60, global_width=2048, region_width=2048))
    memory, state = captioner.encode(batch)                # nodes (B, N, H)
    step = captioner.step(words, memory, state)            # one word later
    step.logits, step.attention                            # (B, words), (B, N)

Encoder: a node is its region's feature times an embedding of its role (an attribute's also says
which of its object's it is), then two relational graph convolutions (torch_geometric). Decoder: an
attention LSTM, a language LSTM, and word vectors that are the output's as well. Attention mixes
content (an MLP over the nodes) with flow: what it was before, moved along the flow edges by none,
one or two steps. After each word, the nodes that were attended to are partly erased and added to;
a sentinel says how much of the attention the word has used up.

After ASG2Caption (Chen et al., "Say As You Wish", CVPR 2020).
"""

import warnings
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from companions.captions.scene_graph import ATTRIBUTE, EDGE_TYPES, MOST_NODES, ROLES
from companions.training.packages import sa3_library

LAYERS = 2  # of graph convolution
LEAST_DEVIATION = 1e-2  # added to a feature's: one that hardly varies is noise
MOVES = 3  # of flow attention: stay, one move, two moves


@dataclass(frozen=True)
class Shape:
    """Sizes of a captioner.

    Attributes:
        words: of the vocabulary.
        global_width: of a global feature.
        region_width: of a region's feature.
        width: of word vectors, nodes and LSTMs.
        dropout: probability.
    """

    words: int
    global_width: int
    region_width: int
    width: int = 512
    dropout: float = 0.5


@dataclass(frozen=True)
class GraphBatch:
    """Graphs of a batch, padded to the largest.

    Attributes:
        image: global features, (B, global_width).
        nodes: features of regions, (B, N, region_width).
        roles: (B, N) int64.
        orders: (B, N) int64.
        mask: (B, N) bool, where there is a node.
        edges: (2, E) int64, from and to, into the B * N nodes.
        types: (E,) int64.
        flow: (B, N, N), new attention = flow @ old.
    """

    image: torch.Tensor
    nodes: torch.Tensor
    roles: torch.Tensor
    orders: torch.Tensor
    mask: torch.Tensor
    edges: torch.Tensor
    types: torch.Tensor
    flow: torch.Tensor


@dataclass(frozen=True)
class Context:
    """What stays the same over the words of a caption: the image (B, H), mask and flow."""

    image: torch.Tensor
    mask: torch.Tensor
    flow: torch.Tensor


@dataclass(frozen=True)
class State:
    """What a decoder remembers after a word.

    Attributes:
        attending: hidden and cell state of the attention LSTM, each (B, H).
        language: the same of the language LSTM.
        attention: over nodes, (B, N).
        attended: the attended node, (B, H).
        nodes: memory of the nodes, (B, N, H).
    """

    attending: tuple[torch.Tensor, torch.Tensor]
    language: tuple[torch.Tensor, torch.Tensor]
    attention: torch.Tensor
    attended: torch.Tensor
    nodes: torch.Tensor


@dataclass(frozen=True)
class Step:
    """One word: logits (B, words), the attention that it came from (B, N), and the new state."""

    logits: torch.Tensor
    attention: torch.Tensor
    state: State


class Encoder(nn.Module):
    """Role-aware graph encoder."""

    def __init__(self, shape: Shape):
        super().__init__()
        with warnings.catch_warnings():  # of torch_geometric, about PyTorch's TorchScript
            warnings.simplefilter("ignore", FutureWarning)
            convolution = sa3_library("torch_geometric.nn", option="the captioner").RGCNConv
        width = shape.width
        self.image = nn.Linear(shape.global_width, width)
        self.region = nn.Linear(shape.region_width, width)
        self.role = nn.Embedding(len(ROLES), width)
        self.order = nn.Embedding(MOST_NODES, width)
        self.layers = nn.ModuleList(
            convolution(width, width, EDGE_TYPES, aggr="mean", root_weight=True)
            for _ in range(LAYERS)
        )
        self.fused = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(shape.dropout)
        nn.init.ones_(self.role.weight)  # at first a node is its region's feature
        nn.init.normal_(self.order.weight, std=0.1)
        for name, size in (("image", shape.global_width), ("region", shape.region_width)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))

    def standardise(self, images: torch.Tensor, regions: torch.Tensor) -> None:
        """Have features reach the network with the mean 0 and deviation 1 that these would have.

        Args:
            images: global features of the training split, (n, global_width).
            regions: features of its nodes, (m, region_width).
        """
        for name, rows in (("image", images), ("region", regions)):
            getattr(self, f"{name}_mean").copy_(rows.mean(0))
            deviation = rows.std(0, correction=0)
            getattr(self, f"{name}_scale").copy_(deviation + LEAST_DEVIATION)

    def forward(self, batch: GraphBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the image with its graph, (B, H), and the nodes, (B, N, H)."""
        is_attribute = (batch.roles == ATTRIBUTE)[..., None]
        role = self.role(batch.roles) + self.order(batch.orders) * is_attribute
        regions = (batch.nodes - self.region_mean) / self.region_scale
        images = (batch.image - self.image_mean) / self.image_scale
        nodes = self.region(regions) * role  # (B, N, H)
        flat = nodes.flatten(0, 1)
        for layer in self.layers:
            flat = self.dropout(F.relu(layer(flat, batch.edges, batch.types)))
        nodes = flat.view_as(nodes) * batch.mask[..., None]
        mean = nodes.sum(1) / batch.mask.sum(1, keepdim=True)
        return self.fused(torch.cat([self.image(images), mean], 1)), nodes


class Attention(nn.Module):
    """Attention over nodes: content mixed with flow."""

    def __init__(self, width: int):
        super().__init__()
        self.node = nn.Linear(width, width)
        self.query = nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)
        self.flow = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, MOVES))
        self.gate = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, hidden: torch.Tensor, state: State, context: Context) -> torch.Tensor:
        """Return the attention of the next word, (B, N); it sums to 1.

        Args:
            hidden: of the attention LSTM, (B, H).
            state: before the word.
            context: of the graph.
        """
        query = torch.cat([hidden, state.attended], 1)
        content = self.content(hidden, state.nodes, context.mask)
        moved = flow_attention(self.flow(query).softmax(1), state.attention, context.flow)
        gate = self.gate(query).sigmoid()  # (B, 1)
        return gate * content + (1 - gate) * moved

    def content(
        self, hidden: torch.Tensor, nodes: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Return the attention by content alone, (B, N)."""
        keys = torch.tanh(self.node(nodes) + self.query(hidden)[:, None])
        scores = self.score(keys)[..., 0]
        return scores.masked_fill(~mask, -torch.inf).softmax(1)


def flow_attention(
    moves: torch.Tensor, attention: torch.Tensor, flow: torch.Tensor
) -> torch.Tensor:
    """Return attention moved along the flow edges.

    Args:
        moves: weights of staying, one move and two moves, (B, 3).
        attention: before, (B, N).
        flow: (B, N, N).
    """
    once = torch.bmm(flow, attention[..., None])[..., 0]
    twice = torch.bmm(flow, once[..., None])[..., 0]
    return (moves[:, None] * torch.stack([attention, once, twice], 2)).sum(2)


class Memory(nn.Module):
    """Erases from the nodes that a word has used, and adds to them."""

    def __init__(self, width: int):
        super().__init__()
        self.sentinel = nn.Linear(width, 1)
        self.erase = nn.Linear(2 * width, width)
        self.add = nn.Linear(2 * width, width)

    def forward(
        self, nodes: torch.Tensor, hidden: torch.Tensor, attention: torch.Tensor
    ) -> torch.Tensor:
        """Return the nodes after a word, (B, N, H).

        Args:
            nodes: before it, (B, N, H).
            hidden: of the language LSTM, (B, H).
            attention: of the word, (B, N).
        """
        used = (self.sentinel(hidden).sigmoid() * attention)[..., None]  # (B, N, 1)
        both = torch.cat([nodes, hidden[:, None].expand(-1, nodes.shape[1], -1)], 2)
        kept = nodes * (1 - used * self.erase(both).sigmoid())
        return kept + used * self.add(both).relu()


class Captioner(nn.Module):
    """Graph in, words out."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        width = shape.width
        self.encoder = Encoder(shape)
        self.words = nn.Embedding(shape.words, width)
        self.attending = nn.LSTMCell(3 * width, width)
        self.language = nn.LSTMCell(2 * width, width)
        self.attention = Attention(width)
        self.memory = Memory(width)
        self.bias = nn.Parameter(torch.zeros(shape.words))
        self.dropout = nn.Dropout(shape.dropout)

    def encode(self, batch: GraphBatch) -> tuple[Context, State]:
        """Return what the decoder begins with: all attention is on the first node."""
        image, nodes = self.encoder(batch)
        zeros = torch.zeros_like(image)
        attention = torch.zeros_like(batch.mask, dtype=image.dtype)
        attention[:, 0] = 1
        state = State((zeros, zeros), (zeros, zeros), attention, attended=zeros, nodes=nodes)
        return Context(image, batch.mask, batch.flow), state

    def step(self, words: torch.Tensor, context: Context, state: State) -> Step:
        """Return what follows a word.

        Args:
            words: the last word of each caption, (B,) int64.
            context: of the graphs.
            state: before the step.
        """
        seen = torch.cat([self.dropout(self.words(words)), context.image, state.language[0]], 1)
        attending = self.attending(seen, state.attending)
        attention = self.attention(attending[0], state, context)
        attended = (attention[..., None] * state.nodes).sum(1)
        language = self.language(torch.cat([attended, attending[0]], 1), state.language)
        logits = F.linear(self.dropout(language[0]), self.words.weight, self.bias)
        nodes = self.memory(state.nodes, language[0], attention)
        after = replace(
            state,
            attending=attending,
            language=language,
            attention=attention,
            attended=attended,
            nodes=nodes,
        )
        return Step(logits, attention, after)

    def forward(self, batch: GraphBatch, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (B, T, words) and attention (B, T, N) after each of the words (B, T)."""
        context, state = self.encode(batch)
        logits = []
        attention = []
        for word in words.unbind(1):
            step = self.step(word, context, state)
            state = step.state
            logits.append(step.logits)
            attention.append(step.attention)
        return torch.stack(logits, 1), torch.stack(attention, 1)
