"""Progress bars are for people who watch: a log file has none."""

import ast

import pytest

from utils import PROJECT

BARS = ("tqdm", "trange")
FILES = [
    path
    for path in PROJECT.rglob("*.py")
    if not {".venv", "tests", "Results"} & set(path.relative_to(PROJECT).parts)
    and any(f"{bar}(" in path.read_text(encoding="utf-8") for bar in BARS)
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_a_bar_is_left_out_where_nobody_watches(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in BARS
    ]
    assert calls
    for call in calls:
        assert "disable" in {keyword.arg for keyword in call.keywords}, call.lineno
