"""SA3's and ASG2Caption's files of words and splits, read and written without unpickling anything.

    vocabulary = read_vocabulary(Path("annotation"))       # int2word.npy and word2int.json
    vocabulary.words[3], vocabulary.numbers["jay"]         # "jay", 3
    pairs = read_split(Path("public_split/trn_names.npy"))  # [("a", "1"), ("a", "2"), ..]
    write_split(Path("public_split/val_names.npy"), pairs)

int2word.npy is a list of words, word2int.json their numbers. Words 0, 1 and 2 begin a sentence, end
it, and stand for what is unknown. A split names a region of <image>.json per row. Its sibling for
global features (the same file name in another folder) names an image per row.

The published programs read these with numpy.load() and json.load(). numpy.save() of lists of text
gives arrays of text, which need no pickle; arrays of objects do, and are refused.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from companions.concepts.files import read_json
from scoring.text_files import why_unreadable
from utils import UserError, one_line, read_bytes, write_atomically

INT2WORD = "int2word.npy"
WORD2INT = "word2int.json"
BOS = 0  # begins a sentence
EOS = 1  # ends it
UNK = 2  # stands for a word that the vocabulary lacks
NPY = b"\x93NUMPY"  # how such a file begins

Pair = tuple[str, str]


@dataclass(frozen=True)
class Vocabulary:
    """Words and their numbers.

    Attributes:
        words: word n at place n, each once.
    """

    words: list[str]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each word, in the order of the words."""
        return {word: number for number, word in enumerate(self.words)}

    def number(self, word: str) -> int:
        """Return the number of a word; UNK where it is none of the vocabulary."""
        return self.numbers.get(word, UNK)

    def require(self, word: str, *, source: str) -> int:
        """Return the number of a word.

        Args:
            word: to look up.
            source: where it stands, for the message: a file and a field.

        Raises:
            UserError: the vocabulary lacks it.
        """
        if word not in self.numbers:
            raise UserError(f"{source}: {word!r} is none of the vocabulary's {len(self.words)}")
        return self.numbers[word]


def read_vocabulary(folder: Path) -> Vocabulary:
    """Return the vocabulary of a folder with int2word.npy and word2int.json.

    Raises:
        UserError: a file is missing or damaged, or the two disagree; the line names file and word.
    """
    words = read_text_array(folder / INT2WORD, dimensions=1).tolist()
    numbers = read_word_numbers(folder / WORD2INT)
    vocabulary = Vocabulary(words)
    if len(vocabulary.numbers) < len(words):
        twice = next(word for n, word in enumerate(words) if vocabulary.numbers[word] != n)
        raise UserError(f"{folder / INT2WORD}: word {twice!r} stands in it twice")
    if len(numbers) != len(words):
        raise UserError(
            f"{folder / WORD2INT}: {len(numbers)} words, and {INT2WORD} has {len(words)}"
        )
    for word, number in numbers.items():
        if vocabulary.numbers.get(word) != number:
            expected = vocabulary.numbers.get(word, "missing")
            raise UserError(
                f"{folder / WORD2INT}: word {word!r} is {number}; in {INT2WORD} it is {expected}"
            )
    return vocabulary


def read_word_numbers(path: Path) -> dict[str, int]:
    """Return the numbers of words from word2int.json, in the file's order.

    Raises:
        UserError: the file cannot be read, or a number is none.
    """
    try:
        numbers = read_json(path)
    except ValueError as error:
        raise UserError(one_line(error)) from None
    if not isinstance(numbers, dict):
        raise UserError(f"{path}: not an object of words and their numbers")
    for word, number in numbers.items():
        if type(number) is not int:
            raise UserError(f"{path}: word {word!r}: {number!r} is no whole number")
    return numbers


def write_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    """Write int2word.npy and word2int.json, the latter as json.dump() lays it out."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text_array(folder / INT2WORD, vocabulary.words)
    write_atomically(folder / WORD2INT, json.dumps(vocabulary.numbers))


def read_split(path: Path) -> list[Pair]:
    """Return the (image, region) pairs of a split, such as val_sub_names.npy.

    Raises:
        UserError: the file cannot be read, or its rows are no pairs.
    """
    rows = read_text_array(path, dimensions=2)
    if rows.shape[1] != 2:
        raise UserError(f"{path}: rows of {rows.shape[1]}, not pairs of image and region")
    return [(image, region) for image, region in rows.tolist()]


def write_split(path: Path, pairs: Sequence[Pair]) -> None:
    """Write (image, region) pairs as a split; its folder is made."""
    write_text_array(path, np.array(pairs, dtype=str).reshape(-1, 2))


def read_text_array(path: Path, *, dimensions: int) -> np.ndarray:
    """Return an array of text from a .npy file; bytes, as Python 2 wrote them, are UTF-8.

    Args:
        path: the file.
        dimensions: that the array must have.

    Returns:
        Array of dtype str.

    Raises:
        UserError: the file cannot be read, holds objects or numbers, or is of another shape.
    """
    try:
        content = read_bytes(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {why_unreadable(error)}") from None
    if not content.startswith(NPY):
        raise UserError(f"{path}: not a .npy file")
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # a damaged header can raise nearly anything
        if "Object arrays" in str(error):
            raise UserError(
                f"{path}: an array of objects, which could run code when it is read; "
                "save it again with numpy.array(names, dtype=str)"
            ) from None
        raise UserError(f"{path}: damaged: the array cannot be read") from None
    if array.dtype.kind not in "US":
        raise UserError(f"{path}: an array of {array.dtype}, not of text")
    if array.ndim != dimensions:
        raise UserError(f"{path}: an array of shape {array.shape}; {dimensions} dimensions wanted")
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            raise UserError(f"{path}: not UTF-8 text") from None
    return array


def write_text_array(path: Path, texts: Sequence[str] | np.ndarray) -> None:
    """Write texts as a .npy file, atomically; its folder is made."""
    file = io.BytesIO()
    np.save(file, np.asarray(texts, dtype=str), allow_pickle=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, file.getvalue())
