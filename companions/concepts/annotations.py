"""The annotation page: people write graphs of images in the browser, in the published format.

    annotate(Annotations(items, names, Path("annotations")), port=0, open_browser=True)

Whatever is changed is saved at once into <annotations>/<name of the image>.json, atomically. The
page begins at the first image without such a file, and so goes on where one stopped. Fields that
the page does not know stay in the file. A file that is damaged, or that somebody else has changed
meanwhile, is not overwritten: the page says so in one line.

    GET  /annotate.html         the page
    GET  /images/3              the image, upright, as a JPEG
    POST /api/read, /api/save   one annotation
"""

import contextlib
import hashlib
import io
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from companions.concepts.files import read_json
from companions.concepts.graphs import Graph, graph_of_json, read_graph
from companions.score_deviation.scene_sets import Item
from drawing.page import filled, json_in_html
from running.failures import why
from running.result_folders import require_below
from running.serve import INSTALL, Site, say_where
from scoring.image_files import as_rgb, open_image
from scoring.regions import upright_size
from utils import UserError, read_bytes, write_atomically

PAGE = "annotate.html"
LONGEST_SIDE = 1600  # pixels of an image in the page
JPEG_QUALITY = 92
RELATIONS = ("on", "inside", "above", "below", "left of", "right of", "part of", "near")
NEW = ""  # version of a file that is not there


class Asked(Struct, forbid_unknown_fields=True):
    """Which image a page asks for."""

    number: int


class Changed(Struct, forbid_unknown_fields=True):
    """An annotation as a page has changed it."""

    number: int
    graph: Any
    version: str  # of the file that the page began with


@dataclass(frozen=True)
class Annotations:
    """Images, and where their annotations go.

    Attributes:
        items: the images.
        names: of their files, without the ending.
        folder: of the annotations.
        suggestions: folder of graphs that images without an annotation begin with; or None.
    """

    items: Sequence[Item]
    names: Sequence[str]
    folder: Path
    suggestions: Path | None = None

    def path(self, number: int) -> Path:
        """Return the file of an image's annotation.

        Raises:
            UserError: there is no such image, or links lead out of the folder.
        """
        if not 0 <= number < len(self.names):
            raise UserError(f"there are images 0 to {len(self.names) - 1}")
        path = self.folder / f"{self.names[number]}.json"
        require_below(path, self.folder)
        return path

    def is_done(self, number: int) -> bool:
        """Return whether an image has an annotation."""
        return self.path(number).is_file()

    def read(self, number: int) -> dict[str, Any]:
        """Return what the page shows of an image: graph, version of its file, and size.

        Raises:
            UserError, ValueError, OSError: image or annotation cannot be read (one line).
        """
        path = self.path(number)
        width, height = upright_size(self.items[number].image)
        version = version_of(path)
        graph: Any = {"1": {"objects": [], "relationships": [], "phrase": ""}}
        if version != NEW:
            graph = read_json(path)
            graph_of_json(graph, path)
        elif self.suggestions:
            suggestion = self.suggestions / f"{self.names[number]}.json"
            if suggestion.is_file():
                graph = as_one_region(read_graph(suggestion))
                require_within(graph, (width, height), suggestion)
        return {"graph": graph, "version": version, "width": width, "height": height}

    def save(self, changed: Changed) -> str:
        """Write an annotation; return the version of its file.

        Raises:
            UserError: the file was changed meanwhile.
            ValueError: it is no graph; nothing is written.
        """
        path = self.path(changed.number)
        graph_of_json(changed.graph, path)
        if version_of(path) != changed.version:
            raise UserError(f"{path}: changed by somebody else meanwhile; reload the page")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(changed.graph))  # as the published files are laid out
        return version_of(path)

    def jpeg(self, number: int) -> bytes:
        """Return an image as a JPEG of at most LONGEST_SIDE pixels.

        Raises:
            UserError, ValueError: there is none, or it cannot be read.
        """
        self.path(number)
        image = as_rgb(open_image(self.items[number].image))
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=JPEG_QUALITY)
        return file.getvalue()


def version_of(path: Path) -> str:
    """Return what tells one content of a file from another; NEW where there is no file."""
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except FileNotFoundError:
        return NEW


def as_one_region(graph: Graph) -> dict[str, Any]:
    """Return a graph with all objects and relationships in one region, as JSON values.

    Objects with the same object_id are one: explain repeats them where two are related.
    """
    objects = {one.object_id: one for region in graph.values() for one in region.objects}
    region = {
        "objects": list(objects.values()),
        "relationships": [one for region in graph.values() for one in region.relationships],
        "phrase": "",
    }
    return {"1": msgspec.to_builtins(region)}


def require_within(graph: dict[str, Any], size: tuple[int, int], path: Path) -> None:
    """Raise UserError where an object's box leaves its image: the graph is of another one.

    Args:
        graph: as JSON values.
        size: width and height of the image.
        path: of the graph, for the message.
    """
    width, height = size
    for one in (one for region in graph.values() for one in region["objects"]):
        if one["x"] + one["w"] > width or one["y"] + one["h"] > height:
            raise UserError(
                f"--suggest: {path}: the box of {one['name']!r} leaves the image of {width} x "
                f"{height} pixels; the graph is of another image"
            )


# ---------------------------------------------------------------- the server


def annotate(annotations: Annotations, *, port: int, open_browser: bool) -> None:
    """Serve the annotation page until the process is interrupted.

    Args:
        annotations: what to annotate.
        port: on this machine; 0: a free one.
        open_browser: whether to open the page.

    Raises:
        UserError: the port is taken, a package is missing, or a link leads out of the folder.
        KeyboardInterrupt: at the end.
    """
    try:
        import uvicorn  # noqa: F401 - only whether it is there

        app = application(annotations)
    except ModuleNotFoundError as error:
        raise UserError(f"annotate needs {error.name}, which is not installed; {INSTALL}") from None
    for number in range(len(annotations.names)):
        annotations.path(number)  # a link that leads out is named now, not in the middle of work
    site = Site.of(app, port, PAGE)

    @contextlib.asynccontextmanager
    async def announced(_: Any) -> AsyncIterator[None]:
        say_where(site.address, open_browser)
        yield

    app.router.lifespan_context = announced
    site.run()
    raise KeyboardInterrupt  # as in serve(): only a signal ends the server


def application(annotations: Annotations) -> Any:
    """Return the application that answers for some annotations."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from running.serve_app import answered, not_found, page_response

    async def page(request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        text = await run_in_threadpool(page_text, annotations)
        return page_response(text.replace("<script", f'<script nonce="{nonce}"'), nonce)

    async def image(request: Request) -> Response:
        number = request.path_params["number"]
        try:
            content = await run_in_threadpool(annotations.jpeg, number)
        except (UserError, ValueError, OSError) as error:
            return not_found(why(error))
        return Response(content, media_type="image/jpeg")

    async def read(request: Request) -> Response:
        return await answered(request, Asked, lambda asked: annotations.read(asked.number))

    async def save(request: Request) -> Response:
        return await answered(
            request, Changed, lambda changed: {"version": annotations.save(changed)}
        )

    return Starlette(
        routes=[
            Route(f"/{PAGE}", page),
            Route("/images/{number:int}", image),
            Route("/api/read", read, methods=["POST"]),
            Route("/api/save", save, methods=["POST"]),
        ]
    )


def page_text(annotations: Annotations) -> str:
    """Return the HTML of the page, with the images and which of them are annotated."""
    values = {
        "images": [item.name for item in annotations.items],
        "done": [annotations.is_done(number) for number in range(len(annotations.names))],
        "relations": RELATIONS,
        "folder": str(annotations.folder),
    }
    return filled("annotate.html", {"VALUES": json_in_html(values)})
