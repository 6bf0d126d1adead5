"""The live page's application: pages, files, and what the pages ask. Behind serve_security.Guarded.

    GET    /results/index.html              the gallery
    GET    /results/copper_jay/sag.html     an image's page, from its record
    GET    /results/copper_jay/curves.png   a file
    POST   /api/open, /api/score, /api/find what a page asks of its network
    GET    /api/jobs    POST /api/jobs    DELETE /api/jobs/3

Whatever cannot be answered is {"error": one line}, which the page shows.
"""

import asyncio
import csv
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from drawing.live_page import live_gallery, live_page
from drawing.masked_images import MaskedImages
from drawing.record import Sag, patches_of_bits
from running.failures import why
from running.record_files import KEPT_IMAGE, RECORD, load_result, read_record
from running.serve_jobs import BASELINES, LIVE, MOST_BYTES, SEARCHES, Job, JobOptions, Jobs
from running.serve_networks import NamedNetwork, networks_of
from running.serve_records import PAGE, LiveRecord, LiveRecords
from running.serve_scoring import LiveScoring
from running.serve_security import file_below, page_policy, path_below
from running.summary import Row, summary_row
from scoring.least_change import LeastChange, least_change
from scoring.patch_sets import PatchSet
from utils import UserError

GALLERY = "index.html"
SUMMARY = "summary.csv"
MOST_READ = 40  # records whose networks are offered
MOST_LISTED = 500  # records that are listed where there is no summary
MOST_SETS = 256  # in one question
MOST_CHANGED = 100  # patches up to which the least change is looked for
QUESTION_BYTES = 1_000_000
# What may be read as it is; pages are made anew from their records.
KINDS = {
    ".png": "image/png",
    ".gif": "image/gif",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".csv": "text/plain; charset=utf-8",
    ".dot": "text/plain; charset=utf-8",
}

T = TypeVar("T")
Hex = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{1,250}$")]


class About(msgspec.Struct, forbid_unknown_fields=True):
    """Which record a page is about."""

    folder: str


class Sets(About):
    """Sets whose confidence is asked: hexadecimal numbers, as in the record's table."""

    sets: Annotated[list[Hex], msgspec.Meta(max_length=MOST_SETS)]


class Start(About):
    """A set of which the least change is asked."""

    set: Hex


class LiveApp:
    """See the module's docstring.

    Args:
        results: the results folder.
        records: of it.
        scoring: the network.
        jobs: photos that are explained.
        model: the network as the user names it, where its code is the user's own; or None.
    """

    def __init__(
        self,
        results: Path,
        *,
        records: LiveRecords,
        scoring: LiveScoring,
        jobs: Jobs,
        model: str | None,
    ):
        self.results = results
        self.records = records
        self.scoring = scoring
        self.jobs = jobs
        self.model = model
        self.app = Starlette(routes=self.routes())

    def routes(self) -> list[Route]:
        """Return what is answered, and by which method."""
        return [
            Route("/", self.home),
            Route("/results/", self.home),
            Route("/results/{name:path}", self.read),
            Route("/api/open", self.open, methods=["POST"]),
            Route("/api/score", self.score, methods=["POST"]),
            Route("/api/find", self.find, methods=["POST"]),
            Route("/api/jobs", self.list_jobs, methods=["GET"]),
            Route("/api/jobs", self.add_job, methods=["POST"]),
            Route("/api/jobs/{number:int}", self.stop_job, methods=["DELETE"]),
        ]

    # ------------------------------------------------------------ pages and files

    async def home(self, request: Request) -> Response:
        """Lead to the gallery."""
        ups = "../" * (request.url.path.count("/") - 1)
        return RedirectResponse(f"./{ups}results/{GALLERY}")

    async def read(self, request: Request) -> Response:
        """Answer with a page or a file of the results."""
        name = request.path_params["name"]
        folder, _, last = name.rpartition("/")
        if name == GALLERY:
            return await run_in_threadpool(self.gallery)
        if last == PAGE:
            return await run_in_threadpool(self.page, folder)
        path = file_below(self.results, name)
        kind = KINDS.get(path.suffix.lower()) if path else None
        if path is None or kind is None:
            return not_found()
        return FileResponse(path, media_type=kind)

    def page(self, folder: str) -> Response:
        """Answer with a record's page."""
        try:
            record = self.record(folder)
            if (record.folder / KEPT_IMAGE).exists():
                require_file(self.results, f"{folder}/{KEPT_IMAGE}".lstrip("/"))
            record.save()  # the page then has what other tabs asked
            result = load_result(record.folder, self.records.images)
        except (UserError, ValueError) as error:
            return not_found(why(error))
        nonce = secrets.token_urlsafe(16)
        masked = MaskedImages.of(result.sag, result.image)
        text = live_page(result.sag, masked, nonce, folder=folder, results=self.results)
        return page_response(text, nonce)

    def gallery(self) -> Response:
        """Answer with all images: those of the run, and those of photos given here."""
        nonce = secrets.token_urlsafe(16)
        rows = self.rows()
        choices = {
            "networks": [network.name for network in self.networks(rows)],
            "searches": SEARCHES,
            "baselines": BASELINES,
        }
        return page_response(live_gallery(rows, self.results, nonce, choices=choices), nonce)

    def rows(self) -> list[Row]:
        """Return the rows of the gallery, their folders below the results."""
        rows = rows_of(self.results, "")
        if not rows:
            rows = rows_of_records(self.results)
        return [*rows_of(self.results, f"{LIVE}/explained"), *rows]

    def networks(self, rows: Sequence[Row]) -> Sequence[NamedNetwork]:
        """Return the networks that a photo can be given to."""
        paths = [file_below(self.results, f"{row['folder']}/{RECORD}".lstrip("./")) for row in rows]
        found = [path for path in paths if path is not None][:MOST_READ]
        sags = [sag for sag in map(read_record, found) if sag is not None]
        return networks_of(sags, self.model)

    def record(self, folder: str) -> LiveRecord:
        """Return the record in a folder of the results.

        Raises:
            UserError: there is none there, or it is damaged.
        """
        path = require_file(self.results, f"{folder}/{RECORD}".lstrip("/"))
        own = path_below(self.results, folder)
        if own is None or path.parent != own:
            raise UserError(f"{folder}: no record")
        return self.records.get(own)

    # ------------------------------------------------------------ what a page asks

    async def open(self, request: Request) -> Response:
        """Load a record's network; answer with its name."""

        def answer(about: About) -> dict[str, Any]:
            return {"network": self.scoring.open(self.record(about.folder))}

        return await answered(request, About, answer)

    async def score(self, request: Request) -> Response:
        """Answer with the probability of each set."""

        def answer(asked: Sets) -> dict[str, Any]:
            record = self.record(asked.folder)
            sets = [patches_in(text, record.sag) for text in asked.sets]
            return {"probabilities": self.scoring.score(record, sets)}

        return await answered(request, Sets, answer)

    async def find(self, request: Request) -> Response:
        """Answer with the least change of a set that keeps the class, or loses it."""

        def answer(asked: Start) -> dict[str, Any]:
            record = self.record(asked.folder)
            return found_change(self.scoring, record, patches_in(asked.set, record.sag))

        return await answered(request, Start, answer)

    # ------------------------------------------------------------ photos

    async def list_jobs(self, request: Request) -> Response:
        """Answer with all jobs, the newest first."""
        return as_json({"jobs": [job_values(job) for job in self.jobs.list()]})

    async def add_job(self, request: Request) -> Response:
        """Queue a photo, which is the request's body; its options are in the query."""
        if request.headers.get("content-type") != "application/octet-stream":
            return failed("a photo is sent as application/octet-stream", 415)
        try:
            content = await body_of(request, MOST_BYTES)
            query = dict(request.query_params)
            number = query.pop("network", "0")
            options = msgspec.convert(query, JobOptions)
            networks = self.networks(await run_in_threadpool(self.rows))
            if not (number.isascii() and number.isdecimal() and int(number) < len(networks)):
                raise UserError("there is no such network")
            network = networks[int(number)]
            job = await run_in_threadpool(self.jobs.submit, content, options, network)
        except (UserError, OSError, ValueError) as error:
            return failed(why(error))
        return as_json(job_values(job))

    async def stop_job(self, request: Request) -> Response:
        """Stop a job."""
        try:
            self.jobs.stop(request.path_params["number"])
        except UserError as error:
            return failed(why(error), 404)
        return as_json({})


# ---------------------------------------------------------------- sets


def patches_in(text: str, sag: Sag) -> PatchSet:
    """Return the patches of a set that a page names.

    Raises:
        UserError: a patch does not exist.
    """
    number = int(text, 16)
    if number >> sag.num_patches:
        raise UserError(f"there are patches 0 to {sag.num_patches - 1}")
    return patches_of_bits(number)


def found_change(scoring: LiveScoring, record: LiveRecord, start: PatchSet) -> dict[str, Any]:
    """Return the least change of a set that was found, as the page is sent it.

    Raises:
        UserError: there are too many patches, or the network fails.
    """
    sag = record.sag
    if sag.num_patches > MOST_CHANGED:
        raise UserError(f"only for up to {MOST_CHANGED} patches")
    goal = sag.threshold * sag.probability
    is_kept = scoring.score(record, [start])[0] > goal
    search = LeastChange(sag.num_patches, goal=goal, wants_more=not is_kept)
    found = least_change(lambda sets: scoring.score(record, sets), start, search)
    values: dict[str, Any] = {"asked": search.asked, "keeps": not is_kept, "found": None}
    if found is not None:
        values["found"] = {
            "added": found.added,
            "removed": found.removed,
            "probability": found.probability,
            "is_least": found.is_least,
            "is_minimal": found.is_minimal,
        }
    return values


# ---------------------------------------------------------------- rows


def rows_of(results: Path, folder: str) -> list[Row]:
    """Return the rows of a folder's summary, their folders below the results."""
    path = file_below(results, f"{folder}/{SUMMARY}".lstrip("/"))
    if path is None:
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows: list[Row] = list(csv.DictReader(file))
        for row in rows:
            row["folder"] = f"{folder}/{row['folder']}".lstrip("/")
            float(row["probability"] or 0)
            int(row["roots"] or 0)
    except (OSError, ValueError, KeyError, TypeError, csv.Error):  # of another program
        return []
    return rows


def rows_of_records(results: Path) -> list[Row]:
    """Return a row for each record, where no run has left a summary."""
    rows = []
    for path in sorted(results.rglob(RECORD))[:MOST_LISTED]:
        name = path.relative_to(results).as_posix()
        sag = read_record(path) if file_below(results, name) else None
        if sag is not None and not name.startswith(f"{LIVE}/"):
            row = summary_row(sag, path.parent, results)
            rows.append({column: str(value) for column, value in row.items()})
    return rows


# ---------------------------------------------------------------- answers


def require_file(results: Path, name: str) -> Path:
    """Return a file of the results.

    Raises:
        UserError: there is none of this name inside them.
    """
    path = file_below(results, name)
    if path is None:
        raise UserError(f"{name}: not there")
    return path


async def answered(request: Request, kind: type[T], answer: Any) -> Response:
    """Return the answer to a question, or why there is none; the network runs in a thread."""
    if request.headers.get("content-type") != "application/json":
        return failed("a question is sent as application/json", 415)
    try:
        asked = msgspec.json.decode(await body_of(request, QUESTION_BYTES), type=kind)
        return as_json(await run_in_threadpool(answer, asked))
    except Exception as error:  # whatever it is, the page shows it and the server goes on
        return failed(why(error))


async def body_of(request: Request, most: int) -> bytes:
    """Return a request's body.

    Raises:
        UserError: it is too large; no more of it is read.
    """
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise UserError(f"more than {most / 1e6:.0f} MB")
        chunks.append(chunk)
    return b"".join(chunks)


def job_values(job: Job) -> dict[str, Any]:
    """Return what the page shows of a job."""
    return {
        "number": job.number,
        "name": job.name,
        "state": job.state,
        "line": job.line,
        "folder": job.folder,
    }


def as_json(values: Mapping[str, Any]) -> Response:
    """Return values as an answer."""
    return Response(msgspec.json.encode(values), media_type="application/json")


def failed(reason: str, status: int = 400) -> Response:
    """Return one line that the page shows."""
    content = msgspec.json.encode({"error": reason})
    return Response(content, status_code=status, media_type="application/json")


def not_found(reason: str = "not found") -> Response:
    """Return 404, and why in one line."""
    return Response(f"{reason}\n", status_code=404, media_type="text/plain; charset=utf-8")


def page_response(text: str, nonce: str) -> Response:
    """Return a page whose scripts have this nonce."""
    return HTMLResponse(text, headers={"content-security-policy": page_policy(nonce)})


async def save_now_and_then(records: LiveRecords, seconds: float = 1.0) -> None:
    """Write new answers into their records, again and again."""
    while True:
        await asyncio.sleep(seconds)
        await run_in_threadpool(records.save)
