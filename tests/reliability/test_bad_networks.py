"""Networks and weights that cannot be used: one line that names what is wrong, or they are used."""

import numpy as np
import pytest
import torch
from torch import nn

from running.network_check import require_usable
from scoring.networks import load_network, preprocessing_of, wrap_module
from scoring.weights import read_weights
from utils import UserError


class Plain(nn.Module):
    """A network whose preprocessing is asked for."""

    def __init__(self, **attributes):
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x):
        return x.mean((2, 3))


USABLE = {
    "a number": 0.5,
    "a tensor": torch.full((3,), 0.5),
    "a tensor of maps": torch.full((1, 3, 1, 1), 0.5),
    "an array": np.full(3, 0.5),
    "a list": [0.5, 0.5, 0.5],
}
UNUSABLE = {
    "four numbers": [0.5] * 4,
    "two numbers": (0.5, 0.5),
    "text": "imagenet",
    "nothing": None,
    "a function": len,
    "NaN": [float("nan")] * 3,
}


@pytest.mark.parametrize("form", USABLE)
@pytest.mark.parametrize("name", ["mean", "std"])
def test_mean_and_std_may_have_any_form(name, form):
    size, mean, std = preprocessing_of(Plain(**{name: USABLE[form]}))
    assert {"mean": mean, "std": std}[name] == (0.5, 0.5, 0.5)
    assert size == (224, 224)


@pytest.mark.parametrize("form", UNUSABLE)
@pytest.mark.parametrize("name", ["mean", "std"])
def test_a_mean_or_std_that_is_none_is_named(name, form):
    with pytest.raises(UserError, match=f"model: .*{name} must"):
        preprocessing_of(Plain(**{name: UNUSABLE[form]}))


@pytest.mark.parametrize("std", [0, [0.5, 0.5, 0], -1.0])
def test_a_std_of_0_is_named(std):
    with pytest.raises(UserError, match="std must be above 0"):
        preprocessing_of(Plain(std=std))


@pytest.mark.parametrize("size", [0, -5, 22.5, "224", True])
def test_an_input_size_that_is_none_is_named(size):
    with pytest.raises(UserError, match="input_size"):
        preprocessing_of(Plain(input_size=size))


# ---------------------------------------------------------------- weights

BUILD = """
import torch
from torch import nn
class Net(nn.Module):
    input_size = 8
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4, bias=False)
        self.register_buffer("scale", torch.tensor(1.0))
    def forward(self, x):
        return self.linear(x.mean((2, 3))) * self.scale
def build():
    return Net().eval()
def on_meta():
    return Net().to("meta").eval()
def expanded():
    net = Net()
    net.linear.weight = nn.Parameter(torch.ones(1, 3).expand(4, 3))
    return net.eval()
"""
WEIGHT = torch.ones(4, 3)
SCALE = torch.tensor(2.0)
BAD_STATES = {
    "integer keys": {0: WEIGHT, 1: SCALE},
    "sparse": {"linear.weight": WEIGHT.to_sparse(), "scale": SCALE},
    "meta": {"linear.weight": WEIGHT.to("meta"), "scale": SCALE},
    "another shape": {"linear.weight": WEIGHT.T, "scale": SCALE},
    "one is missing": {"linear.weight": WEIGHT},
    "one too many": {"linear.weight": WEIGHT, "scale": SCALE, "more": SCALE},
    "a list": [WEIGHT],
    "nothing": {},
}
GOOD_STATES = {
    "of no dimension": {"linear.weight": WEIGHT, "scale": SCALE},
    "expanded": {"linear.weight": torch.ones(1, 3).expand(4, 3), "scale": SCALE},
    "of half precision": {"linear.weight": WEIGHT.half(), "scale": SCALE},
    "transposed in memory": {"linear.weight": torch.ones(3, 4).T, "scale": SCALE},
}


@pytest.fixture
def network(tmp_path):
    """Return network(function, state), loaded from files."""
    (tmp_path / "net.py").write_text(BUILD)

    def load(function="build", state=None):
        weights = None
        if state is not None:
            weights = tmp_path / "weights.pth"
            torch.save(state, weights)
        return load_network(f"{tmp_path / 'net.py'}:{function}", weights)

    return load


@pytest.mark.parametrize("kind", BAD_STATES)
def test_weights_that_cannot_be_used_are_one_line(kind, network):
    with pytest.raises(UserError, match="weights.pth") as error:
        network(state=BAD_STATES[kind])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", GOOD_STATES)
def test_odd_weights_are_loaded(kind, network):
    loaded = network(state=GOOD_STATES[kind])
    assert loaded.module(torch.ones(1, 3, 8, 8)).tolist() == [[6.0] * 4]


def test_a_network_without_numbers_is_named(network):
    with pytest.raises(UserError, match="is on the meta device"):
        network("on_meta")


def test_an_expanded_parameter_is_used(network):
    assert network("expanded").classes == 4


def test_too_little_memory_is_not_called_unreadable(network, monkeypatch):
    def exhausted(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")

    monkeypatch.setattr(torch, "load", exhausted)
    with pytest.raises(UserError, match="not enough memory"):
        network(state=GOOD_STATES["expanded"])


def test_a_file_that_is_no_weights_is_named(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"\x80\x02no")
    with pytest.raises(UserError, match=r"a\.pth"):
        read_weights(tmp_path / "a.pth")


# ---------------------------------------------------------------- answers


class Answers(nn.Module):
    """A network of 8 x 8 pixels that answers by a function."""

    input_size = 8

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer(x)


@torch.no_grad()
def without_gradients(x):
    return x.mean((2, 3))


UNUSABLE_ANSWERS = {
    "no gradients": (without_gradients, "no gradients"),
    "one row": (lambda x: x.mean((2, 3))[:1], "1 rows for a batch of 2"),
    "two rows for one": (lambda x: x.mean((2, 3)).repeat(2, 1), "4 rows for a batch of 2"),
    "one image only": (lambda x: x.reshape(1, 3, 8, 8).mean((2, 3)), "fails on a batch of 2"),
}


@pytest.mark.parametrize("kind", UNUSABLE_ANSWERS)
def test_a_network_that_no_image_could_use_is_named(kind):
    answer, words = UNUSABLE_ANSWERS[kind]
    with pytest.raises(UserError, match=words):
        require_usable(wrap_module(Answers(answer).eval()), needs_gradients=True)


def test_gradients_are_not_asked_for_without_need():
    require_usable(wrap_module(Answers(without_gradients).eval()), needs_gradients=False)


@pytest.mark.parametrize("name", ["net.py", "folder/net.py"])
def test_a_file_without_its_function_is_named(name):
    with pytest.raises(UserError, match=f"{name}:FUNCTION"):
        load_network(name)
