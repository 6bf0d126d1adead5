"""Scores against hand-computed cases, the template, and where words were read off."""

import pytest

from companions.captions.captioning import CaptionRecord, Node
from companions.captions.evaluation import pointing, said, template_captions, text_scores

JAY = (0, 0, 39, 39)
WING = (4, 4, 11, 11)


def record(words, attention, reference="a jay with a red wing", image="jay_red"):
    names = [("jay", "object", JAY), ("wing", "object", WING), ("red", "attribute", WING)]
    return CaptionRecord(
        image=image,
        region="7",
        caption=words,
        reference=reference,
        score=0.0,
        nodes=[Node(*each) for each in names],
        words=words.split(),
        attention=attention,
    )


def test_bleu_and_rouge_of_one_wrong_word():
    scores = text_scores({"x": "a b c d e"}, {"x": "a b c d f"}, ["bleu", "rouge"])
    shares = [4 / 5, 3 / 4, 2 / 3, 1 / 2]
    product = 1.0
    for n, share in enumerate(shares, 1):
        product *= share
        assert scores[f"BLEU-{n}"] == pytest.approx(product ** (1 / n), abs=1e-6)
    assert scores["ROUGE-L"] == pytest.approx(0.8)


def test_bleu_pays_for_a_short_caption():
    scores = text_scores({"x": "a b c d"}, {"x": "a b"}, ["bleu"])
    assert scores["BLEU-1"] == pytest.approx(pow(2.718281828, 1 - 4 / 2), abs=1e-6)


def test_cider_is_ten_for_the_references_themselves():
    texts = {"x": "a red bird sings", "y": "two grey fish swim"}
    assert text_scores(texts, texts, ["cider"])["CIDEr"] == pytest.approx(10)
    crossed = {"x": texts["y"], "y": texts["x"]}
    assert text_scores(texts, crossed, ["cider"])["CIDEr"] == pytest.approx(0)


def test_a_template_has_the_most_frequent_words(examples):
    own = tuple(examples[0].graph.roles)
    training = [
        (own, ["a", "jay", "sings"]),
        (own, ["a", "tern", "sings"]),
        (own, ["a", "jay", "flies"]),
        (own, ["a", "jay", "flies", "off"]),
        ((0,), ["fish"]),
    ]
    assert template_captions(training, examples[:2]) == ["a jay sings"] * 2
    other = [(roles, words) for roles, words in training if roles == (0,)]
    assert template_captions(other, examples[:1]) == ["fish"]


def test_words_are_read_off_their_region(places):
    on_bird = [1.0, 0, 0]
    on_wing = [0.2, 0.7, 0.1]
    found = pointing([record("a jay red wing", [on_wing, on_bird, on_wing, on_bird])], places)
    assert found.words == 3  # nothing is named "a"
    assert found.share == pytest.approx(2 / 3)  # red is read off the wing's box: the attribute's
    assert found.mass == pytest.approx((1 + 0.1 + 0) / 3)


def test_no_placed_word_gives_no_share(places):
    assert pointing([record("a a", [[1.0, 0, 0]] * 2)], places).share is None


def test_words_without_reference_are_counted():
    records = [
        record("a jay at dusk", [], reference="a jay at dusk"),
        record("a jay at dusk", [], reference="a jay on sand"),
        record("a jay on sand", [], reference="a jay on sand"),
    ]
    found = said(records, "dusk")
    assert (found.wrongly, found.of_without, found.rightly, found.of_with) == (1, 2, 1, 1)
