"""Every picture, drawn from the record and the image; the network is not asked.

    draw_all(record, image, folder)     # record: the dict of sag.json; image: (H, W, 3) uint8 RGB

The pictures are what the model was shown: baseline and image mixed by the tents of the visible patches.
The graph is laid out by Graphviz, in-process (pygraphviz 2); SAG_<n>roots.dot refers to the thumbnails in
nodes/ beside it, so it can be laid out again by any Graphviz.
"""

import functools
import heapq
import html
import os
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pygraphviz
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image, ImageDraw, ImageFont

from get_perturbation_mask import make_baseline
from mask_scorer import cells, tents
from utils import write_atomically

MAX_DRAWN = 60                  # nodes in a picture; what is left out is said in it
MAX_SIDE = 12000                # pixels; larger graphs are drawn at a lower resolution
MAX_PANELS = 12                 # roots in the comparison
FONT = "DejaVu Sans"            # ships with matplotlib
RED = (230, 40, 40)
WHY = {                         # search.stopped_by, for an image without an MSE
    "baseline_sufficient": "the class keeps its confidence with every patch hidden: nothing to explain",
    "zero_probability": "the model gives this class no probability at all",
    "max_root_size": "no set up to the largest allowed size was sufficient",
    "exhausted": "no set that the search tried was sufficient",
    "max_evaluations": "no set among as many as the search scores was sufficient",
    "time_limit": "the time limit came first",
}


def draw_all(record: dict, image: np.ndarray, folder: Path) -> None:
    """Write every file of a result folder but sag.json. Raises OSError where the folder cannot be written."""
    baseline = make_baseline(image, record["baseline"]["name"])
    basis = (cells if record["baseline"]["name"] == "drop" else tents)(tuple(record["grid"]), image.shape[:2]).numpy()
    shown = functools.partial(shown_picture, image=image, baseline=baseline, basis=basis)
    draw_heat_maps(record, image, baseline, basis, folder)
    draw_grid(record, image, folder / "gridimage.png")
    draw_roots(record, shown, folder)
    draw_comparison(record, image, basis, shown, folder / "comparison.png")
    draw_graph(record, image, shown, folder)
    (folder / "dnf.txt").write_text(dnf_text(record), encoding="utf-8")


def shown_picture(patches, image: np.ndarray, baseline: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """What the model sees when only these patches are visible, (H, W, 3) uint8."""
    weight = basis[list(patches)].sum(0).reshape(*image.shape[:2], 1)
    return np.clip(np.round(baseline + weight * (image.astype(np.float32) - baseline)), 0, 255).astype(np.uint8)


def percent(relative: float) -> str:
    """Confidence relative to the full image, rounded: 92 %."""
    return f"{100 * relative:.0f} %"


def conjunction(patches) -> str:
    """A patch set in the paper's words: P11 & P30."""
    return " & ".join(f"P{p}" for p in patches) or "no patch"


def dnf_text(record: dict) -> str:
    """dnf.txt: what the formula is about, the formula, and each conjunction with its confidence."""
    lines = [f"{record['category']['name']}: probability {record['probability']:.4f} on the full image, "
             f"{record['baseline']['probability']:.4f} on the {record['baseline']['name']} baseline",
             f"search: {record['search']['method']}, stopped by {record['search']['stopped_by']}", ""]
    if not record["roots"]:
        return "\n".join(lines + [f"no MSE: {WHY.get(record['search']['stopped_by'], record['search']['stopped_by'])}", ""])
    lines += [record["dnf"], ""]
    remark = {"subset": "", "single": "  (only 1-minimal)"}
    lines += [f"{percent(r['relative']):>6}  {conjunction(r['patches'])}{remark[r['minimal']]}" for r in record["roots"]]
    return "\n".join(lines + [""])


# ---------------------------------------------------------------- heat maps, grid, comparison

def coloured(heat: np.ndarray) -> np.ndarray:
    """(H, W) in [0, 1] -> (H, W, 3) uint8 RGB, blue (low) to red (high)."""
    return cv2.applyColorMap(np.round(255 * heat.clip(0, 1)).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]


def saliency_heat(record: dict, basis: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The I-GOS mask as heat: what it hides, upsampled, the strongest 1; (H, W) in [0, 1]."""
    hidden = 1 - np.array(record["saliency"], np.float32)
    return (hidden @ basis).reshape(size) / max(hidden.max(), 1e-6)


def overlaid(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    return cv2.addWeighted(image, 0.5, np.ascontiguousarray(coloured(heat)), 0.5, 0)


def draw_heat_maps(record: dict, image: np.ndarray, baseline: np.ndarray, basis: np.ndarray, folder: Path) -> None:
    """perturbation_{original,heatmap,imposed_heatmap,blurred}.png; the last is the baseline image."""
    heat = saliency_heat(record, basis, image.shape[:2])
    for name, picture in (("original", image), ("heatmap", coloured(heat)), ("imposed_heatmap", overlaid(image, heat)),
                          ("blurred", baseline)):
        _save(picture, folder / f"perturbation_{name}.png")


def draw_grid(record: dict, image: np.ndarray, path: Path) -> None:
    """The image with every patch's number at its true centre (the outer ones lie on the border)."""
    (rows, columns), (height, width) = record["grid"], image.shape[:2]
    ys, xs = _centres(rows, height), _centres(columns, width)
    figure = Figure(figsize=(6.4, 6.4 * height / width))
    axes = figure.add_axes((0.05, 0.05, 0.9, 0.9))
    axes.imshow(image)
    for edges, line in ((ys, axes.axhline), (xs, axes.axvline)):
        for a, b in zip(edges, edges[1:]):
            line((a + b) / 2, color="white", lw=0.7, alpha=0.65)
    size = min(15, 90 / max(rows, columns))
    for number in range(rows * columns):
        axes.text(xs[number % columns], ys[number // columns], str(number), ha="center", va="center", fontsize=size,
                  color="white", weight="bold", path_effects=[withStroke(linewidth=size / 5, foreground="black")])
    axes.set_axis_off()
    figure.savefig(path, dpi=110)


def draw_comparison(record: dict, image: np.ndarray, basis: np.ndarray, shown, path: Path) -> None:
    """Side by side: the original, Grad-CAM, I-GOS and the roots that the graph draws."""
    panels = [(f"{record['category']['name']}\n{record['probability']:.3f}", image)]
    if record["gradcam"]:
        heat = cv2.resize(np.array(record["gradcam"], np.float32), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        panels.append(("Grad-CAM\n", overlaid(image, heat)))
    panels.append(("I-GOS\n", overlaid(image, saliency_heat(record, basis, image.shape[:2]))))
    for i in record["diverse_roots"][:MAX_PANELS]:
        root = record["roots"][i]
        names = conjunction(root["patches"])
        panels.append((f"{names if len(names) < 26 else str(len(root['patches'])) + ' patches'}\n{percent(root['relative'])}",
                       shown(root["patches"])))
    figure = Figure(figsize=(2.1 * len(panels), 2.6), layout="constrained")
    for axes, (title, picture) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        axes.imshow(picture)
        axes.set_title(title.replace("$", r"\$"), fontsize=10)
        axes.set_axis_off()
    figure.savefig(path, dpi=144)


# ---------------------------------------------------------------- roots

def draw_roots(record: dict, shown, folder: Path) -> None:
    """roots/<rank>_<patches>.png, the images shown to the model, and dnf_gif.gif, all of them in turn."""
    (folder / "roots").mkdir(exist_ok=True)
    frames = []
    for rank, root in enumerate(record["roots"], 1):
        picture = shown(root["patches"])
        _save(picture, folder / "roots" / f"{rank}_{_joined(root['patches'])}.png")
        frames.append(_captioned(picture, [f"{rank} of {len(record['roots'])}:  {percent(root['relative'])}"]))
    frames = frames or [_captioned(shown(()), ["no MSE"])]
    frames[0].save(folder / "dnf_gif.gif", save_all=True, append_images=frames[1:], duration=900, loop=0)


def _captioned(picture: np.ndarray, lines: list[str]) -> Image.Image:
    height, width = picture.shape[:2]
    card = Image.new("RGB", (width, height + 20 * len(lines) + 4), "black")
    card.paste(Image.fromarray(picture))
    for i, line in enumerate(lines):
        ImageDraw.Draw(card).text((width / 2, height + 12 + 20 * i), line, fill="white", font=_font(14), anchor="mm")
    return card


# ---------------------------------------------------------------- the graph

def draw_graph(record: dict, image: np.ndarray, shown, folder: Path) -> None:
    """SAG_<n>roots.dot, SAG_dag_<n>roots.png (the graph), SAG_final_<n>roots.png (the original beside it), nodes/."""
    _give_graphviz_a_font()
    n = len(record["diverse_roots"])
    drawn, roots = nodes_to_draw(record, MAX_DRAWN), root_nodes(record)
    outlines = {i: [] for i in drawn}                       # node -> (patch that went, relative drop) of each drawn edge
    nodes = record["sag"]["nodes"]
    edges = [(a, b, p) for a, b, p in record["sag"]["edges"] if a in outlines and b in outlines]
    for parent, child, patch in edges:
        outlines[child].append((patch, nodes[parent]["relative"] - nodes[child]["relative"]))
    (folder / "nodes").mkdir(exist_ok=True)
    graph = pygraphviz.AGraph(directed=True, bgcolor="black", nodesep="0.14", ranksep="0.42", pad="0.15", fontname=FONT,
                              fontcolor="white")
    graph.node_attr.update(shape="plain", fontname=FONT, fontcolor="white")
    graph.edge_attr.update(color="white", fontname=FONT, fontsize="11", fontcolor="#ff6666", arrowsize="0.7")
    names = {i: Path("nodes") / f"{_joined(nodes[i]['patches'])}.png" for i in drawn}
    for i in drawn:
        _save(outlined(shown(nodes[i]["patches"]), outlines[i], record["grid"]), folder / names[i])
        graph.add_node(i, label=_node_label(nodes[i], names[i], is_root=i in roots))
    for parent, child, patch in edges:
        drop = nodes[parent]["relative"] - nodes[child]["relative"]
        graph.add_edge(parent, child, label=f" −P{patch}", penwidth=f"{1 + 4 * min(max(drop, 0), 1):.2f}")
    _say_in_graph(record, drawn, graph)
    graph.write(str(folder / f"SAG_{n}roots.dot"))
    picture = folder / f"SAG_dag_{n}roots.png"
    for i in drawn:             # whole paths for the layout here: the search path of Graphviz cannot hold a ":"
        graph.get_node(i).attr["label"] = _node_label(nodes[i], folder.resolve() / names[i], is_root=i in roots)
    graph.layout(prog="dot")
    width, height = (float(v) for v in graph.graph_attr["bb"].split(",")[2:])       # points
    graph.graph_attr["dpi"] = f"{min(144, 72 * MAX_SIDE / max(width, height, 1)):.0f}"
    graph.draw(str(picture), format="png")
    _draw_final(record, image, picture, folder / f"SAG_final_{n}roots.png")


def nodes_to_draw(record: dict, most: int) -> list[int]:
    """Indices of the nodes to draw: the roots, then the surest sets below those already drawn, `most` in all."""
    nodes, below = record["sag"]["nodes"], {}
    for parent, child, _ in record["sag"]["edges"]:
        below.setdefault(parent, []).append(child)
    queue, drawn = [(-float("inf"), i) for i in sorted(root_nodes(record))], set()
    while queue and len(drawn) < most:
        _, i = heapq.heappop(queue)
        if i not in drawn:
            drawn.add(i)
            for child in below.get(i, ()):
                heapq.heappush(queue, (-nodes[child]["relative"], child))
    return sorted(drawn)


def root_nodes(record: dict) -> set[int]:
    """Indices of the nodes that no edge leads to."""
    return set(range(len(record["sag"]["nodes"]))) - {child for _, child, _ in record["sag"]["edges"]}


def outlined(picture: np.ndarray, removed: list[tuple[int, float]], grid) -> np.ndarray:
    """The picture with each removed patch outlined in red, thicker the more confidence that cost."""
    (rows, columns), (height, width) = grid, picture.shape[:2]
    out = picture.copy()
    for patch, drop in removed:
        y, x = _centres(rows, height)[patch // columns], _centres(columns, width)[patch % columns]
        half_y, half_x = (height - 1) / max(rows - 1, 1) / 2, (width - 1) / max(columns - 1, 1) / 2
        thick = 1 + round(6 * min(max(drop, 0), 1))
        inset = thick // 2
        top, left = max(y - half_y, 0) + inset, max(x - half_x, 0) + inset
        bottom, right = min(y + half_y, height - 1) - inset, min(x + half_x, width - 1) - inset
        cv2.rectangle(out, (round(left), round(top)), (round(right), round(bottom)), RED, thick)
    return out


def _node_label(node: dict, picture: Path, is_root: bool) -> str:
    frame = 'BORDER="2" COLOR="white"' if is_root else 'BORDER="1" COLOR="#666666"'
    patches = conjunction(node["patches"]) if len(node["patches"]) <= 4 else f"{len(node['patches'])} patches"
    return (f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="1" CELLPADDING="0">'
            f'<TR><TD {frame} FIXEDSIZE="TRUE" WIDTH="116" HEIGHT="116"><IMG SRC="{html.escape(picture.as_posix())}" SCALE="TRUE"/></TD></TR>'
            f'<TR><TD><FONT POINT-SIZE="15">{percent(node["relative"])}</FONT></TD></TR>'
            f'<TR><TD><FONT POINT-SIZE="8.5" COLOR="#bbbbbb">{html.escape(patches)}</FONT></TD></TR></TABLE>>')


def _say_in_graph(record: dict, drawn: list[int], graph) -> None:
    """What is not in the picture, and why, as the graph's own caption."""
    left_out = len(record["sag"]["nodes"]) - len(drawn)
    if not record["roots"]:
        graph.add_node("none", label=f"No MSE: {WHY.get(record['search']['stopped_by'], '')}", margin="0.4", fontsize="16")
    elif left_out:
        graph.graph_attr["label"] = f"{left_out} further sets of lower confidence are not drawn; sag.json has them"


def _draw_final(record: dict, image: np.ndarray, graph_file: Path, path: Path) -> None:
    """The original with what was found, at the left of the graph, on black."""
    with Image.open(graph_file) as file:
        graph = file.convert("RGB")
    side = round(min(max(graph.height * 0.4, 330), 620))
    size, roots = side // 17, record["roots"]
    lines = [(record["category"]["name"], size * 1.3), (f"probability {record['probability']:.3f}", size)]
    if roots:
        proven = sum(r["minimal"] == "subset" for r in roots)
        lines += [(f"{len(roots)} MSE{'s' * (len(roots) > 1)}, {proven} proven minimal", size),
                  (f"{len(record['diverse_set'])} diverse, {len(record['diverse_roots'])} drawn", size)]
    lines += [("% of the full image's confidence", size * 0.8), (f"hidden patches: {record['baseline']['name']}", size * 0.8)]
    if not record["search"]["complete"]:
        lines.append(("stopped by the time limit", size * 0.8))
    text_height = sum(int(s * 1.5) for _, s in lines) + 16
    width, height = side + 60 + graph.width, max(graph.height, side + text_height + 40)
    canvas = Image.new("RGB", (width, height), "black")
    top = (height - side - text_height) // 2
    canvas.paste(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS), (30, top))
    canvas.paste(graph, (side + 60, (height - graph.height) // 2))
    draw, y = ImageDraw.Draw(canvas), top + side + 16
    for line, line_size in lines:
        font = _font(line_size)
        font = _font(line_size * min(1, side / max(1, font.getlength(line))))       # a long name shrinks to fit
        draw.text((30, y), line, fill="white", font=font)
        y += int(line_size * 1.5)
    canvas.save(path)


# ---------------------------------------------------------------- small things

def _centres(cells: int, pixels: int) -> np.ndarray:
    return np.linspace(0, pixels - 1, cells) if cells > 1 else np.array([(pixels - 1) / 2])


def _joined(patches) -> str:
    name = "-".join(str(p) for p in patches) or "none"
    return name if len(name) <= 150 else f"{name[:130]}-and-more-{abs(hash(tuple(patches))) % 10**8}"


def _save(picture: np.ndarray, path: Path) -> None:
    Image.fromarray(np.ascontiguousarray(picture)).save(path)


@functools.cache
def _font(size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), max(6, size))


@functools.cache
def _give_graphviz_a_font() -> None:
    """Point Graphviz's fontconfig to matplotlib's DejaVu besides the system's fonts: a bare machine has none."""
    folders = [Path(matplotlib.get_data_path()) / "fonts/ttf", "/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts",
               "/System/Library/Fonts", Path.home() / ".fonts", Path.home() / ".local/share/fonts"]
    file = Path(matplotlib.get_cachedir()) / "sag-fonts.conf"
    write_atomically(file, "<?xml version='1.0'?><fontconfig>" + "".join(f"<dir>{html.escape(str(f))}</dir>" for f in folders) +
                     "<cachedir prefix='xdg'>fontconfig</cachedir></fontconfig>")
    os.environ.setdefault("FONTCONFIG_FILE", str(file))
