"""Every command and every Python snippet in README.md, CONTRIBUTING.md and docs/ works as written.

A ```bash line is run, in this process and in a folder of its own with the files that its page
names. A ```console line needs data or machines that are not here: its options are parsed. A
```python block is executed, all blocks of a page in order. A command that takes minutes is run at a
small size (SMALL) or has its options parsed (TOO_LONG).
"""

import importlib
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from utils import PROJECT

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{p.name}" for p in PROJECT.glob("docs/*.md")),
]
# .ci/run runs these itself.
IN_CI = re.compile(r"bash requirements_install\.sh|\.venv/bin/(ruff|mypy)|-m pytest")
# What takes minutes as it is written -> options added here.
SMALL = {
    "my_photos --model my_net.py": ["--max-num-roots", "1", "--time-limit", "4"],
    "my_photos --model resnet50": ["--max-num-roots", "1", "--time-limit", "4"],
    "reproduce_paper.py --scenes 4 --conditions": ["--scenes", "1"],
    "birds.between Results/hard_scenes": ["--scenes", "24"],
    "velvet_oriole.png --explain both": ["--max-num-roots", "2", "--grid", "5"],
    "birds.part_scenes Results/part_scenes": ["--per-class", "1"],
    "birds.between Results/halfway": ["--halfway", "1"],
    "birds.annotated_sets Results/annotated": ["--scenes", "1"],
    "concept_caption.py world": ["--train", "4", "--held-out", "5"],
    "concept_caption.py train": ["--epochs", "1", "--width", "16"],
}
# What has no small size: only its options are parsed.
TOO_LONG = ("concept_debug.py demo", "benchmark.py --quick")


def blocks(page, language):
    """Return the fenced blocks of a page in one language."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def commands(page, language):
    """Return (module, arguments, line) of each command of a page that starts Python."""
    lines = [line for block in blocks(page, language) for line in block.splitlines() if line]
    found = []
    for line in lines:
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if not words or words[0] not in ("python", ".venv/bin/python") or IN_CI.search(line):
            continue
        is_module = words[1] == "-m"
        module = words[2] if is_module else words[1].removesuffix(".py")
        if module.startswith("tests."):
            continue
        found.append((module, words[3:] if is_module else words[2:], line))
    return found


def run(module, arguments):
    """Run a command in this process and return its exit status."""
    try:
        return importlib.import_module(module).main(arguments)
    except SystemExit as end:
        return end.code or 0


def parses(module, arguments, monkeypatch):
    """Return whether a command accepts these options, without running it."""
    loaded = importlib.import_module(module)
    with monkeypatch.context() as patched:
        patched.setattr(loaded, "exit_status", lambda prog, work: work())
        for name in ("parse", "parse_subcommands"):
            if hasattr(loaded, name):
                patched.setattr(loaded, name, stop_after(getattr(loaded, name)))
        with pytest.raises(Parsed):
            loaded.main(arguments)
    return True


class Parsed(Exception):
    """Raised once the options have been accepted."""


def stop_after(parse):
    """Return the parser, raising Parsed once it has accepted the options."""

    def parse_and_stop(*arguments, **options):
        parse(*arguments, **options)
        raise Parsed

    return parse_and_stop


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder like a clone, with the files that the pages name."""
    for name in ("Images", "birds", "GroundTruth1000.txt"):
        (tmp_path / name).symlink_to(PROJECT / name)
    noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    (tmp_path / "my_photos").mkdir()
    Image.fromarray(noise).save(tmp_path / "my_photos/photo.png")
    Image.fromarray(noise).save(tmp_path / "kitchen.jpg")
    Image.fromarray((np.arange(64 * 80).reshape(64, 80) // 1800).astype(np.uint8)).save(
        tmp_path / "kitchen.png"
    )
    (tmp_path / "names.txt").write_text("wall\nfloor\n")
    (tmp_path / "my_classes.txt").write_text("".join(f"class {i}\n" for i in range(12)))
    (tmp_path / "my_net.py").write_text(own_module())
    (tmp_path / "kitchens.yaml").write_text(blocks("docs/options.md", "yaml")[0])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own_module():
    """Return the README's example of a module of one's own."""
    return next(block for block in blocks("README.md", "python") if "num_classes=12" in block)


def put_resnet50_into_cache():
    """Save untrained weights where torchvision looks for the ones it has downloaded."""
    url = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.url
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    file.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet50().state_dict(), file)


def runs_something(page):
    """Return whether a page has commands to run or, unless it is the README, snippets."""
    return commands(page, "bash") or (page != "README.md" and blocks(page, "python"))


@pytest.mark.parametrize("page", [page for page in PAGES if runs_something(page)])
def test_a_page_runs_as_written(page, folder, monkeypatch):
    for module, arguments, line in commands(page, "bash"):
        if any(long in line for long in TOO_LONG):
            assert parses(module, arguments, monkeypatch), line
            continue
        if "resnet50" in line and not (folder / "torch").exists():
            put_resnet50_into_cache()
        extra = next((options for start, options in SMALL.items() if start in line), [])
        assert run(module, [*arguments, *extra]) == 0, line
    if page != "README.md":  # its snippets are alternatives to each other; each has a test below
        namespace = {"__name__": "snippets"}
        for block in blocks(page, "python"):
            exec(compile(block, page, "exec"), namespace)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page, "console")])
def test_options_of_commands_are_accepted(page, folder, monkeypatch):
    for module, arguments, line in commands(page, "console"):
        assert parses(module, arguments, monkeypatch), line


def test_readme_snippet_of_explain_runs(folder):
    block = next(block for block in blocks("README.md", "python") if "import explain" in block)
    exec(compile(block, "README.md", "exec"), {"__name__": "snippet"})
    assert (folder / "Results/velvet_oriole/sag.json").is_file()


def test_ci_runs_the_test_command_of_the_readme():
    script = (PROJECT / ".ci/run").read_text()
    assert "requirements_install.sh tests/requirements.txt" in script
