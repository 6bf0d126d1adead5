"""Networks of users that do what they should not: --model FILE.py:function."""

from collections.abc import Iterator
from pathlib import Path

from .case import Case, share
from .world import NETWORK

HEAD = "import torch\nfrom torch import nn\n"


def forward(body: str) -> str:
    """Return a file whose network's forward is this."""
    lines = "\n".join(f"        {line}" for line in body.split("\n"))
    odd = f"class Odd(Net):\n    def forward(self, x):\n{lines}\n"
    return f"{NETWORK}\n{odd}\ndef build():\n    return Odd().eval()\n"


def build(body: str) -> str:
    """Return a file whose build() is this."""
    lines = "\n".join(f"    {line}" for line in body.split("\n"))
    return f"{NETWORK}\ndef build():\n{lines}\n"


def attribute(name: str, value: str) -> str:
    """Return a file whose network has this attribute."""
    return build(f"net = Net().eval()\nnet.{name} = {value}\nreturn net")


REFUSED = {
    "an empty file": "",
    "a syntax error": "def build(:\n",
    "a missing module": "import no_such_module\n",
    "an error on import": "1 / 0\n",
    "not Python": "\x00\x01",
    "no function": HEAD,
    "a number for a function": "build = 5\n",
    "a function with arguments": "def build(size):\n    return None\n",
    "an error in build": build("raise RuntimeError('no luck')"),
    "an error of many lines": build("raise ValueError('one\\ntwo\\nthree\\x1b[31m')"),
    "nothing": build("pass"),
    "text": build("return 'net'"),
    "a tensor": build("return torch.zeros(3)"),
    "the class": build("return Net"),
    "a function": build("return lambda x: x"),
    "exit on import": "import sys\nsys.exit(0)\n",
    "exit in build": build("raise SystemExit"),
    "exit in forward": forward("raise SystemExit(0)"),
    "os.exit by error": build("exit('bye')"),
    "Ctrl-C in build": build("raise KeyboardInterrupt"),
    "no end of calls": build("return build()"),
    "an error in forward": forward("raise RuntimeError('no luck')"),
    "an error without words": forward("raise ValueError"),
    "an assertion": forward("assert x.shape[-1] == 7"),
    "another size": forward("return super().forward(x).reshape(-1, 4)[:, :0]"),
    "no output": forward("pass"),
    "text as output": forward("return 'red'"),
    "a number as output": forward("return 1.0"),
    "a list as output": forward("return [1, 2, 3]"),
    "one row": forward("return super().forward(x)[:1]"),
    "two rows more": forward("return super().forward(torch.cat([x, x[:2]]))"),
    "maps as output": forward("return super().forward(x)[:, :, None, None].expand(-1, -1, 5, 5)"),
    "no class": forward("return super().forward(x)[:, :0]"),
    "a dictionary as output": forward("return {'logits': super().forward(x)}"),
    "a tuple as output": forward("return super().forward(x), x"),
    "inference mode": forward("with torch.inference_mode():\n    return Net.forward(self, x)"),
    "another input": forward(
        "with torch.no_grad():\n    x = x.clone()\nreturn Net.forward(self, x)"
    ),
    "NaN": forward("return super().forward(x) * float('nan')"),
    "infinity": forward("return super().forward(x) / 0"),
    "no gradient": forward("with torch.no_grad():\n    return Net.forward(self, x)"),
    "detached": forward("return super().forward(x).detach()"),
    "NumPy": forward("return super().forward(x).detach().numpy()"),
    "integers": forward("return super().forward(x).long()"),
    "complex numbers": forward("return super().forward(x).to(torch.complex64)"),
    "booleans": forward("return super().forward(x) > 0"),
    "sparse": forward("return super().forward(x).to_sparse()"),
    "meta": forward("return super().forward(x).to('meta')"),
    "too much memory": forward("return torch.zeros(10**15).sum() + super().forward(x)"),
    "input_size 0": attribute("input_size", "0"),
    "input_size -3": attribute("input_size", "-3"),
    "input_size as text": attribute("input_size", "'32'"),
    "input_size of three": attribute("input_size", "(3, 32, 32)"),
    "input_size NaN": attribute("input_size", "float('nan')"),
    "input_size of a planet": attribute("input_size", "10**9"),
    "input_size None": attribute("input_size", "None"),
    "mean of two": attribute("mean", "(0.5, 0.5)"),
    "mean as text": attribute("mean", "'imagenet'"),
    "mean NaN": attribute("mean", "float('nan')"),
    "std 0": attribute("std", "(0, 0, 0)"),
    "std infinite": attribute("std", "float('inf')"),
    "std below 0": attribute("std", "-1.0"),
    "weights NaN": build(
        "net = Net().eval()\nnet.head.weight.data.fill_(float('nan'))\nreturn net"
    ),
    "weights on meta": build("return Net().eval().to('meta')"),
}
USED = {
    "prints": build("print('hello' * 1000)\nreturn Net().eval()"),
    "warns": build("import warnings\nwarnings.warn('old')\nreturn Net().eval()"),
    "logs": build("import logging\nlogging.error('hm')\nreturn Net().eval()"),
    "in training": build("return Net().train()"),
    "64 bits": build("return Net().double().eval()"),
    "a closed stdout": build("import sys\nsys.stdout.close()\nreturn Net().eval()"),
    "elsewhere": build("import os\nos.chdir('/')\nreturn Net().eval()"),
    "random numbers": forward("return super().forward(x) + torch.rand(len(x), 3)"),
    "statistics of the batch": forward("return super().forward(x - x.mean(0))"),
    "probabilities": forward("return super().forward(x).softmax(1)"),
    "the same for all": forward("return super().forward(x) * 0"),
    "huge logits": forward("return super().forward(x) * 1e30"),
    "one dimension": forward("return super().forward(x)[:, 0]"),
    "input_size as a float": attribute("input_size", "32.0"),
    "seeds": build("import random\nrandom.seed(1)\ntorch.manual_seed(1)\nreturn Net().eval()"),
    "no normalisation": build("net = Net().eval()\ndel Net.mean\nreturn net"),
    "hooks": build("net = Net().eval()\nnet.register_forward_hook(lambda *_: None)\nreturn net"),
}
MAY_BE_REFUSED = ("one dimension", "64 bits", "hooks", "input_size as a float")
RUNS_OF_NETWORKS = ("main", "deviation", "deliberative", "select", "paper", "explain")
WITH_GRADIENTS = ("main", "deliberative", "paper")
OF_GRADIENTS = ("no gradient", "detached", "NumPy", "inference mode", "another input")
OF_GRADIENTS += ("integers", "booleans")
AT_IMAGES = ("NaN", "infinity", "no class", "weights NaN")  # named with the first image, or before
PLACES = {
    "a folder": lambda p: p.mkdir(),
    "a pipe": lambda p: __import__("os").mkfifo(p),
    "a dangling link": lambda p: p.symlink_to("nowhere.py"),
    "in Latin-1": lambda p: p.write_bytes(b"NAME = '\xe9'\n" + NETWORK.encode()),
    "an image": lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
}


def cases() -> Iterator[Case]:
    """Yield the rows."""
    for number, run in enumerate(RUNS_OF_NETWORKS):
        for what, code in share({**REFUSED, **USED}.items(), number, every=3):
            yield of_network(run, what, code)
    for run in ("main", "deviation", "benchmark"):
        for what, make in PLACES.items():
            yield Case(
                f"{run}: net is {what}",
                run,
                ("--model", "odd.py:build"),
                change=lambda w, m=make: m(w / "odd.py"),
                says="odd.py",
            )


def of_network(run: str, what: str, code: str) -> Case:
    """Return the row of a network of this code."""
    is_refused = what in REFUSED
    if what in OF_GRADIENTS:
        status = (0, 2) if run not in WITH_GRADIENTS else (2,)
    elif what in AT_IMAGES:
        status = (1, 2)
    elif what == "Ctrl-C in build":
        status = (2, 130)
    elif is_refused:
        status = (2,)
    else:
        status = (0, 1, 2) if what in MAY_BE_REFUSED else (0, 1)
    says = "odd.py" if status == (2,) else ""

    def change(world: Path) -> None:
        (world / "odd.py").write_text(code)

    return Case(
        f"{run}: network: {what}",
        run,
        ("--model", "odd.py:build"),
        change=change,
        status=status,
        says=says,
    )
