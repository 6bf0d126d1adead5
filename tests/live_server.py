"""A live server in a process of its own, for tests that ask it as no browser would."""

import http.client
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from main_job import NETWORKS

from utils import PROJECT

NETWORK = f"{NETWORKS}:network"


@dataclass
class Server:
    """A server in a process of its own."""

    results: Path
    images: Path
    process: subprocess.Popen
    address: str  # of the gallery

    @property
    def port(self) -> int:
        return int(self.address.split(":")[2].split("/")[0])

    @property
    def token(self) -> str:
        return self.address.split("/")[3]

    def page(self, folder) -> str:
        """Return the address of a record's page."""
        return self.address.replace("index.html", f"{folder}/sag.html")

    def ask(self, path, method="GET", *, token=None, body=None, **headers):
        """Return (status, headers, body) of a request as no browser would change it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.putrequest(method, f"/{token or self.token}{path}", skip_host="host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    def question(self, name, **values):
        """Return (status, answer) of a question that a page asks."""
        status, _, content = self.ask(
            f"/api/{name}",
            "POST",
            body=json.dumps(values).encode(),
            content_type="application/json",
        )
        return status, json.loads(content)

    def worker(self) -> int:
        """Return the number of the process that has the network."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for path in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            text += path.read_text()
        for number in text.split():
            if b"serve_worker" in Path(f"/proc/{number}/cmdline").read_bytes():
                return int(number)
        raise AssertionError("no worker")

    def end(self, number=signal.SIGINT) -> int:
        """Send a signal; return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)


def start(results, images, *options) -> Server:
    """Start a server, and wait until it says where it is."""
    words = ("draw_sag.py", "serve", results, "--device", "cpu", *options)
    return start_command(words, results, images)


def start_command(words, results, images) -> Server:
    """Start a command that serves a page, and wait until it says where it is."""
    process = subprocess.Popen(
        [sys.executable, PROJECT / words[0], *words[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    address = process.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:"), process.stderr.read()
    return Server(results, images, process, address)
