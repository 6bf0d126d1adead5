"""The command draw_sag.py: what it draws again, and what it says of bad input."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from drawn import texts

import draw_sag

COMMAND = Path(draw_sag.__file__)


def draw(*options) -> int:
    """Run the command; return its exit status."""
    try:
        return draw_sag.main([str(option) for option in options])
    except SystemExit as end:
        return end.code


def error_of(capsys) -> str:
    """Return the only line on stderr."""
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    return line


def change_record(folder: Path, **fields) -> None:
    """Change fields of a sag.json; None removes one."""
    record = json.loads((folder / "sag.json").read_text(encoding="utf-8"))
    record |= fields
    kept = {name: value for name, value in record.items() if value is not None}
    (folder / "sag.json").write_text(json.dumps(kept), encoding="utf-8")


# ---------------------------------------------------------------- drawing


def test_a_result_is_drawn_again(copied):
    (copied / "SAG_final_3roots.png").unlink()
    assert draw(copied, "--formats", "png") == 0
    assert (copied / "SAG_final_3roots.png").is_file()


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_vector_files_are_drawn_on_request(copied, kind):
    assert not list(copied.glob(f"*.{kind}"))
    assert draw(copied, "--formats", kind) == 0
    ending = "_paper" if kind == "pdf" else ""  # PDFs are for print
    names = {f"{name}{ending}" for name in ("SAG_dag_3roots", "SAG_final_3roots")}
    names |= {f"comparison{ending}", f"curves{ending}"}
    assert {file.stem for file in copied.glob(f"*.{kind}")} == names


def test_a_dark_pdf_is_drawn_on_request(copied):
    assert draw(copied, "--style", "dark", "--formats", "pdf") == 0
    assert (copied / "SAG_final_3roots.pdf").is_file()


def test_options_of_the_graph_reach_it(copied):
    assert draw(copied, "--max-nodes", 4, "--formats", "svg") == 0
    written = texts(copied / "SAG_dag_3roots.svg")
    assert len([key for key in written if key.startswith("percent")]) == 4


def test_the_paper_style_is_drawn_beside_the_dark_one(copied):
    assert draw(copied, "--style", "paper", "--formats", "png,svg") == 0
    assert {f.suffix for f in copied.glob("SAG_final_3roots_paper.*")} == {".png", ".svg"}


def test_a_folder_of_results_gets_its_gallery(results, tmp_path, copied):
    (tmp_path / "summary.csv").write_bytes((results / "planted/summary.csv").read_bytes())
    assert draw(tmp_path, "--formats", "svg") == 0
    assert "scene.png" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_record_without_scores_and_curves_is_drawn(copied):
    change_record(copied, scores=None, curves=None)
    assert draw(copied, "--formats", "svg") == 0


def test_a_lost_image_is_taken_from_the_images_named(copied, results):
    (copied / "perturbation_original.png").unlink()
    assert draw(copied, "--images", results / "in", "--formats", "svg") == 0


# ---------------------------------------------------------------- one line for what cannot be used


@pytest.mark.parametrize(
    "options, words",
    [
        (["nowhere"], "nowhere"),
        (["{in}"], "no sag.json"),
        (["{result}", "--style", "pink"], "pink"),
        (["{result}", "--formats", "png,gif"], "gif"),
        (["{result}", "--max-nodes", "0"], "0"),
        (["{result}", "--width", "x"], "x"),
        (["{result}", "--hidden", "blue"], "blue"),
        (["{result}", "--wings"], "wings"),
        (["{result}", "--images", "/nowhere"], "/nowhere"),
        ([], "RESULT"),
    ],
)
def test_a_bad_option_is_named_in_one_line(options, words, planted, results, capsys):
    places = {"{result}": planted, "{in}": results / "in"}
    assert draw(*(places.get(option, option) for option in options)) == 2
    assert words in error_of(capsys)


def test_an_unreadable_image_is_named(copied, capsys):
    (copied / "perturbation_original.png").write_bytes(b"no image")
    assert draw(copied) == 2
    assert "perturbation_original.png" in error_of(capsys)


def test_an_image_that_is_gone_is_named(copied, capsys):
    (copied / "perturbation_original.png").unlink()
    change_record(copied, settings={"images": "/gone"})
    assert draw(copied) == 2
    assert "scene.png" in error_of(capsys)


def test_a_damaged_record_is_named(copied, capsys):
    (copied / "sag.json").write_text("{")
    assert draw(copied) == 2
    assert str(copied) in error_of(capsys)


# ---------------------------------------------------------------- answers at once


@pytest.mark.parametrize("module", ["torch", "matplotlib"])
@pytest.mark.parametrize(
    "options",
    [["--help"], ["--wings"], ["ask", "--help"], ["ask", "{result}", "--only", "6,10"]],
)
def test_no_slow_import_before_drawing(options, module, planted):
    code = (
        "import sys, draw_sag\n"
        "try: draw_sag.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"sys.exit({module!r} in sys.modules)"
    )
    options = [option.replace("{result}", str(planted)) for option in options]
    command = [sys.executable, "-c", code, *options]
    assert subprocess.run(command, cwd=COMMAND.parent, capture_output=True).returncode == 0
