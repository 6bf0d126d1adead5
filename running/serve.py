"""The live page: a results folder in the browser, with the network behind it, on this machine.

    serve(Path("Results"), ServeOptions())      # until Ctrl-C

docs/live.md says what it does and what it never does. The parts: serve_security.py (who may ask),
serve_app.py (what is answered), serve_scoring.py and serve_worker.py (the network, in a process of
its own), serve_records.py (answers kept in records), serve_jobs.py (photos).
"""

import asyncio
import contextlib
import os
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from running.serve_messages import WorkerSettings
from running.serve_security import HOST, Guarded, new_token
from utils import UserError

INSTALL = "run: bash requirements_install.sh requirements_serve.txt"
LAST_ANSWERS = 2  # seconds that requests in progress have when the server ends


@dataclass(frozen=True)
class ServeOptions:
    """How results are served; see docs/live.md.

    Attributes:
        port: on this machine; 0: a free one.
        model: the network once more, where its code is the user's own.
        images: the run's images, for folders that have lost theirs.
        device: what the network runs on.
        open_browser: whether to open the page.
    """

    port: int = 0
    model: str | None = None
    images: Path | None = None
    device: str = "auto"
    open_browser: bool = True


def serve(results: Path, options: ServeOptions) -> None:
    """Serve a results folder until the process is interrupted.

    Raises:
        UserError: there is no such folder, the port is taken, or a package is missing.
        KeyboardInterrupt: at the end, after everything is put away.
    """
    try:
        import uvicorn  # noqa: F401 - only whether it is there

        from running.serve_app import LiveApp
    except ModuleNotFoundError as error:
        raise UserError(f"serve needs {error.name}, which is not installed; {INSTALL}") from None
    from running.serve_jobs import Jobs
    from running.serve_records import LiveRecords
    from running.serve_scoring import LiveScoring

    if not results.is_dir():
        raise UserError(f"{results}: no such folder")
    results = results.resolve()
    records = LiveRecords(results, options.images)
    scoring = LiveScoring(WorkerSettings(options.model, options.images, options.device))
    jobs = Jobs(results, options.device)
    live = LiveApp(results, records=records, scoring=scoring, jobs=jobs, model=options.model)

    site = Site.of(live.app, options.port, "results/index.html")
    live.app.router.lifespan_context = lifespan_of(records, site.address, options.open_browser)
    try:
        scoring.start()
        site.run()
    finally:
        jobs.close()
        records.close()
        scoring.close()
    # Only a signal ends the server. Mostly uvicorn raises it again at the end, but not always.
    raise KeyboardInterrupt


@dataclass(frozen=True)
class Site:
    """An application that only this machine can ask, and only with its token.

    Attributes:
        address: of its first page.
        server: uvicorn's.
        listening: the socket, to which connections can be made at once.
    """

    address: str
    server: Any
    listening: socket.socket

    @classmethod
    def of(cls, app: Any, port: int, page: str) -> "Site":
        """Return a site that listens and does not answer yet.

        Args:
            app: what answers; see serve_security.Guarded.
            port: on this machine; 0: a free one.
            page: path of the first page.

        Raises:
            UserError: the port is taken, or not ours to take.
        """
        import uvicorn

        listening = listen(port)
        port = listening.getsockname()[1]
        token = new_token()
        server = uvicorn.Server(config_of(Guarded(app, port=port, token=token)))
        return cls(f"http://{HOST}:{port}/{token}/{page}", server, listening)

    def run(self) -> None:
        """Answer until the process is interrupted."""
        self.server.run(sockets=[self.listening])


def lifespan_of(records: Any, address: str, open_browser: bool) -> Any:
    """Return what goes on while the server runs: answers are written into their records.

    Args:
        records: with the answers.
        address: that is printed once the server answers.
        open_browser: whether to open it.
    """
    from running.serve_app import save_now_and_then

    @contextlib.asynccontextmanager
    async def saving(app: Any) -> AsyncIterator[None]:
        task = asyncio.create_task(save_now_and_then(records))
        say_where(address, open_browser)
        yield
        task.cancel()

    return saving


def config_of(app: Any) -> Any:
    """Return how uvicorn serves an application: quietly, and with nothing that is not needed."""
    import uvicorn

    return uvicorn.Config(
        app,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ws="none",
        http="h11",
        loop="asyncio",
        timeout_graceful_shutdown=LAST_ANSWERS,
    )


def listen(port: int) -> socket.socket:
    """Return a socket that only this machine can connect to.

    Raises:
        UserError: the port is taken, or not ours to take.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()  # whoever reads the address may connect at once
    except OSError as error:
        listening.close()
        raise UserError(f"--port {port}: {error.strerror}") from None
    return listening


def say_where(address: str, open_browser: bool) -> None:
    """Print the address, and open it in the browser where there is a display."""
    print(address, flush=True)
    has_desktop = sys.platform in ("darwin", "win32")
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if open_browser and (has_desktop or has_display):
        webbrowser.open(address)
