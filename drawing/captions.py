"""What a figure of a graph says in words: the caption below it, and the summary beside the image.

    caption(sag, drawn=[0, 1, 4], hidden="dim")     # sentences

Every sentence follows from the record.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from drawing.graph_layout import root_nodes
from drawing.record import Sag
from drawing.styles import Hidden
from drawing.words import why_no_root

SHOWN_AS = {
    "dim": "dimmed here",
    "black": "black here",
    "outline": "visible here, outside the white line",
}
ABOUT_LINES = "White lines are around what was visible."
HIDDEN_BY = {"black": "black", "drop": "left out"}
ENDED_BY = {"max_nodes": "it would have too many sets", "time_limit": "the time limit came first"}


@dataclass(frozen=True)
class SummaryLine:
    """A line beside the original, and its size relative to the style's text."""

    text: str
    scale: float = 1.0


def caption(sag: Sag, drawn: Sequence[int], hidden: Hidden) -> list[str]:
    """Return what a figure shows and what it leaves out, in sentences.

    Args:
        sag: The record.
        drawn: Indices of the nodes that are drawn.
        hidden: How the figure shows the part of the image that was hidden from the network.
    """
    if not sag.roots:
        return [f"No MSE: {why_no_root(sag)}."]
    return [
        "Confidence in % of that on the full image; framed: minimal sufficient (root).",
        *about_more_than_all(sag, drawn),
        *about_large(sag, "root"),
        *about_drawing(sag, drawn, hidden),
        *([ABOUT_LINES] if hidden == "dim" else []),
    ]


def about_more_than_all(sag: Sag, drawn: Sequence[int]) -> list[str]:
    """Return what a confidence above 100 % means, where one is drawn."""
    if any(round(100 * sag.sag.nodes[i].relative) > 100 for i in drawn):
        return ["Above 100 %: the network is surer of the class than on the full image."]
    return []


def about_drawing(sag: Sag, drawn: Sequence[int], hidden: Hidden) -> list[str]:
    """Return how hidden parts show, and what of the graph is missing; see caption()."""
    sentences = [_about_hidden(sag, hidden, "regions" if sag.regions else "patches")]
    if len(drawn) < len(sag.sag.nodes):
        sentences.append(_about_left_out(sag, drawn))
    if sag.sag.stopped_by:
        sentences.append(f"The record's graph ends early: {ENDED_BY[sag.sag.stopped_by]}.")
    return sentences


def about_large(sag: Sag, called: str) -> list[str]:
    """Return what is known of the drawn sets that are too large to be proven minimal, if any.

    Args:
        sag: The record.
        called: What such a set is called.
    """
    patches = "regions" if sag.regions else "patches"
    large = [sag.roots[i] for i in sag.diverse_roots if sag.roots[i].minimal == "single"]
    if not large:
        return []
    checks = [root.checked for root in large if root.checked]
    lacking = min((check.lacking for check in checks), default=1)
    if len(checks) < len(large) or lacking == 1:
        known = "no single one can go"
    else:
        known = f"no {lacking} or fewer can go"
    sentence = f"Of a {called} of more than 10 {patches} it is only known that {known}"
    if len(checks) < len(large):
        return [f"{sentence}."]
    share = max(check.at_most for check in checks)
    return [f"{sentence}, and that less than {100 * share:.2g} % of its parts will do."]


def _about_hidden(sag: Sag, hidden: Hidden, patches: str) -> str:
    """Return how the hidden part was replaced, and how it shows; patches: what it is made of."""
    baseline = sag.baseline.name
    if hidden in ("baseline", baseline):
        return f"Hidden {patches} are shown as the network saw them ({baseline})."
    replaced = HIDDEN_BY.get(baseline, f"replaced ({baseline})")
    return f"Hidden {patches} were {replaced} for the network and are {SHOWN_AS[hidden]}."


def _about_left_out(sag: Sag, drawn: Sequence[int]) -> str:
    """Return how many sets of the graph are not drawn."""
    total = len(sag.sag.nodes)
    roots = len(root_nodes(sag) - set(drawn))
    also = ""
    left = total - len(drawn)
    if roots:
        also = f", {roots} of them {'roots' if roots > 1 else 'root'}"
    return (
        f"{len(drawn)} of {total} sets are drawn; {left} {'is' if left == 1 else 'are'} left "
        f"out{also}, whose removal cost least (+n more: below that set)."
    )


def about_class(sag: Sag, called: str) -> list[SummaryLine]:
    """Return the class, its probability, and how many sets were found; called: what one is."""
    lines = [
        SummaryLine(sag.title, scale=1.35),
        SummaryLine(f"probability {sag.probability:.3f}"),
    ]
    if sag.roots:
        found = f"1 {called}" if len(sag.roots) == 1 else f"{len(sag.roots)} {called}s"
        proven = sum(root.minimal == "subset" for root in sag.roots)
        lines.append(SummaryLine(f"{found}, {proven} proven minimal"))
    return lines


def summary_lines(sag: Sag) -> list[SummaryLine]:
    """Return the lines beside the original: the class, its probability, and what was found."""
    lines = about_class(sag, "MSE")
    if sag.roots:
        diverse = f"{len(sag.diverse_set)} diverse, {len(sag.diverse_roots)} drawn"
        lines.append(SummaryLine(diverse))
    if sag.search.stopped_by == "time_limit":
        lines.append(SummaryLine("stopped by the time limit"))
    return lines
