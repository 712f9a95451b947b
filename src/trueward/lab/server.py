"""Serves the lab's page on loopback, with the standard library alone."""

from __future__ import annotations

import gzip
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from trueward.lab import page

HOST = "127.0.0.1"
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


def server(port: int = 0) -> ThreadingHTTPServer:
    """A server on a given port, or a free one (0); `serve_forever` starts it."""
    try:
        return ThreadingHTTPServer((HOST, port), Handler)
    except OSError as error:
        raise ValueError(f"port {port}: {error.strerror}; expected one that is free, or 0 for any") from None


def address(of: ThreadingHTTPServer) -> str:
    """The server's URL."""
    return f"http://{HOST}:{of.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    """Sends the page's files, by their names: no path of a request reaches the disk."""

    server_version, sys_version = "trueward", ""

    def do_GET(self) -> None:
        """Send a file; error 421 for another host, 404 for another name."""
        port = self.server.server_address[1]  # type: ignore[index]
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "this page is served on loopback only")
            return
        name = self.path.partition("?")[0].removeprefix("/") or "index.html"
        text = page.files().get(name)
        if text is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        packed = "gzip" in (self.headers.get("Accept-Encoding") or "")
        body = gzip.compress(text.encode(), mtime=0) if packed else text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{TYPES[name.rsplit('.', 1)[1]]}; charset=utf-8")
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Vary", "Accept-Encoding")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", page.POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged: the terminal shows only the address."""
