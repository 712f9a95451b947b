"""A stand-in of the Hugging Face hub: what making a repository and uploading a folder ask of it, and nothing else.

Requests as huggingface_hub sends them: repos/create, models (is it there?), validate-yaml, preupload, git-lfs' batch with its
upload and verification, and commit as ndjson. Weights go by LFS, everything else in the commit.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

TOKEN = "hf_stand_in"


@dataclass
class Hub:
    """What the stand-in holds, and how it behaves."""

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)  # of models that are there already
    objects: dict[str, bytes] = field(default_factory=dict)  # by sha256
    verified: set[str] = field(default_factory=set)
    forbidden: str = ""  # a part of the paths that this token may not write to
    address: str = ""

    def answer(self, method: str, path: str, body: bytes, authorized: bool) -> tuple[int, Any]:
        path = path.partition("?")[0]
        if m := re.fullmatch(r"/objects/(\w+)", path):
            assert hashlib.sha256(body).hexdigest() == m[1]
            self.objects[m[1]] = body
            return 200, {}
        if not authorized and method != "GET":
            return 401, {"error": "Invalid credentials"}
        if self.forbidden and self.forbidden in path:
            return 403, {"error": "Forbidden: you need write access"}
        if method == "GET" and (m := re.fullmatch(r"/api/models/([^/]+/[^/]+)", path)):
            if m[1] in self.repos or m[1] in self.cards:
                return 200, {"id": m[1], "modelId": m[1], "cardData": self.cards.get(m[1])}
            return 404, {"error": "Repository not found"}
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path == "/api/validate-yaml":
            return self.validate(json.loads(body)["content"])
        if m := re.fullmatch(r"/api/models/(.+)/preupload/main", path):
            files = json.loads(body)["files"]
            return 200, {"files": [{**mode(file["path"]), "shouldIgnore": False, "oid": None} for file in files]}
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, {"transfer": "basic", "objects": [self.action(o) for o in json.loads(body)["objects"]]}
        if path == "/verify":
            self.verified.add(json.loads(body)["oid"])
            return 200, {}
        if m := re.fullmatch(r"/api/models/(.+)/commit/main", path):
            return self.commit(m[1], [json.loads(row) for row in body.splitlines()])
        raise AssertionError(f"the stand-in knows no {method} {path}")

    def create(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        repo = f"{wanted['organization']}/{wanted['name']}"
        if repo in self.repos:
            return 409, {"error": "You already created this model repo", "url": f"{self.address}/{repo}"}
        self.repos[repo] = {}
        self.created.append(wanted)
        return 200, {"url": f"{self.address}/{repo}", "name": repo}

    def validate(self, content: str) -> tuple[int, Any]:
        import yaml

        values = yaml.safe_load(content.split("---")[1])
        wrong = [] if isinstance(values.get("license"), str) else [{"message": '"license" must be a string'}]
        return (400 if wrong else 200), {"errors": wrong, "warnings": []}

    def action(self, wanted: dict[str, Any]) -> dict[str, Any]:
        links = {"upload": f"/objects/{wanted['oid']}", "verify": "/verify"}
        return {**wanted, "actions": {name: {"href": self.address + link} for name, link in links.items()}}

    def commit(self, repo: str, rows: list[dict[str, Any]]) -> tuple[int, Any]:
        assert rows[0]["key"] == "header"
        for row in rows[1:]:
            value = row["value"]
            if row["key"] == "lfsFile":
                assert value["oid"] in self.verified
                self.repos[repo][value["path"]] = self.objects[value["oid"]]
            else:
                assert (row["key"], value["encoding"]) == ("file", "base64")
                self.repos[repo][value["path"]] = base64.b64decode(value["content"])
        return 200, {"commitUrl": f"{self.address}/{repo}/commit/{'0' * 40}", "commitOid": "0" * 40, "success": True}

    def save(self, repo: str, folder: Path) -> Path:
        """The repository's files as a directory, as a download would leave them."""
        for name, content in self.repos[repo].items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder


def mode(path: str) -> dict[str, str]:
    return {"path": path, "uploadMode": "lfs" if path.endswith(".safetensors") else "regular"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """The stand-in, with huggingface_hub turned to it and a token that it takes."""
    from huggingface_hub import constants

    place = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            authorized = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            status, value = place.answer(self.command, self.path, body, authorized)
            sent = json.dumps(value).encode()
            self.send_response(status)
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = respond  # noqa: N815 (names of the base class)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    place.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", place.address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its service is another one, and not stood in for
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "tokens"))
    yield place
    server.shutdown()
    thread.join()
    server.server_close()
