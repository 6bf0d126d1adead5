"""A simulated device: fake CUDA tensors, a limit on their memory, and no GPU.

    with Device(limit=7 * GB) as device:
        network = device.build(torchvision.models.vgg19)
        network(torch.empty(512, 3, 224, 224, device="cuda"))      # raises OutOfMemoryError

Fake tensors have shapes and storages but no values. Counted is what a program's tensors occupy,
views once; the workspace inside a kernel and the fragments of a real allocator are not.
"""

import weakref
from contextlib import ExitStack
from unittest import mock

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GB = 10**9


class Device(TorchDispatchMode):
    """Counts the storage of live CUDA tensors and raises OutOfMemoryError beyond a limit.

    Attributes:
        limit: bytes.
        live: bytes now.
        peak: the most that were live at once.
        failures: number of times that memory ran out.
    """

    def __init__(self, limit):
        super().__init__()
        self.limit = limit
        self.live = 0
        self.peak = 0
        self.failures = 0
        self._known = set()  # ids of live storages
        self._entered = ExitStack()

    def __enter__(self):
        self._entered.enter_context(FakeTensorMode())
        self._entered.enter_context(torch.inference_mode())
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._entered.close()

    def build(self, architecture):
        """Return a network on this device, in eval mode."""
        # This initialisation looks at values, which fake tensors do not have.
        no_values = mock.patch("torch.nn.init.trunc_normal_", lambda tensor, **_: tensor)
        with torch.inference_mode(False), torch.device("cuda"), no_values:
            return architecture(weights=None).eval().requires_grad_(False)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
        storages = {
            tensor.untyped_storage()._cdata: tensor.untyped_storage()
            for tensor in tensors
            if tensor.device.type == "cuda"
        }
        new = {key: storage for key, storage in storages.items() if key not in self._known}
        size = sum(storage.nbytes() for storage in new.values())
        if self.live + size > self.limit:
            self.failures += 1
            raise torch.cuda.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {size} bytes."
            )
        for key, storage in new.items():
            self._known.add(key)
            weakref.finalize(storage, self._forget, key, storage.nbytes())
        self.live += size
        self.peak = max(self.peak, self.live)
        return output

    def _forget(self, key, size):
        self._known.discard(key)
        self.live -= size
