"""The program as a user runs it: planted networks, whose records are known and checked by independent code."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import main_generate_sag
from running import results as result_files
from running.check_record import FILES, problems
from scoring.networks import choose_device, load_network

HERE = Path(__file__).resolve().parent
PLANTED = f"{HERE}/planted.py"
TRUTH = {(5,), (6, 10), (1, 8, 14)}


def run(*options):
    """main() in this process -> its exit status."""
    try:
        return main_generate_sag.main([str(o) for o in options])
    except SystemExit as end:
        return end.code


@pytest.fixture
def images(tmp_path):
    for name in ("a.png", "birds/b.png", "birds/c d é.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (50, 40), "white").save(tmp_path / "in" / name)
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def planted(images, out, *options, network="network"):
    return run(
        "--images",
        images,
        "--results",
        out,
        "--model",
        f"{PLANTED}:{network}",
        "--category",
        1,
        "--grid",
        4,
        "--device",
        "cpu",
        *options,
    )


def record(folder):
    return json.loads((folder / "sag.json").read_text(encoding="utf-8"))


def roots_of(folder):
    return {tuple(r["patches"]) for r in record(folder)["roots"]}


def checked(out, images, network="network"):
    net = load_network(f"{PLANTED}:{network}", None, None, choose_device("cpu"))
    found = [
        problems(path, images / record(path.parent)["image"], net)
        for path in sorted(out.rglob("sag.json"))
    ]
    assert found and [line for wrong, _ in found for line in wrong] == []
    return found


# ---------------------------------------------------------------- what a run leaves


def test_a_run_leaves_every_file_and_true_records(images, out, capsys):
    assert planted(images, out, "--search", "exhaustive") == 0
    assert len(checked(out, images)) == 3
    for folder in (out / "a", out / "birds/b", out / "birds/c d é"):
        assert roots_of(folder) == TRUTH
        assert all((folder / name.format(n=3)).exists() for name in FILES)
        assert sorted(f.name for f in (folder / "roots").iterdir()) == [
            "1_5.png",
            "2_6-10.png",
            "3_1-8-14.png",
        ]
    rows = list(csv.DictReader(open(out / "summary.csv", encoding="utf-8")))
    assert [r["image"] for r in rows] == ["a.png", "birds/b.png", "birds/c d é.png"] and {
        r["roots"] for r in rows
    } == {"3"}
    assert Image.open(out / "a/dnf_gif.gif").n_frames == 3
    assert "P6 & P10" in (out / "a/dnf.txt").read_text()
    assert "exhaustive" in capsys.readouterr().err  # what was overridden is echoed


def test_beam_finds_the_planted_roots_too_and_the_root_picture_is_the_input(images, out):
    assert planted(images / "a.png", out, "--num-successors", 16, "--beam-width", 120) == 0
    checked(out, images)
    assert roots_of(out / "a") == TRUTH
    picture = np.asarray(Image.open(out / "a/roots/1_5.png"))  # patch 5 of 4 x 4: centre at 55/3
    tent = np.maximum(0, 1 - np.abs(np.arange(56) - 55 / 3) / (55 / 3))
    assert (
        picture.shape == (56, 56, 3)
        and np.abs(picture[..., 0] - 255 * np.outer(tent, tent)).max() <= 0.51
    )
    assert record(out / "a")["search"] == {
        "method": "beam",
        "complete": True,
        "stopped_by": "exhausted",
    }


@pytest.mark.parametrize(
    "network, reason",
    [("blind", "baseline_sufficient"), ("certain_of_nothing", "baseline_sufficient")],
)
def test_nothing_to_explain_is_a_record_that_says_why(images, out, network, reason):
    assert planted(images / "a.png", out, network=network) == 0
    checked(out, images, network)
    r = record(out / "a")
    assert (
        r["roots"] == r["diverse_roots"] == r["sag"]["nodes"] == []
        and r["dnf"] == ""
        and r["search"]["stopped_by"] == reason
    )
    assert (out / "a/SAG_final_0roots.png").exists() and "nothing to explain" in (
        out / "a/dnf.txt"
    ).read_text()


def test_a_single_logit_and_both_of_its_classes(images, out):
    assert (
        run(
            "--images",
            images / "a.png",
            "--results",
            out,
            "--model",
            f"{PLANTED}:one_logit",
            "--grid",
            4,
            "--num-categories",
            2,
            "--search",
            "exhaustive",
        )
        == 0
    )
    checked(out, images, "one_logit")
    assert roots_of(out / "a") == TRUTH and record(out / "a")["category"]["index"] == 1
    assert record(out / "a/category_0")["search"]["stopped_by"] == "baseline_sufficient"


def test_a_time_limit_keeps_what_is_found_and_marks_it(images, out):
    start = time.monotonic()  # all 560 sets would take 11 s
    assert (
        planted(images / "a.png", out, "--time-limit", 4, "--search", "exhaustive", network="slow")
        == 0
    )
    assert time.monotonic() - start < 10
    checked(out, images, "slow")
    assert roots_of(out / "a") == {(5,)}
    assert record(out / "a")["search"] == {
        "method": "exhaustive",
        "complete": False,
        "stopped_by": "time_limit",
    }


def test_a_record_cut_short_by_time_is_done_again(images, out, monkeypatch):
    assert planted(images / "a.png", out, "--time-limit", 50) == 0
    calls = spied(monkeypatch)
    for cut in (
        {"search": {"method": "beam", "complete": False, "stopped_by": "time_limit"}},
        {"sag": {**record(out / "a")["sag"], "stopped_by": "time_limit"}},
    ):
        (out / "a/sag.json").write_text(json.dumps({**record(out / "a"), **cut}))
        assert planted(images / "a.png", out, "--time-limit", 50) == 0
        assert planted(images / "a.png", out, "--time-limit", 50) == 0
    assert len(calls) == 2


@pytest.mark.parametrize("grid, patches", [(1, [(0,)]), (28, None)])
def test_the_smallest_and_the_finest_grid(images, out, grid, patches):
    assert (
        planted(images / "a.png", out, "--grid", grid, "--max-root-size", 2, "--max-num-roots", 1)
        == 0
    )
    checked(out, images)
    assert patches is None or [tuple(r["patches"]) for r in record(out / "a")["roots"]] == patches
    assert len(record(out / "a")["saliency"]) == grid**2


def test_two_fresh_runs_agree_to_the_byte_but_for_times(images, out, tmp_path):
    twice = []
    for folder in (out, tmp_path / "again"):
        assert planted(images, folder) == 0
        r = record(folder / "birds/b")
        twice.append(
            {k: v for k, v in r.items() if k not in ("seconds", "settings")}
            | {"settings": {**r["settings"], "results": ""}}
        )
    assert twice[0] == twice[1]


def test_the_record_check_finds_every_kind_of_lie(images, out):
    assert planted(images / "a.png", out, "--search", "exhaustive") == 0
    network = load_network(f"{PLANTED}:network", None, None, choose_device("cpu"))
    truth = (out / "a/sag.json").read_text()

    def lie(change):
        r = json.loads(truth)
        change(r)
        (out / "a/sag.json").write_text(json.dumps(r))
        return problems(out / "a/sag.json", images / "a.png", network)[0]

    lies = [
        lambda r: r.update(probability=0.94),
        lambda r: r["baseline"].update(probability=0.3),
        lambda r: r["roots"][0].update(probability=0.951),
        lambda r: r["roots"][1].update(patches=[6, 9, 10]),
        lambda r: r["roots"][1].update(patches=[6]),
        lambda r: r["roots"][1].update(minimal="single"),
        lambda r: r["sag"]["edges"].pop(),
        lambda r: r["sag"]["nodes"].append(
            {"patches": [0], "probability": 0.02, "relative": 0.02 / 0.95}
        ),
        lambda r: r["sag"]["nodes"][2].update(relative=0.5),
        lambda r: r.update(dnf="P5"),
        lambda r: r["search"].update(stopped_by="baseline_sufficient"),
        lambda r: r["search"].update(complete=False),
        lambda r: r["diverse_roots"].pop(),
        lambda r: r.update(image_sha256="0"),
        lambda r: r["category"].update(name="two"),
        lambda r: r["scores"]["probabilities"].__setitem__(0, 0.5),
        lambda r: r["scores"]["probabilities"].pop(),
        lambda r: r["curves"]["igos"].update(insertion_area=0.1),
        lambda r: r["curves"]["roots"]["deletion"].__setitem__(0, 0.5),
    ]
    assert lie(lambda r: None) == [] and all(lie(change) for change in lies)


def test_edited_constants_are_checked_like_options(images, out, monkeypatch, capsys):
    for name, value in (("GRID", 40), ("PROB_THRESH", 90), ("SEARCH", "Beam"), ("TIME_LIMIT", -1)):
        with monkeypatch.context() as edited:
            edited.setattr(main_generate_sag, name, value)
            assert planted(images, out) == 2
        assert str(value) in one_line(capsys)
    monkeypatch.setattr(main_generate_sag, "NUM_ROOTS_SAG", 1)
    assert planted(images / "a.png", out) == 0 and len(record(out / "a")["diverse_roots"]) == 1


@pytest.mark.filterwarnings("ignore:Glyph")  # no CJK in matplotlib's font
def test_class_names_with_quotes_markup_and_foreign_letters(images, out, tmp_path):
    names = ["zero", 'Oren\'s "tern" <b>&amp; ñ 鳥 $x_1$ \\N', "two"]
    (tmp_path / "names.txt").write_text("\n".join(names), encoding="utf-8")
    assert (
        planted(
            images / "a.png",
            out,
            "--labels",
            tmp_path / "names.txt",
            "--search",
            "exhaustive",
            "--exhaustive-size",
            1,
        )
        == 0
    )
    assert record(out / "a")["category"]["name"] == names[1] and names[1] in (
        out / "a/dnf.txt"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["plain", "12:30 <&> é", b"latin-\xe9".decode("utf-8", "surrogateescape")]
)
def test_odd_file_names_still_get_pictures_in_their_graph(images, out, name):
    try:
        (images / "a.png").rename(images / f"{name}.png")
    except OSError:
        pytest.skip("this disk takes no such name")
    assert planted(images, out, "--search", "exhaustive") == 0
    checked_names = [
        r["image"] for r in csv.DictReader(open(out / "summary.csv", encoding="utf-8"))
    ]
    folder = out / name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    assert len(checked_names) == 3 and (folder / "sag.json").exists()
    graph = np.asarray(Image.open(folder / "SAG_dag_3roots.png").convert("RGB")).astype(int)
    soft_white = (graph.max(2) - graph.min(2) < 12) & (graph.max(2) > 60) & (graph.max(2) < 250)
    assert soft_white.sum() > 20000  # the tents of a white image, shown


# ---------------------------------------------------------------- options

CASES = {  # option -> (value, where its value must arrive, what must arrive)
    "--category": (2, "explain", lambda a, k: a[2] == 2),
    "--num-categories": (2, "explain", lambda a, k: a[3].num_categories == 2),
    "--seed": (7, "igos_mask", lambda a, k: k["seed"] == 7),
    "--grid": (5, "igos_mask", lambda a, k: a[4] == (5, 5)),
    "--baseline": ("mean", "make_baseline", lambda a, k: a[1] == "mean"),
    "--batch-size": (3, "MaskScorer", lambda a, k: a[5] == 3),
    "--time-limit": (50, "igos_mask", lambda a, k: k["deadline"] < time.monotonic() + 50),
    "--prob-thresh": (0.7, "beam_search", lambda a, k: a[2] == 0.7),
    "--beam-width": (4, "beam_search", lambda a, k: a[3] == 4),
    "--num-successors": (6, "beam_search", lambda a, k: a[4] == 6),
    "--max-num-roots": (2, "beam_search", lambda a, k: a[5] == 2),
    "--max-root-size": (3, "beam_search", lambda a, k: a[6] == 3),
    "--overlap-thresh": (2, "diverse_subset", lambda a, k: a[2] == 2),
    "--node-prob-thresh": (0.6, "build_sag", lambda a, k: a[3] == 0.6),
    "--num-roots-sag": (1, "build_sag", lambda a, k: len(a[1]) == 1),
    "--comb-top": (9, "combinatorial_search", lambda a, k: a[3] == 9),
    "--comb-size": (2, "combinatorial_search", lambda a, k: a[4] == 2),
    "--exhaustive-size": (1, "exhaustive_search", lambda a, k: a[3] == 1),
    "--device": ("cpu", "choose_device", lambda a, k: a[0] == "cpu"),
    "--weights": ("w.pth", "load_network", lambda a, k: str(a[1]).endswith("w.pth")),
    "--model": (None, "load_network", lambda a, k: a[0].endswith(":network")),
    "--labels": ("l.txt", "load_network", lambda a, k: str(a[2]).endswith("l.txt")),
    "--precision": ("bfloat16", "Passes", lambda a, k: a[1] == "bfloat16"),
    "--search": ("combinatorial", "combinatorial_search", lambda a, k: len(a) == 5),
    "--images": (None, "find_images", lambda a, k: a[0].name == "a.png"),
    "--results": (None, "make_writable", lambda a, k: a[0].name == "out"),
    "--regions": ("slic", "Segmentation", lambda a, k: a[0] == "slic"),
    "--segments": (9, "Segmentation", lambda a, k: a[2] == 9),
    "--region-names": ("l.txt", "Segmentation", lambda a, k: a[1].name == "l.txt"),
    "--segmentation-weights": ("w.pth", "Segmentation", lambda a, k: a[3].name == "w.pth"),
    "--ray": ("127.0.0.1:1", "on_ray", lambda a, k: a[1].ray == "127.0.0.1:1"),
    "--overwrite": ("", "explain", lambda a, k: a[3].overwrite),
    "--open": ("", "open_gallery", lambda a, k: a[0].name == "index.html"),
}


def test_every_option_has_a_case():
    options = {
        o for action in main_generate_sag.parser()._actions for o in action.option_strings
    } - {"-h", "--help"}
    assert options == set(CASES)


@pytest.mark.parametrize("option", CASES)
def test_every_option_reaches_its_parameter(option, images, out, tmp_path, monkeypatch):
    value, target, arrived = CASES[option]
    torch.save({}, tmp_path / "w.pth")
    (tmp_path / "l.txt").write_text("a\nb\nc\n")
    original, seen = getattr(main_generate_sag, target), []

    def spy(*args, **kwargs):
        seen.append(arrived(args, kwargs))
        return original(*args, **kwargs)

    monkeypatch.setattr(main_generate_sag, target, spy)
    extra = (
        []
        if value is None
        else [option]
        if value == ""
        else [option, tmp_path / value if str(value).endswith((".pth", ".txt")) else value]
    )
    base = ["--images", images / "a.png", "--results", out, "--model", f"{PLANTED}:network"] + [
        "--grid",
        4,
    ] * (option != "--grid")
    base += ["--category", 1] if option not in ("--category", "--num-categories") else []
    base += (
        ["--search", "combinatorial", "--comb-top", 5, "--comb-size", 1]
        if option.startswith("--comb")
        else []
    )
    base += ["--search", "exhaustive"] if option == "--exhaustive-size" else []
    base += (
        ["--regions", "slic"]
        if option in ("--segments", "--region-names", "--segmentation-weights")
        else []
    )
    run(*base, *extra)
    assert seen and any(seen)


# ---------------------------------------------------------------- bad input: one line that names the value


def one_line(capsys):
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    "options, words",
    [
        (["--grid", 0], "0"),
        (["--grid", 29], "29"),
        (["--grid", "x"], "x"),
        (["--prob-thresh", 0], "0"),
        (["--prob-thresh", 1.5], "1.5"),
        (["--prob-thresh", "nan"], "nan"),
        (["--node-prob-thresh", -1], "-1"),
        (["--beam-width", 0], "0"),
        (["--batch-size", 0], "0"),
        (["--time-limit", 0], "0"),
        (["--baseline", "pink"], "pink"),
        (["--search", "luck"], "luck"),
        (["--category", 3], "3"),
        (["--category", -1], "-1"),
        (["--num-categories", 4], "4"),
        (["--wings", 2], "wings"),
        (["--search", "exhaustive", "--exhaustive-size", 9], "9"),
        (["--search", "combinatorial", "--comb-size", 21], "21"),
        (["--search", "combinatorial", "--comb-top", 49, "--comb-size", 8], "450,978,066"),
        (["--category", 1, "--num-categories", 2], "num-categories"),
        (["--model", "resnet51"], "resnet50"),
        (["--weights", "no.pth"], "no.pth"),
        (["--labels", "no.txt"], "no.txt"),
        (["--overlap-thresh", -1], "-1"),
    ],
)
def test_bad_options(options, words, images, out, capsys):
    assert run("--images", images, "--results", out, "--model", f"{PLANTED}:network", *options) == 2
    assert words in one_line(capsys)


def test_bad_places(images, out, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for options, words in (
        ((tmp_path / "nowhere", out), "nowhere"),
        ((tmp_path / "empty", out), "empty"),
        ((images, tmp_path / "file/out"), "file/out"),
        ((images, "/proc/nothing"), "/proc/nothing"),
    ):
        assert planted(*options) == 2
        assert words in one_line(capsys)
    assert planted(images, out, network="broken") == 2 and "str" in one_line(capsys)
    assert planted(images, images) == 2 and "images themselves" in one_line(capsys)
    (tmp_path / "four.txt").write_text("a\nb\nc\nd\n")
    assert planted(
        images, out, "--labels", tmp_path / "four.txt"
    ) == 2 and "4 names, but the model has 3 classes" in one_line(capsys)
    assert planted(images, out, "--seed", 10**30) == 2 and str(10**30) in one_line(capsys)
    assert run("--images", "x" * 5000) == 2 and one_line(capsys)
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "w.pth")
    assert (
        run(
            "--images",
            images,
            "--results",
            out,
            "--model",
            "resnet18",
            "--weights",
            tmp_path / "w.pth",
        )
        == 2
    )
    assert "conv1.weight is (2,)" in one_line(capsys) and not list(out.rglob("*.*"))


def test_an_image_that_fails_is_named_and_the_others_are_done(images, out, capsys):
    (images / "b.jpg").write_bytes(b"no image")
    (images / "cut.png").write_bytes((images / "a.png").read_bytes()[:60])
    assert planted(images, out) == 1
    err = capsys.readouterr().err
    assert (
        "failed: b.jpg: cannot read it: not an image" in err
        and "failed: cut.png" in err
        and "Traceback" not in err
    )
    assert len(checked(out, images)) == 3 and not (out / "b").exists()
    rows = {
        r["image"]: r["error"] for r in csv.DictReader(open(out / "summary.csv", encoding="utf-8"))
    }
    assert rows["b.jpg"] and not rows["a.png"] and len(rows) == 5


def test_a_network_that_answers_nan_fails_the_image(images, out, capsys):
    assert planted(images / "a.png", out, network="answers_nan") == 1
    assert "NaN" in capsys.readouterr().err and not list(out.rglob("sag.json"))


def test_two_images_with_one_name_get_two_folders(images, out):
    Image.new("RGB", (8, 8), "white").save(images / "a.jpg")
    assert planted(images, out) == 0
    assert {record(p.parent)["image"]: p.parent.name for p in out.glob("*/sag.json")} == {
        "a.jpg": "a",
        "a.png": "a.png",
    }


@pytest.mark.parametrize("where, what", [("draw_all", "a.png"), ("write_atomically", "sag.json")])
def test_a_full_disk_leaves_no_half_record(images, out, capsys, monkeypatch, where, what):
    module, _, name = f"result_files.{where}".rpartition(".")
    original = result_files.write_atomically

    def full(path, *_):
        if path.name == ".writable":
            return original(path, "")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(
        result_files, name, full if name == "write_atomically" else lambda *_: full(Path("a"))
    )
    assert planted(images / "a.png", out) == 1
    err = capsys.readouterr().err
    assert (
        "failed: a.png: [Errno 28] No space left on device" in err
        and "Traceback" not in err
        and not (out / "a/sag.json").exists()
    )
    monkeypatch.undo()
    assert planted(images / "a.png", out) == 0 and checked(out, images)


# ---------------------------------------------------------------- resume


def spied(monkeypatch):
    calls, original = [], main_generate_sag.explain
    monkeypatch.setattr(main_generate_sag, "explain", lambda *a: calls.append(1) or original(*a))
    return calls


def test_done_images_are_skipped_until_something_that_matters_changes(
    images, out, monkeypatch, tmp_path
):
    assert planted(images, out) == 0
    before = (out / "a/sag.json").read_bytes(), (out / "summary.csv").read_bytes()
    calls = spied(monkeypatch)
    assert planted(images, out, "--batch-size", 5) == 0 and not calls  # changes no result
    assert ((out / "a/sag.json").read_bytes(), (out / "summary.csv").read_bytes()) == before
    assert planted(images, out, "--overwrite") == 0 and len(calls) == 3
    assert planted(images, out, "--num-roots-sag", 2) == 0 and len(calls) == 6
    assert (
        not list(out.rglob("SAG_*3roots*")) and (out / "a/SAG_2roots.dot").exists()
    )  # nothing stale is left
    Image.new("RGB", (50, 40), (255, 255, 254)).save(images / "a.png")
    assert planted(images, out, "--num-roots-sag", 2) == 0 and len(calls) == 7
    text = (out / "birds/b/sag.json").read_text()
    for damage in (
        text[: len(text) // 2],
        text.replace('"format": 1', '"format": 99'),
        '{"format": 1, "settings": null}',
    ):
        (out / "birds/b/sag.json").write_text(damage)
        calls.clear()
        assert planted(images, out, "--num-roots-sag", 2) == 0 and len(calls) == 1
    checked(out, images)
    for names, times in (("a\nb\nc\n", 3), ("a\nb\nc\n", 0), ("a\nB\nc\n", 3)):
        (tmp_path / "names.txt").write_text(names)
        calls.clear()
        assert (
            planted(images, out, "--num-roots-sag", 2, "--labels", tmp_path / "names.txt") == 0
            and len(calls) == times
        )


def test_a_run_on_one_image_keeps_the_summary_of_the_others(images, out):
    assert planted(images, out) == 0
    whole = (out / "summary.csv").read_text()
    assert planted(images / "a.png", out) == 0 and (out / "summary.csv").read_text() == whole


def test_a_kill_in_the_middle_leaves_no_broken_record(images, out):
    for i in range(4):
        shutil.copy(images / "a.png", images / f"more{i}.png")
    command = [
        sys.executable,
        str(HERE.parent / "main_generate_sag.py"),
        "--images",
        str(images),
        "--results",
        str(out),
        "--model",
        f"{PLANTED}:network",
        "--category",
        "1",
        "--grid",
        "4",
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=HERE.parent)
    while not list(out.rglob("sag.json")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {p: p.read_bytes() for p in out.rglob("sag.json")}
    assert 0 < len(finished) < 7
    checked(out, images)
    assert planted(images, out) == 0
    assert len(checked(out, images)) == 7 and all(
        p.read_bytes() == content for p, content in finished.items()
    )
    assert not [f for f in out.rglob(".*")]


def test_ctrl_c_ends_with_what_is_finished_intact(images, out, monkeypatch, capsys):
    original, done = main_generate_sag.explain, []

    def interrupt(*arguments):
        if done:
            raise KeyboardInterrupt
        done.append(1)
        return original(*arguments)

    monkeypatch.setattr(main_generate_sag, "explain", interrupt)
    assert planted(images, out) == 130
    assert "interrupted" in capsys.readouterr().err and len(checked(out, images)) == 1
    assert len(list(csv.DictReader(open(out / "summary.csv", encoding="utf-8")))) == 1


# ---------------------------------------------------------------- the bundled model, and real networks where they are at hand


def test_the_bundled_model_on_a_bundled_scene(out):
    image = sorted((HERE.parent / "Images").glob("*.png"))[0]
    assert run("--images", image, "--results", out, "--device", "cpu") == 0
    network = load_network("birds", None, None, choose_device("cpu"))
    wrong, claims = problems(out / image.stem / "sag.json", image, network)
    assert wrong == [] and claims > 50 and record(out / image.stem)["roots"]


def test_real_resnet18_on_three_photos(out):
    shared = Path(os.environ.get("SAG_SHARED", HERE.parent.parent / "shared"))
    weights = shared / "weights/resnet18.pth"
    photos = [
        photo
        for name in ("daisy", "peacock", "zebra")
        for photo in (shared / "photos").glob(f"{name}_*.png")
    ]
    if not weights.is_file() or len(photos) < 3:
        pytest.skip(
            f"no weights/resnet18.pth and photos/ in {shared.name}/ beside the project (or in $SAG_SHARED)"
        )
    network = load_network("resnet18", weights, None, choose_device("cpu"))
    for photo in photos:
        assert (
            run(
                "--images",
                photo,
                "--results",
                out,
                "--model",
                "resnet18",
                "--weights",
                weights,
                "--device",
                "cpu",
                "--max-num-roots",
                4,
                "--time-limit",
                60,
            )
            == 0
        )
        wrong, claims = problems(out / photo.stem / "sag.json", photo, network)
        assert wrong == [] and claims > 20 and record(out / photo.stem)["roots"]
