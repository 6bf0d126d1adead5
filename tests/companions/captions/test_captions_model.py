"""The captioner's parts against hand-computed cases; batches, beam search and training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from killed_training import Killed, kill_between_last_files

from companions.captions import training
from companions.captions.data import collate, sentences
from companions.captions.decoding import MOST_WORDS, decode
from companions.captions.model import Captioner, Context, Memory, Shape, Step, flow_attention
from companions.captions.training import CHECKPOINT, LOG, Recipe, Training, load_trained, train
from companions.concepts.published_files import BOS, EOS, UNK, Vocabulary
from utils import UserError

CPU = torch.device("cpu")
WORDS = [f"word{i}" for i in range(11)]
RECIPE = Recipe(epochs=3, batch=2, lr=5e-3, width=16)


@pytest.fixture(scope="module")
def captioner():
    """An untrained captioner of the miniature data set."""
    torch.manual_seed(3)
    shape = Shape(words=11, global_width=5, region_width=11, width=16)
    return Captioner(shape).eval().requires_grad_(False)


def weights_of(folder):
    """Return all weights of the captioner in a folder, as one vector."""
    trained = load_trained(folder, CPU)
    return torch.cat([value.flatten() for value in trained.captioner.state_dict().values()])


def trained_in(folder, examples, recipe=RECIPE):
    folder.mkdir(exist_ok=True)
    train(examples, Vocabulary(WORDS), recipe, folder, device=CPU)
    return weights_of(folder)


def test_graph_convolution_is_a_mean_per_edge_type(captioner):
    layer = captioner.encoder.layers[0]
    x = torch.randn(4, 16)
    edges = torch.tensor([[0, 1, 3, 2], [2, 2, 2, 0]])
    types = torch.tensor([4, 4, 1, 5])
    expected = x @ layer.root + layer.bias
    expected[2] += (x[0] + x[1]) / 2 @ layer.weight[4] + x[3] @ layer.weight[1]
    expected[0] += x[2] @ layer.weight[5]
    assert layer.weight.shape == (6, 16, 16)  # no basis decomposition
    assert torch.allclose(layer(x, edges, types), expected, atol=1e-5)


def test_attention_flows_by_no_one_or_two_steps():
    chain = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 1]]])  # 0 to 1 to 2, which keeps its own
    moves = torch.tensor([[0.5, 0.3, 0.2]])
    at_first = torch.tensor([[1.0, 0, 0]])
    assert flow_attention(moves, at_first, chain)[0].tolist() == pytest.approx([0.5, 0.3, 0.2])
    second = torch.tensor([[0.0, 1, 0]])
    assert flow_attention(moves, second, chain)[0].tolist() == pytest.approx([0, 0.5, 0.5])


def test_memory_changes_what_was_attended_to():
    memory = Memory(2).requires_grad_(False)
    for value in memory.parameters():
        value.zero_()
    memory.add.bias.fill_(3.0)
    nodes = torch.tensor([[[1.0, 2], [5, 6]]])
    after = memory(nodes, torch.zeros(1, 2), torch.tensor([[1.0, 0]]))
    # sentinel 1/2, erased 1/2: 1 - 1/4 is kept, and half of 3 is added
    assert after.tolist() == [[[0.75 + 1.5, 1.5 + 1.5], [5, 6]]]


def test_attention_sums_to_one_on_nodes_alone(captioner, examples):
    batch = collate(examples, CPU)
    batch.mask[0, 3] = False
    text = sentences(examples, 4, CPU)
    _, attention = captioner(batch, text.read)
    assert torch.allclose(attention.sum(2), torch.ones(attention.shape[:2]), atol=1e-5)


def test_a_batch_gives_what_single_graphs_give(captioner, examples):
    few = shortened(examples[0])
    mixed = [few, examples[3], examples[5]]
    text = sentences(mixed, 4, CPU)
    together, attention = captioner(collate(mixed, CPU), text.read)
    for row, example in enumerate(mixed):
        alone = collate([example], CPU)
        own, own_attention = captioner(alone, text.read[row : row + 1])
        assert torch.allclose(own[0], together[row], atol=1e-5)
        nodes = len(example.graph)
        assert torch.allclose(own_attention[0], attention[row, :, :nodes], atol=1e-5)
        assert not attention[row, :, nodes:].any()


def shortened(example):
    """Return an example whose graph is its first object alone."""
    graph = replace(
        example.graph,
        names=example.graph.names[:1],
        roles=[0],
        orders=[0],
        boxes=example.graph.boxes[:1],
        edges=[],
        flow=[],
    )
    return replace(example, graph=graph, nodes=example.nodes[:1], target=example.target[:, :1])


def greedy(captioner, batch):
    """Return the most probable word each time, of one graph."""
    context, state = captioner.encode(batch)
    words = []
    last = torch.tensor([BOS])
    while len(words) < MOST_WORDS:
        step = captioner.step(last, context, state)
        state = step.state
        step.logits[:, [BOS, UNK]] = -torch.inf
        last = step.logits.argmax(1)
        if last.item() == EOS:
            break
        words.append(last.item())
    return words


def test_a_beam_of_one_is_greedy(captioner, examples):
    found = decode(captioner, collate(examples, CPU), beam=1)
    assert [one.words for one in found] == [greedy(captioner, collate([e], CPU)) for e in examples]
    assert len({tuple(one.words) for one in found}) > 1
    assert found[0].attention.shape == (len(found[0].words), 4)


class Planted:
    """Word 3 begins with 0.6 and 4 with 0.4; what follows 3 is unsure, and 4 is a whole caption."""

    def __init__(self):
        self.table = torch.full((11, 11), 1e-9)
        self.table[BOS, 3:5] = torch.tensor([0.6, 0.4])
        self.table[3, 5:11] = 0.15
        self.table[3, EOS] = 0.1
        self.table[4:11, EOS] = 1.0

    def encode(self, batch):
        """Return a context and the state before the first word."""
        rows = len(batch.mask)
        return Context(batch.image, batch.mask, batch.flow), torch.full((rows,), BOS)

    def step(self, words, context, state):
        """Return the table's row, and the words as the state."""
        attention = context.mask / context.mask.sum(1, keepdim=True)
        return Step(self.table[words].log(), attention, words)


def test_a_beam_finds_what_greedy_misses(examples):
    batch = collate(examples[:1], CPU)
    assert len(decode(Planted(), batch, beam=1)[0].words) == 2
    best = decode(Planted(), batch, beam=2)[0]
    assert best.words == [4]
    assert best.score == pytest.approx(np.log(0.4) / 2)


# ---------------------------------------------------------------- training


def test_features_are_standardised_by_the_training_split():
    encoder = Captioner(Shape(words=4, global_width=1, region_width=2, width=4)).encoder
    encoder.standardise(torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0, 0.0], [5.0, 4.0]]))
    assert encoder.image_mean.tolist() == [2]
    assert encoder.image_scale.tolist() == pytest.approx([1.01])
    assert encoder.region_scale.tolist() == pytest.approx([0.01, 2.01])


def test_without_weight_explanations_do_not_matter(examples, tmp_path):
    blank = [replace(example, target=np.zeros_like(example.target)) for example in examples]
    plain = trained_in(tmp_path / "plain", examples)
    assert torch.equal(plain, trained_in(tmp_path / "blank", blank))
    guided = trained_in(tmp_path / "guided", examples, replace(RECIPE, guidance=1.0))
    assert not torch.equal(plain, guided)


def test_an_interrupted_training_gives_the_same(examples, tmp_path, monkeypatch):
    whole = trained_in(tmp_path / "whole", examples)
    folder = tmp_path / "interrupted"
    folder.mkdir()
    take_step = Training.take_step
    taken = []

    def interrupted(self, chosen):
        taken.append(1)
        if len(taken) == 5:  # in the second epoch
            raise KeyboardInterrupt
        return take_step(self, chosen)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Training, "take_step", interrupted)
        trained_in(folder, examples)
    assert len((folder / LOG).read_text().splitlines()) == 2  # a header and one epoch
    assert torch.equal(whole, trained_in(folder, examples))
    assert (folder / LOG).read_text() == (tmp_path / "whole" / LOG).read_text()


def test_a_log_has_every_epoch_wherever_a_training_was_killed(examples, tmp_path, monkeypatch):
    whole = trained_in(tmp_path / "whole", examples)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_between_last_files(patch, training, epochs=RECIPE.epochs)
        trained_in(tmp_path / "killed", examples)
    assert torch.equal(whole, trained_in(tmp_path / "killed", examples))
    assert (tmp_path / "killed" / LOG).read_text() == (tmp_path / "whole" / LOG).read_text()


def test_a_checkpoint_of_another_training_is_refused(examples, tmp_path):
    trained_in(tmp_path, examples, replace(RECIPE, epochs=1))
    with pytest.raises(UserError, match="of another training: lr is 0.005 in it, and 0.1 now"):
        trained_in(tmp_path, examples, replace(RECIPE, lr=0.1))
    (tmp_path / CHECKPOINT).write_bytes(b"PK damaged")
    with pytest.raises(UserError, match="not a checkpoint of concept_caption.py, or damaged"):
        trained_in(tmp_path, examples)


def test_guided_training_learns_captions_and_where_words_are(examples, tmp_path):
    recipe = Recipe(epochs=60, batch=6, lr=1e-2, width=32, dropout=0.0, guidance=1.0)
    trained_in(tmp_path, examples, recipe)
    captioner = load_trained(tmp_path, CPU).captioner
    found = decode(captioner, collate(examples, CPU), beam=3)
    assert [one.words for one in found] == [example.words for example in examples]
    for one, example in zip(found, examples):
        placed = example.target.any(1)
        assert (one.attention.argmax(1).numpy() == example.target.argmax(1))[placed].all()
