"""A network run by OpenVINO on a CPU.

    forward = openvino_forward(module, images, precision="bfloat16")
    logits = forward(images)

OpenVINO is optional. What it answers only ever chooses a search's next sets (scoring/answerer.py);
gradients, and all that is recorded, are PyTorch's.
"""

import importlib.util
import warnings

import torch

from scoring.compilation import CannotCompile, Forward
from scoring.networks import class_probabilities
from utils import UserError, one_line

HINTS = {"float32": "f32", "bfloat16": "bf16"}  # OpenVINO's names
# By which its probabilities may differ from the module's own, by precision.
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.05}


def is_installed() -> bool:
    """Return whether there is an OpenVINO."""
    return importlib.util.find_spec("openvino") is not None


def check_openvino(device: torch.device) -> None:
    """Refuse --backend openvino where there is none.

    Raises:
        UserError: it is not installed, or the device is not a CPU.
    """
    if not is_installed():
        raise UserError(
            "--backend openvino: OpenVINO is not installed: "
            "pip install -r requirements_openvino.txt"
        )
    if device.type != "cpu":
        raise UserError(f"--backend openvino: for a CPU, but the device is {device}")


@torch.no_grad()
def openvino_forward(module: torch.nn.Module, images: torch.Tensor, *, precision: str) -> Forward:
    """Return the network run by OpenVINO, on as many threads as PyTorch has.

    Args:
        module: the network, in float32 on the CPU.
        images: (B, 3, H, W), to try it on. The answers to these and to blank images are compared
            with the module's own: where its code takes another way on them, OpenVINO does not.
        precision: "float32" or "bfloat16".

    Raises:
        CannotCompile: OpenVINO cannot run the network, or has other probabilities.
    """
    blank = images.new_zeros(3, *images.shape[1:])
    try:
        forward = _converted(module, images[:1], precision=precision)
        difference = max(_difference(forward, module, batch) for batch in (images, blank))
    except Exception as error:  # OpenVINO's errors have no common base class
        raise CannotCompile(one_line(error)[:160]) from error
    if not difference <= TOLERANCES[precision]:
        raise CannotCompile(f"in OpenVINO, its probabilities differ by {difference:.1e}")
    return forward


def _difference(ours: Forward, module: Forward, images: torch.Tensor) -> float:
    """Return the largest difference of two networks' probabilities; NaN where one has NaN."""
    difference = class_probabilities(ours(images)) - class_probabilities(module(images))
    return float(difference.abs().max())


def _converted(module: torch.nn.Module, example: torch.Tensor, *, precision: str) -> Forward:
    """Return the network in OpenVINO, for any number of images of the example's size."""
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # openvino.convert_model does the same, but reports each use to its makers over the network.
    frontend = FrontEndManager().load_by_framework("pytorch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, whose answers are checked
        decoder = TorchScriptPythonDecoder(module, example_input=example)
    model = frontend.convert(frontend.load(decoder))
    model.reshape([-1, *example.shape[1:]])  # as fast as for one batch size, and converted sooner
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "ENABLE_CPU_PINNING": False,  # else several processes all compute on the first cores
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)

    def forward(images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(compiled(images.contiguous().numpy())[0])

    return forward
