"""Who may ask the live page's server, and what it may read. Pure ASGI: every request comes by here.

    app = Guarded(app, port=8123, token=new_token())
    file_below(Path("Results"), "copper_jay/curves.png")    # its path, or None

A request needs the token as the first part of its path, and a Host header that is this server's own
address, so that no other name leads here (DNS rebinding). Where a browser says that another page
sends it, it is refused. All three are answered with 403 and nothing else.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
TOKEN_BYTES = 24
# A file by itself runs nothing and loads nothing; pages have a policy of their own.
FILE_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


def new_token() -> str:
    """Return a random token that can stand in an address."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def page_policy(nonce: str) -> str:
    """Return the content security policy of a page whose scripts have this nonce.

    Args:
        nonce: a random word; scripts without it do not run.
    """
    return (
        f"default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; "
        f"script-src 'nonce-{nonce}'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'"
    )


class Guarded:
    """An application behind the checks of the module's docstring.

    It is given the path without the token, and its answers the headers above.

    Args:
        app: what answers the requests that are let through.
        port: that the server listens on.
        token: that every path begins with.
    """

    def __init__(self, app: Any, *, port: int, token: str):
        self.app = app
        self.address = f"{HOST}:{port}"
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http" or not self.may_enter(scope):
            await refuse(scope, send)
            return
        _, _, rest = scope["path"].removeprefix("/").partition("/")
        inner = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode(), "root_path": ""}

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = with_defaults(message.get("headers", []))
            await send(message)

        await self.app(inner, receive, send_with_headers)

    def may_enter(self, scope: Scope) -> bool:
        """Return whether a request has the token and comes from this server's own pages."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        if headers.get(b"host") != [self.address.encode()]:
            return False
        if headers.get(b"origin", [f"http://{self.address}".encode()]) != [
            f"http://{self.address}".encode()
        ]:
            return False
        site = headers.get(b"sec-fetch-site", [b"none"])[0]
        if site not in (b"none", b"same-origin"):
            return False
        given = scope["path"].removeprefix("/").partition("/")[0]
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())


def with_defaults(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers with those of HEADERS, and a policy where it has none."""
    present = {name.lower() for name, _ in headers}
    wanted = {**HEADERS, "content-security-policy": FILE_POLICY}
    missing = [
        (name.encode(), value.encode())
        for name, value in wanted.items()
        if name.encode() not in present
    ]
    return [*headers, *missing]


async def refuse(scope: Scope, send: Send) -> None:
    """Answer 403, and nothing that tells why."""
    if scope["type"] != "http":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = with_defaults([(b"content-type", b"text/plain; charset=utf-8")])
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": b"forbidden\n"})


def path_below(results: Path, name: str) -> Path | None:
    """Return the file or folder of this name in the results; None where it is out of bounds.

    Args:
        results: the results folder.
        name: a path with forward slashes, decoded; "" is the results folder itself.

    Returns:
        None for hidden names, for "..", and where links lead out of the results.
    """
    parts = name.split("/") if name else []
    if any(part in ("", "..") or part.startswith(".") for part in parts):
        return None
    if any(character in name for character in "\\\0"):
        return None
    try:
        base = results.resolve(strict=True)
        path = base.joinpath(*parts).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # not there, too long, or links in a circle
        return None
    return path if path == base or base in path.parents else None


def file_below(results: Path, name: str) -> Path | None:
    """Return the regular file of this name in the results, or None; see path_below."""
    path = path_below(results, name)
    return path if path is not None and path.is_file() else None
