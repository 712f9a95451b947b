"""Pages are sent compressed to who takes them so; answers of the API are not."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from starlette.testclient import TestClient

from trueward.studio import app


@pytest.fixture
def browser(tmp_path: Any) -> Any:
    from fastapi import FastAPI
    from starlette.middleware.gzip import GZipMiddleware

    made = FastAPI()
    app.serve_lab(made, {"index.html": "<!doctype html>" + "a" * 2000, "core.js": "1"})
    made.mount("/page", GZipMiddleware(app.Static(directory=app.PAGE), minimum_size=app.PACKED_FROM))
    with TestClient(made) as client:
        yield client


@pytest.mark.parametrize("path", ["/lab/", "/lab/core.js", "/page/app.js"])
def test_compressed_where_it_is_taken_and_plain_where_not(browser: Any, path: str) -> None:
    packed = browser.get(path, headers={"accept-encoding": "gzip"})
    plain = browser.get(path, headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text
    assert "accept-encoding" in packed.headers["vary"].lower()
    assert packed.headers["cache-control"] == plain.headers["cache-control"] == "no-cache"


def test_a_page_is_less_than_half_of_what_it_was(browser: Any) -> None:
    with browser.stream("GET", "/page/app.js", headers={"accept-encoding": "gzip"}) as reply:
        raw = b"".join(reply.iter_raw())
    assert len(raw) < len(gzip.decompress(raw)) / 2


def test_a_file_that_has_not_changed_is_not_sent_again(browser: Any) -> None:
    first = browser.get("/page/app.js", headers={"accept-encoding": "gzip"})
    again = browser.get("/page/app.js", headers={"accept-encoding": "gzip", "if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
