"""Made-up files of every kind that is read: each is understood, or refused in one line.

    FUZZ_EXAMPLES=100000 .venv/bin/python -m pytest tests/reliability/test_fuzz.py

Without hypothesis these tests are skipped. What they find becomes a row in a table of this folder.
"""

import json
import os
from pathlib import Path, PurePosixPath

import pytest
from drawn import make_sag

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from companions.deliberative.record import decode_insecurities  # noqa: E402
from companions.score_deviation.class_figures import file_stems  # noqa: E402
from companions.score_deviation.record import decode_deviation  # noqa: E402
from companions.score_deviation.scene_sets import manifest  # noqa: E402
from drawing.record import decode_sag, encode_sag, scores_of  # noqa: E402
from drawing.text import text_width, visible, wrapped  # noqa: E402
from experiments.findings import decode_measurement  # noqa: E402
from running.ask import parse_patches  # noqa: E402
from running.result_folders import NamedImage, result_folders  # noqa: E402
from running.summary import SUMMARY, write_summary  # noqa: E402
from scoring.labels import read_labels  # noqa: E402
from scoring.regions import load_label_map, read_names  # noqa: E402
from scoring.weights import read_weights  # noqa: E402
from utils import UserError, printable  # noqa: E402

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "25"))
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(["zz", 10**400, -1, [], {}]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
RECORD = json.loads(encode_sag(make_sag()))
FILE_NAMES = st.binary(min_size=1, max_size=255).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)


def paths_in(value, at=()):
    """Yield the path of every value inside a JSON value."""
    yield at
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths_in(value[key], (*at, key))


@st.composite
def damaged_records(draw):
    """A record with one of its values replaced or removed, as bytes."""
    record = json.loads(json.dumps(RECORD))
    *above, last = draw(st.sampled_from([path for path in paths_in(record) if path]))
    place = record
    for key in above:
        place = place[key]
    if draw(st.booleans()):
        place[last] = draw(VALUES)
    else:
        del place[last]
    return json.dumps(record).encode()


def is_refused(function, *arguments):
    """Return whether a function refuses its arguments in one line; anything else is an error."""
    try:
        function(*arguments)
    except (UserError, ValueError, OSError) as error:
        assert len(str(error).splitlines()) <= 1
        return True
    return False


@fuzzed
@given(damaged_records())
def test_a_changed_record_is_refused_or_stays_a_record(content):
    if not is_refused(decode_sag, content):
        sag = decode_sag(content)
        assert decode_sag(encode_sag(sag)) == sag
        scores_of(sag)


@fuzzed
@given(st.binary() | VALUES.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_record_is_refused(content):
    assert is_refused(decode_sag, content)
    assert is_refused(decode_deviation, content)
    assert is_refused(decode_insecurities, content)
    assert is_refused(decode_measurement, content, "beam3")


@fuzzed
@given(st.binary())
def test_text_files_are_read_or_refused(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    is_refused(read_labels, tmp_path / "a.csv", 2)
    is_refused(read_names, tmp_path / "a.csv")
    is_refused(manifest, tmp_path / "a.csv")


@fuzzed
@given(st.text(max_size=200))
def test_manifests_name_images_below_the_results(tmp_path, row):
    (tmp_path / "a.csv").write_text(f"image\n{row}\n", encoding="utf-8", errors="replace")
    if not is_refused(manifest, tmp_path / "a.csv"):
        for item in manifest(tmp_path / "a.csv"):
            (folder,) = result_folders([NamedImage(item.image, item.name)], Path("out"))
            assert folder.parts[0] == "out" and ".." not in folder.parts and len(folder.parts) > 1


@fuzzed
@given(st.binary(max_size=300) | st.just(b"\x89PNG\r\n\x1a\n"))
def test_binary_files_are_read_or_refused(tmp_path, content):
    for name in ("a.pth", "a.safetensors", "a.png"):
        (tmp_path / name).write_bytes(content)
    assert is_refused(read_weights, tmp_path / "a.pth")
    assert is_refused(read_weights, tmp_path / "a.safetensors")
    assert is_refused(load_label_map, tmp_path / "a.png")


@fuzzed
@given(st.binary())
def test_a_summary_is_mended_or_left_as_it_is(tmp_path, rows):
    file = tmp_path / "summary.csv"
    file.write_bytes(",".join(SUMMARY).encode() + b"\n" + rows)
    write_summary(tmp_path, [])
    mended = file.read_bytes()
    write_summary(tmp_path, [])
    assert file.read_bytes() == mended


@fuzzed
@given(st.lists(FILE_NAMES, min_size=1, max_size=6, unique=True))
def test_images_of_any_names_have_folders_of_their_own(names):
    paths = [PurePosixPath(os.fsdecode(name)) for name in names]
    images = [NamedImage(Path("nowhere") / path, printable(path)) for path in paths]
    folders = result_folders(images, Path("out"))
    assert len(set(folders)) == len(folders)
    assert all(folder.parent == Path("out") for folder in folders)


@fuzzed
@given(st.text(max_size=300))
def test_any_text_can_stand_in_a_figure(text):
    shown = visible(text)
    assert len(shown.splitlines()) <= 1
    assert all(len(line) == 1 or text_width(line, 10) <= 80 for line in wrapped(shown, 10, 80))


@fuzzed
@given(st.text(max_size=30))
def test_any_question_is_answered_or_refused(text):
    is_refused(parse_patches, text, make_sag())


@fuzzed
@given(st.lists(st.text(max_size=300), max_size=5, unique=True))
def test_any_classes_have_files_of_their_own(names):
    stems = file_stems(names)
    assert len({stem.lower() for stem in stems.values()}) == len(names)
