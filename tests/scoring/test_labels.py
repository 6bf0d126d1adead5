"""Names of classes: read from files, and classes found by name or by index."""

import pytest

from scoring.labels import category_index, class_index, plain_name, read_labels
from utils import UserError

NAMES = ['a "quoted" name', "<script>", "señor Ã 鳥", "d"]
BIRDS = ["Blue_Jay", "tern", "great auk, Alca impennis", "rook", "rook, castle", "Tern egg"]
DIGITS = ["7", "0", "3", "1"]  # names that look like indices


@pytest.fixture
def names_file(tmp_path):
    """A file with four names."""
    (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    return tmp_path / "names.txt"


# ---------------------------------------------------------------- reading


def test_names_are_read_as_they_are(names_file):
    assert read_labels(names_file, 4) == NAMES


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    (tmp_path / "names.txt").write_text("a\nb\n", encoding="utf-8-sig")
    assert read_labels(tmp_path / "names.txt", 2) == ["a", "b"]


def test_spaces_around_a_name_are_dropped(tmp_path):
    (tmp_path / "names.txt").write_bytes(b" a \r\nb\t\n")
    assert read_labels(tmp_path / "names.txt", 2) == ["a", "b"]


def test_another_number_of_names_is_refused(names_file):
    with pytest.raises(UserError, match="4 names.* 5 classes"):
        read_labels(names_file, 5)


def test_names_that_are_not_utf8_are_refused(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xfd\xe9\n")
    with pytest.raises(UserError, match="latin.txt: not UTF-8"):
        read_labels(tmp_path / "latin.txt", 1)


def test_a_missing_file_of_names_is_named(tmp_path):
    with pytest.raises(UserError, match="absent.txt"):
        read_labels(tmp_path / "absent.txt", 1)


@pytest.mark.parametrize("index, name", [(84, "peacock"), (999, "toilet tissue")])
def test_a_thousand_classes_are_those_of_imagenet(index, name):
    assert read_labels(None, 1000)[index] == name


def test_other_classes_are_numbered():
    assert read_labels(None, 3) == ["class 0", "class 1", "class 2"]


# ---------------------------------------------------------------- how names are compared


@pytest.mark.parametrize(
    "name", ["Blue_Jay", "blue jay", "  BLUE   jay ", "blue__jay", "blue\tjay"]
)
def test_names_are_compared_by_their_words(name):
    assert plain_name(name) == "blue jay"


@pytest.mark.parametrize("name", ["blue-jay", "bluejay", "blue jays"])
def test_other_words_are_other_names(name):
    assert plain_name(name) != "blue jay"


# ---------------------------------------------------------------- finding a class


@pytest.mark.parametrize("text, index", [("0", 0), ("5", 5), (" 2 ", 2), ("03", 3)])
def test_a_class_is_found_by_its_index(text, index):
    assert class_index(text, BIRDS) == index


@pytest.mark.parametrize("text", ["tern", "TERN", " Tern "])
def test_a_class_is_found_by_its_name(text):
    assert class_index(text, BIRDS) == BIRDS.index("tern")


def test_an_underscore_in_a_name_is_a_space():
    assert class_index("blue jay", BIRDS) == BIRDS.index("Blue_Jay")


@pytest.mark.parametrize("text", ["great auk", "alca_impennis", "great auk, Alca impennis"])
def test_a_class_is_found_by_a_synonym(text):
    assert class_index(text, BIRDS) == BIRDS.index("great auk, Alca impennis")


def test_a_whole_label_goes_before_a_synonym():
    assert class_index("rook", BIRDS) == BIRDS.index("rook")


def test_a_part_of_a_name_is_not_a_name():
    with pytest.raises(ValueError, match="auk is none of the model's 6 classes"):
        class_index("auk", BIRDS)


@pytest.mark.parametrize("label", DIGITS)
def test_a_name_that_is_a_number_is_a_name_first(label):
    assert class_index(label, DIGITS) == DIGITS.index(label)


def test_a_number_that_is_no_name_is_an_index():
    assert class_index("2", DIGITS) == 2


def test_a_number_too_large_says_how_many_classes_there_are():
    with pytest.raises(ValueError, match="the model has 6 classes, 0 to 5"):
        class_index("6", BIRDS)


@pytest.mark.parametrize("text", ["-1", "1.5", "1e0", "0x1", "albatross", "tern, egg"])
def test_what_is_neither_name_nor_index_is_named(text):
    with pytest.raises(ValueError, match=f"{text} is none of the model's 6 classes"):
        class_index(text, BIRDS)


def test_an_empty_name_is_said_to_be_empty():
    with pytest.raises(ValueError, match=r"\(empty\) is none"):
        class_index("", BIRDS)


@pytest.mark.parametrize(
    "labels", [["Crane", "tern", "CRANE"], ["crane, bird", "x", "crane, lift"]]
)
def test_a_name_of_several_classes_is_refused(labels):
    with pytest.raises(ValueError, match="crane is the name of classes 0, 2"):
        class_index("crane", labels)


def test_a_class_of_a_shared_name_is_found_by_its_index():
    assert class_index("2", ["crane", "tern", "crane"]) == 2


@pytest.mark.parametrize("text", ["84", "peacock", "Peacock"])
def test_a_class_of_imagenet_is_found(text):
    assert class_index(text, read_labels(None, 1000)) == 84


@pytest.mark.parametrize("name, index", [("Cardigan", 264), ("cardigan", 474)])
def test_the_exact_spelling_comes_first(name, index):
    assert class_index(name, read_labels(None, 1000)) == index


def test_names_that_differ_in_case_only_are_shared():
    with pytest.raises(ValueError, match="CARDIGAN is the name of classes 264, 474"):
        class_index("CARDIGAN", read_labels(None, 1000))


def test_a_category_number_is_an_index_even_where_it_is_a_name():
    assert category_index("1", ["1", "2"]) == 1


def test_a_category_beyond_the_last_class_is_refused():
    with pytest.raises(ValueError, match="2 classes, 0 to 1"):
        category_index("2", ["1", "2"])
