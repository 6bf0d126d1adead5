"""Vocabularies and splits in the published formats: written, read, and damaged."""

import json

import numpy as np
import pytest

from companions.concepts.published_files import (
    UNK,
    Vocabulary,
    read_split,
    read_vocabulary,
    write_split,
    write_vocabulary,
)
from utils import UserError

WORDS = ["<BOS>", "<EOS>", "<UNK>", "jay", "façade"]
PAIRS = [("COCO_val2014_000000353409", "8"), ("a", "12")]


@pytest.fixture
def folder(tmp_path):
    """A folder with files as numpy.save() and json.dump() write them."""
    np.save(tmp_path / "int2word.npy", WORDS)
    numbers = {word: number for number, word in enumerate(WORDS)}
    (tmp_path / "word2int.json").write_text(json.dumps(numbers))
    np.save(tmp_path / "trn_names.npy", PAIRS)
    return tmp_path


def test_a_vocabulary_is_read(folder):
    vocabulary = read_vocabulary(folder)
    assert vocabulary.words == WORDS
    assert vocabulary.number("jay") == 3
    assert vocabulary.number("kite") == UNK


def test_files_are_written_back_byte_for_byte(folder, tmp_path):
    write_vocabulary(tmp_path / "new", read_vocabulary(folder))
    write_split(tmp_path / "new/trn_names.npy", read_split(folder / "trn_names.npy"))
    for name in ("int2word.npy", "word2int.json", "trn_names.npy"):
        assert (tmp_path / "new" / name).read_bytes() == (folder / name).read_bytes()


def test_a_split_is_read(folder):
    assert read_split(folder / "trn_names.npy") == PAIRS


def test_a_split_of_python_2_is_text_too(tmp_path):
    np.save(tmp_path / "names.npy", np.array([[b"a", b"1"]]))
    assert read_split(tmp_path / "names.npy") == [("a", "1")]


def test_an_empty_split_is_read_again(tmp_path):
    write_split(tmp_path / "names.npy", [])
    assert read_split(tmp_path / "names.npy") == []


def test_an_unknown_word_is_named_with_its_place():
    with pytest.raises(UserError, match=r"^a\.json: region 1: 'kite' is none of the vocab"):
        Vocabulary(WORDS).require("kite", source="a.json: region 1")


@pytest.mark.parametrize(
    "array, problem",
    [
        (np.array([["a", "1"]], dtype=object), "an array of objects"),
        (np.arange(4).reshape(2, 2), "an array of int64"),
        (np.array(["a", "b"]), r"shape \(2,\)"),
        (np.array([["a", "b", "c"]]), "rows of 3"),
    ],
)
def test_a_wrong_split_is_refused_in_one_line(tmp_path, array, problem):
    np.save(tmp_path / "names.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=problem) as error:
        read_split(tmp_path / "names.npy")
    assert "names.npy: " in str(error.value)


@pytest.mark.parametrize("cut, problem", [(0, "not a .npy"), (40, "damaged"), (150, "damaged")])
def test_a_cut_split_is_refused_in_one_line(folder, cut, problem):
    path = folder / "trn_names.npy"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=problem):
        read_split(path)


@pytest.mark.parametrize(
    "text, problem",
    [
        ('{"jay": 1', "line 1, column"),
        ("[]", "not an object"),
        ('{"jay": "3"}', "word 'jay': '3' is no whole number"),
        ('{"jay": 3}', "1 words, and int2word.npy has 5"),
        (json.dumps(dict(zip(WORDS, (0, 1, 2, 4, 3)))), "word 'jay' is 4; in int2word.npy it is 3"),
    ],
)
def test_a_wrong_word2int_is_named_with_the_word(folder, text, problem):
    (folder / "word2int.json").write_text(text)
    with pytest.raises(UserError, match=problem) as error:
        read_vocabulary(folder)
    assert "word2int.json: " in str(error.value)


def test_a_word_that_stands_twice_is_named(folder):
    np.save(folder / "int2word.npy", [*WORDS[:4], "jay"])
    with pytest.raises(UserError, match="word 'jay' stands in it twice"):
        read_vocabulary(folder)
