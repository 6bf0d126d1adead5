"""The house rules of CONTRIBUTING.md, checked on the source."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from utils import PROJECT

METHOD = (
    "get_perturbation_mask",
    "search",
    "diverse_search",
    "diverse_subset_selection",
    "patch_deletion_tree",
)
COMMANDS = (
    "main_generate_sag",
    "draw_sag",
    "benchmark",
    "reproduce_paper",
    "score_deviation",
    "deliberative_explanation",
    "concept_debug",
    "concept_caption",
)
# From the ground up: a file imports from its own floor or a lower one.
FLOORS = (
    ("utils",),
    ("scoring",),
    METHOD,
    ("drawing",),
    ("running",),
    ("birds", "companions", "experiments"),
    COMMANDS,
)
MOST_LINES = 45  # of a function, with its signature and docstring
MOST_CODE_LINES = 40  # without its docstring
MOST_POSITIONAL = 7
README_WORDS = 1200
README_COLUMNS = 120


@cache
def sources():
    """Return the parsed source of every tracked file outside of tests/, by path."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    names = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True).stdout.split()
    kept = [name for name in names if not name.startswith("tests/")]
    return {
        name: ast.parse((PROJECT / name).read_text()) for name in kept if (PROJECT / name).exists()
    }


def functions():
    """Yield (place, function) for every function."""
    for name, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                yield f"{name}:{node.lineno} {node.name}", node


def floor_of(module):
    """Return the floor that a module stands on; None for other packages."""
    top = module.split(".")[0]
    return next((i for i, names in enumerate(FLOORS) if top in names), None)


def imports(tree):
    """Yield (module, names) of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, []


def test_imports_run_one_way():
    upward = []
    for name, tree in sources().items():
        own = floor_of(name.removesuffix(".py").replace("/", "."))
        for module, _ in imports(tree):
            floor = floor_of(module)
            if floor is not None and floor > own and module != "main_generate_sag":
                upward.append(f"{name} imports {module}")
    assert upward == []


# What experiments and the benchmark may import from main_generate_sag, a name or all: one image's
# explanation, or the main job over a folder.
MAIN_JOB = ({"explain"}, {"FolderExplainer", "LoadedImage", "Settings", "plan_of"})


def test_only_the_main_job_is_imported_from_a_command():
    wrong = []
    for name, tree in sources().items():
        for module, names in imports(tree):
            if module in COMMANDS:
                may = name.startswith("experiments/") or name == "benchmark.py"
                if not may or module != "main_generate_sag" or set(names) not in MAIN_JOB:
                    wrong.append(f"{name} imports {names} from {module}")
    assert wrong == []


def test_the_top_folder_has_the_method_and_the_commands():
    top = {Path(name).stem for name in sources() if "/" not in name}
    assert top == {*METHOD, *COMMANDS, "utils"}


def test_utils_is_short():
    assert len((PROJECT / "utils.py").read_text().splitlines()) <= 150


def test_functions_need_no_scrolling():
    long = []
    for place, node in functions():
        lines = node.end_lineno - node.lineno + 1
        first = node.body[0]
        is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        code = lines - (first.end_lineno - first.lineno + 1 if is_docstring else 0)
        if lines > MOST_LINES or code > MOST_CODE_LINES:
            long.append(f"{place}: {lines} lines, {code} of code")
    assert long == []


def test_functions_take_few_positional_arguments():
    counts = {place: len(node.args.posonlyargs + node.args.args) for place, node in functions()}
    assert {place: n for place, n in counts.items() if n > MOST_POSITIONAL} == {}


def test_an_assignment_is_one_thought():
    packed = [
        f"{name}:{node.lineno}"
        for name, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Tuple)
        and isinstance(node.value, ast.Tuple)
    ]
    assert packed == []


def test_a_list_is_not_multiplied_by_a_condition():
    found = [
        f"{name}:{node.lineno}"
        for name, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Mult)
        and any(isinstance(side, ast.Compare | ast.BoolOp) for side in (node.left, node.right))
        and any(isinstance(side, ast.List | ast.Tuple) for side in (node.left, node.right))
    ]
    assert found == []


def test_no_function_takes_a_namespace():
    users = [name for name in sources() if "Namespace" in (PROJECT / name).read_text()]
    # scoring/weights.py takes weights out of checkpoints that have one.
    assert users == ["running/command_line.py", "scoring/weights.py"]


# "pictures" is an option's name: the files that are drawn for people.
@pytest.mark.parametrize("word", ["picture", "crews?", "told"])
def test_old_words_are_gone(word):
    pattern = re.compile(rf"\b{word}\b", re.I)
    found = []
    for name in sources():
        for number, line in enumerate((PROJECT / name).read_text().splitlines(), 1):
            if pattern.search(line):
                found.append(f"{name}:{number}: {line.strip()}")
    assert found == []


def test_readme_is_a_page():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= README_WORDS
    assert [line for line in text.splitlines() if len(line) > README_COLUMNS] == []


def test_the_formatting_commit_is_named_for_git_blame():
    revisions = (PROJECT / ".git-blame-ignore-revs").read_text().split()
    assert any(re.fullmatch("[0-9a-f]{40}", word) for word in revisions)
