"""Figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image, ImageDraw

from drawing import page as sag_page
from drawing.graph_figure import FAMILY, FONT, FORMATS, Canvas, draw_graph, save_figure
from drawing.pictures import (
    Pictures,
    centres,
    coloured,
    conjunction,
    grad_cam_heat,
    joined,
    names_of,
    overlaid,
    percent,
    saliency_heat,
    why_no_root,
)
from drawing.graph_layout import DARK, Style, font, text_width

MAX_PANELS = 12  # roots in the comparison
STRIP_ABREAST = 5  # roots in a row of roots.png
CURVES = {
    "igos": "I-GOS",
    "gradcam": "Grad-CAM",
    "roots": "roots",
}  # names in the record and in the figure


@dataclass(frozen=True)
class Look:
    """How the figures are drawn: options of this script."""

    style: Style = DARK
    hidden: str = "dim"
    formats: Sequence[str] = FORMATS  # of the graph beside the original
    figures: Sequence[str] = ("png",)  # of the other figures

    @property
    def ending(self) -> str:
        """What follows the names of the figures."""
        return "_paper" if self.style.name == "paper" else ""


def draw_all(record: dict, image: np.ndarray, folder: Path, look: Look = Look()) -> None:
    """Write every file of a result folder but sag.json; in the paper style only the figures, beside the dark ones.

    record: the dict of sag.json; image: (H, W, 3) uint8 RGB, as the network got it. Raises OSError where the folder
    cannot be written.
    """
    pictures = Pictures(record, image, paper=look.style.name == "paper")
    if look.style.name == "dark":
        draw_heat_maps(record, pictures, folder)
        draw_grid(record, pictures, folder / "gridimage.png")
        draw_roots(record, pictures, folder)
        (folder / "dnf.txt").write_text(dnf_text(record), encoding="utf-8")
    draw_comparison(record, pictures, folder, look)
    draw_curves(record, folder, look)
    draw_graph(record, pictures, folder, look.style, look.hidden, look.formats, look.figures)
    if look.style.name == "dark":
        sag_page.write_page(record, pictures, folder / "sag.html")


def dnf_text(record: dict) -> str:
    """dnf.txt: what the formula is about, the formula, and each conjunction with its confidence."""
    lines = [
        f"{record['category']['name']}: probability {record['probability']:.4f} on the full image, "
        f"{record['baseline']['probability']:.4f} on the {record['baseline']['name']} baseline",
        f"search: {record['search']['method']}, stopped by {record['search']['stopped_by']}",
        "",
    ]
    if not record["roots"]:
        return "\n".join(lines + [f"no MSE: {why_no_root(record)}", ""])
    lines += [record["dnf"], ""]
    remark = {"subset": "", "single": "  (only 1-minimal)"}
    lines += [
        f"{percent(r['relative']):>6}  {conjunction(r['patches'], names_of(record))}{remark[r['minimal']]}"
        for r in record["roots"]
    ]
    return "\n".join(lines + [""])


def draw_heat_maps(record: dict, pictures: Pictures, folder: Path) -> None:
    """perturbation_{original,heatmap,imposed_heatmap,blurred}.png; the last is the baseline image."""
    heat = saliency_heat(record, pictures.basis, pictures.image.shape[:2])
    for name, picture in (
        ("original", pictures.image),
        ("heatmap", coloured(heat)),
        ("imposed_heatmap", overlaid(pictures.image, heat)),
        ("blurred", pictures.baseline),
    ):
        Image.fromarray(np.ascontiguousarray(picture)).save(folder / f"perturbation_{name}.png")


def draw_grid(record: dict, pictures: Pictures, path: Path) -> None:
    """The image with every patch's number at its true centre (the outer ones lie on the border), or every region's name in it."""
    image, regions = pictures.image, pictures.regions
    (rows, columns), (height, width) = record["grid"], image.shape[:2]
    ys, xs = centres(rows, height), centres(columns, width)
    figure = Figure(figsize=(6.4, 6.4 * height / width))
    axes = figure.add_axes((0.05, 0.05, 0.9, 0.9))
    axes.imshow(np.where(regions.borders()[..., None], 255, image) if regions else image)
    for edges, line in ((ys, axes.axhline), (xs, axes.axvline)) if not regions else ():
        for a, b in zip(edges, edges[1:]):
            line((a + b) / 2, color="white", lw=0.7, alpha=0.65)
    size = min(15, 90 / max(rows, columns)) if not regions else 12 if columns <= 30 else 7
    places = (
        zip(regions.names, regions.middles())
        if regions
        else ((str(n), (xs[n % columns], ys[n // columns])) for n in range(rows * columns))
    )
    for name, (x, y) in places:
        axes.text(
            x,
            y,
            name,
            ha="center",
            va="center",
            fontsize=size,
            parse_math=False,
            color="white",
            weight="bold",
            path_effects=[withStroke(linewidth=size / 5, foreground="black")],
        )
    axes.set_axis_off()
    figure.savefig(path, dpi=110)


def heat_panels(record: dict, pictures: Pictures) -> list[tuple[str, np.ndarray]]:
    """(title, picture) of the original, Grad-CAM where the network has it, and I-GOS."""
    image, size = pictures.image, pictures.image.shape[:2]
    panels = [(f"{record['category']['name']}\n{record['probability']:.3f}", image)]
    heat = grad_cam_heat(record, size)
    if heat is not None:
        panels.append(("Grad-CAM\n", overlaid(image, heat)))
    return panels + [("I-GOS\n", overlaid(image, saliency_heat(record, pictures.basis, size)))]


def draw_comparison(record: dict, pictures: Pictures, folder: Path, look: Look) -> None:
    """comparison: original, Grad-CAM, I-GOS and the roots that the graph draws; comparison.gif: the same row, all roots in turn."""
    panels = heat_panels(record, pictures)
    for i in record["diverse_roots"][:MAX_PANELS]:
        root = record["roots"][i]
        names = conjunction(root["patches"], names_of(record))
        panels.append(
            (
                f"{names if len(names) < 26 else str(len(root['patches'])) + ' patches'}\n{percent(root['relative'])}",
                pictures(root["patches"]),
            )
        )
    for kind in look.figures:
        in_rows(panels, look.style, vector=kind != "png").save(
            folder / f"comparison{look.ending}.{kind}"
        )
    if look.style.name == "dark":
        _animate(record, pictures, folder / "comparison.gif")


def in_rows(
    panels: Sequence[tuple[str, np.ndarray]], style: Style, vector: bool, gap: float = 6
) -> Canvas:
    """Titled pictures in a row, or, in a figure of a given width, in as many rows as they need."""
    abreast = max(1, min(len(panels), int(style.width // 72))) if style.width else len(panels)
    side = (style.width - gap) / abreast - gap if style.width else 144
    size, (height, width) = style.small * (1 if style.width else 1.15), panels[0][1].shape[:2]
    tall, title = side * height / width, 2.9 * size
    rows = -(-len(panels) // abreast)
    canvas = Canvas(abreast * (side + gap) + gap, rows * (tall + title + gap) + gap, style, vector)
    for i, (text, picture) in enumerate(panels):
        left, top = gap + (i % abreast) * (side + gap), (rows - i // abreast) * (tall + title + gap)
        for n, line in enumerate(text.split("\n")):
            small = size * max(
                6 / size, min(1, side / max(1, text_width(line, size)))
            )  # a long name shrinks
            canvas.text(
                left + side / 2,
                top - 1.3 * size * n,
                line,
                small,
                style.ink,
                ha="center",
                va="top",
                gid=f"title-{i}-{n}",
            )
        canvas.picture(picture, left, top - title - tall, side, tall, f"panel-{i}")
    return canvas


def _animate(record: dict, pictures: Pictures, path: Path) -> None:
    still = [
        captioned(picture, title.replace("\n", "  ").strip())
        for title, picture in heat_panels(record, pictures)
    ]
    frames = [
        side_by_side([*still, card]).quantize(method=Image.Quantize.FASTOCTREE)
        for card in root_cards(record, pictures)
    ]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=900, loop=0)


def draw_roots(record: dict, pictures: Pictures, folder: Path) -> None:
    """roots/<rank>_<patches>.png, the images shown to the model; dnf_gif.gif, all of them in turn; roots.png, all beside each other."""
    (folder / "roots").mkdir(exist_ok=True)
    for rank, root in enumerate(record["roots"], 1):
        Image.fromarray(pictures(root["patches"])).save(
            folder / "roots" / f"{rank}_{joined(root['patches'])}.png"
        )
    cards = root_cards(record, pictures)
    cards[0].save(
        folder / "dnf_gif.gif", save_all=True, append_images=cards[1:], duration=900, loop=0
    )
    rows = [side_by_side(cards[i : i + STRIP_ABREAST]) for i in range(0, len(cards), STRIP_ABREAST)]
    strip = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "black")
    for i, row in enumerate(rows):
        strip.paste(row, (0, i * row.height))
    strip.save(folder / "roots.png")


def root_cards(record: dict, pictures: Pictures) -> list[Image.Image]:
    """Each root as the model was shown it, with its rank, confidence and patches below; one card that says so where there is none."""
    roots = record["roots"]
    cards = [
        captioned(pictures(r["patches"]), f"{rank} of {len(roots)}:  {percent(r['relative'])}")
        for rank, r in enumerate(roots, 1)
    ]
    return cards or [captioned(pictures(()), "no MSE")]


def captioned(picture: np.ndarray, line: str) -> Image.Image:
    """The picture with a line of text below it, on black; long lines shrink."""
    height, width = picture.shape[:2]
    card = Image.new("RGB", (width, height + 24), "black")
    card.paste(Image.fromarray(picture))
    size = 14 * min(1, (width - 4) / max(1, font(14).getlength(line)))
    ImageDraw.Draw(card).text(
        (width / 2, height + 12), line, fill="white", font=font(size), anchor="mm"
    )
    return card


def side_by_side(cards: Sequence[Image.Image], gap: int = 4) -> Image.Image:
    """Pictures of one height in a row, on black."""
    row = Image.new(
        "RGB", (sum(c.width for c in cards) + gap * (len(cards) - 1), cards[0].height), "black"
    )
    for i, card in enumerate(cards):
        row.paste(card, (i * (card.width + gap), 0))
    return row


def draw_curves(record: dict, folder: Path, look: Look) -> None:
    """curves: insertion and deletion for I-GOS, Grad-CAM and the roots, with their areas; nothing where the record has none."""
    curves, style = record.get("curves"), look.style
    if not curves or not curves["patches"][-1]:
        return
    small = style.width is not None
    text, wide = (6.5, style.width / 72) if small else (10, 8.4)
    dashes = dict(zip(CURVES, ("-", "-.", "--")))  # curves often coincide
    colours = dict(
        zip(
            CURVES,
            ("#0072b2", "#009e73", "#d55e00") if small else ("#56b4e9", "#2fd6a3", "#ffb347"),
        )
    )
    for kind in look.figures:
        figure = Figure(
            figsize=(wide, wide * (0.66 if small else 0.55)),
            facecolor=style.background,
            layout="constrained",
        )
        for axes, side in zip(figure.subplots(1, 2, sharey=True), ("insertion", "deletion")):
            for name, title in CURVES.items():
                if name in curves:
                    axes.plot(
                        curves["patches"],
                        [100 * v for v in curves[name][side]],
                        color=colours[name],
                        lw=0.9 if small else 1.8,
                        ls=dashes[name],
                        label=f"{title}, area {curves[name][side + '_area']:.2f}",
                        gid=f"{side}-{name}",
                    )
            axes.set_title(
                side.capitalize(), fontsize=text * 1.1, color=style.ink, fontfamily=FAMILY
            )
            axes.set_xlabel(
                "patches shown" if side == "insertion" else "patches hidden",
                fontsize=text,
                color=style.ink,
                fontfamily=FAMILY,
            )
            axes.set_facecolor(style.background)
            axes.set(xlim=(0, curves["patches"][-1]), ylim=(0, axes.get_ylim()[1]))
            axes.tick_params(colors=style.ink, labelsize=text, labelfontfamily=FONT)
            axes.spines[["top", "right"]].set_visible(False)
            axes.spines[["left", "bottom"]].set_color(style.muted)
            axes.legend(
                loc="upper center",
                bbox_to_anchor=(0.5, -0.32 if small else -0.15),
                frameon=False,
                labelcolor=style.ink,
                handlelength=2.6,
                prop={"family": FAMILY, "size": text},
            )
        figure.axes[0].set_ylabel(
            "% of full confidence", fontsize=text, color=style.ink, fontfamily=FAMILY
        )
        save_figure(figure, folder / f"curves{look.ending}.{kind}", style)
