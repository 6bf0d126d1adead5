"""Measuring and wrapping text."""

from drawing.text import shrunk, text_width, wrapped

TEXT = "a formula of several words and averyveryveryverylongwordthatmustbecut"


def test_wrapped_lines_fit_the_width():
    assert all(text_width(line, 10) <= 60 for line in wrapped(TEXT, 10, 60))


def test_wrapping_keeps_every_letter():
    assert "".join(wrapped(TEXT, 10, 60)).replace(" ", "") == TEXT.replace(" ", "")


def test_no_text_is_one_empty_line():
    assert wrapped("", 10, 60) == [""]


def test_a_line_that_is_too_long_shrinks_to_the_width():
    assert text_width(TEXT, shrunk(TEXT, 10, 60)) <= 60.001


def test_a_line_that_fits_keeps_its_size():
    assert shrunk("word", 10, 600) == 10
