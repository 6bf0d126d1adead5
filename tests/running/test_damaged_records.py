"""Records that cannot be read count as absent, so that their images are processed again."""

import pytest

from running.record_files import read_record


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}', "\x00"])
def test_damaged_records_count_as_absent(tmp_path, text):
    (tmp_path / "sag.json").write_text(text)
    assert read_record(tmp_path / "sag.json") is None


def test_a_record_that_is_not_there_is_absent(tmp_path):
    assert read_record(tmp_path / "sag.json") is None
