"""What a module returns is read as logits: tensors, objects, single outputs, probabilities."""

from types import SimpleNamespace

import pytest
import torch
from planted import PLANTED, SMALL, PlantedNetwork

from scoring.networks import class_probabilities, load_network, wrap_module
from scoring.outputs import Logits, are_probabilities, logits_of, own_module
from scoring.weights import state_sha256
from utils import UserError

PIXELS = torch.rand(4, 3, 56, 56, generator=torch.Generator().manual_seed(0))


def planted(change):
    """Return a planted network whose log-probabilities (B, 3) go through a function."""

    class Changed(PlantedNetwork):
        def forward(self, x):
            return change(super().forward(x))

    return Changed(PLANTED, **SMALL).eval()


WANTED = planted(torch.Tensor.exp)(PIXELS)  # probabilities of three classes

FORMS = {
    "logits": lambda logs: logs,
    "an object's logits": lambda logs: SimpleNamespace(logits=logs),
    "probabilities": torch.Tensor.exp,
    "an object's probabilities": lambda logs: SimpleNamespace(logits=logs.exp()),
    "squeezed logits": torch.Tensor.squeeze,
}


@pytest.mark.parametrize("form", FORMS)
def test_three_classes_in_every_form_are_the_same(form):
    network = wrap_module(planted(FORMS[form]))
    assert torch.allclose(class_probabilities(network.module(PIXELS)), WANTED, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_what_it_returns_is_noted(form):
    expected = "probabilities" if "probabilities" in form else "logits"
    assert wrap_module(planted(FORMS[form])).output == expected


SINGLE = {
    "(B, 1)": lambda logs: logs[:, 1:2],
    "(B,)": lambda logs: logs[:, 1],
    "squeezed": lambda logs: logs[:, 1:2].squeeze(),
}


@pytest.mark.parametrize("output", ["auto", "probabilities"])
@pytest.mark.parametrize("shape", SINGLE)
def test_a_single_output_is_of_two_classes(shape, output):
    def change(logs):
        single = SINGLE[shape](logs.exp())
        return single if output == "probabilities" else single.logit()

    network = wrap_module(planted(change), output=output)
    expected = torch.stack([1 - WANTED[:, 1], WANTED[:, 1]], 1)
    assert torch.allclose(class_probabilities(network.module(PIXELS)), expected, atol=1e-6)


@pytest.mark.parametrize("shape", SINGLE)
def test_a_single_output_from_0_to_1_is_taken_as_a_logit_and_doubted(shape):
    network = wrap_module(planted(lambda logs: SINGLE[shape](logs.exp())))
    assert (network.output, network.is_doubtful) == ("logits", True)
    assert "--output probabilities" in network.reading()


def test_a_single_logit_beyond_1_is_not_doubted():
    assert not wrap_module(planted(lambda logs: logs[:, 1:2].exp().logit())).is_doubtful


def test_logits_that_are_asked_for_are_not_guessed():
    network = wrap_module(planted(torch.Tensor.exp), output="logits")
    assert (network.output, network.is_doubtful) == ("logits", False)


def test_a_module_of_plain_logits_stays_itself():
    module = planted(lambda logs: logs)
    assert wrap_module(module).module is module


def test_a_module_that_is_read_keeps_the_hash_of_its_weights():
    layers = (torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 3), torch.nn.Softmax(1))
    module = torch.nn.Sequential(*layers)
    module.input_size = 8
    network = wrap_module(module.eval())
    assert isinstance(network.module, Logits) and own_module(network.module) is module
    assert network.weights_sha256 == state_sha256(module)


@pytest.mark.parametrize(
    "rows, is_one",
    [
        ([[0.2, 0.8], [1.0, 0.0]], True),
        ([[0.2, 0.8005], [1.0, 0.0]], True),
        ([[0.2, 0.8], [1.0, 0.2]], False),
        ([[-0.1, 1.1]], False),
        ([[float("nan"), 1.0]], False),
        ([[0.5]], False),
    ],
)
def test_probabilities_lie_in_0_to_1_and_sum_to_1(rows, is_one):
    assert are_probabilities(torch.tensor(rows)) == is_one


@pytest.mark.parametrize("p", [[[0.0, 1.0]], [[0.0]], [[1.0]], [[1e-30]], [[0.5]]])
def test_extreme_probabilities_have_finite_logits_of_the_same_probabilities(p):
    logits = logits_of(torch.tensor(p))
    found = class_probabilities(logits)[:, -1:] if len(p[0]) == 1 else class_probabilities(logits)
    assert logits.isfinite().all() and torch.allclose(found, torch.tensor(p), atol=1e-7)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda logs: logs, "outside of 0 to 1"),
        (lambda logs: logs.exp() / 2, "do not sum to 1, but to 0.5"),
    ],
)
def test_outputs_that_are_no_probabilities_are_refused(change, words):
    with pytest.raises(UserError, match=f"--output probabilities: model Changed .*{words}"):
        wrap_module(planted(change), output="probabilities")


def test_a_library_s_network_returns_logits_unless_it_is_told_otherwise():
    with pytest.raises(UserError, match="--output probabilities: --model birds"):
        load_network("birds", output="probabilities")
