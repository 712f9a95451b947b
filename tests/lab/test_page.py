"""The page as files and as one file, the server, and the command."""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from http.client import HTTPResponse
from pathlib import Path

import pytest

from trueward.lab import page, presets, server

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def port() -> Iterator[int]:
    with server.server() as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield serving.server_address[1]
        serving.shutdown()
        thread.join()


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_the_files_carry_nothing_inline() -> None:
    files = page.files()
    html = files["index.html"]
    assert set(re.findall(r'(?:src|href)="([^"#]+)"', html)) - {"lab.css", "main.js"} == {
        link for link in re.findall(r'href="([^"]+)"', html) if link.startswith("data:image/svg+xml,")
    }
    assert re.findall(r"<script[^>]*>([^<]*)", html) == [""]
    assert "<style" not in html
    assert not re.search(r"\s(on\w+|style)=", html)
    for name, text in files.items():
        assert len(text.splitlines()) <= 400, name
        if name.endswith(".js"):
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
            ), name


def test_the_page_and_the_engine_share_their_presets() -> None:
    import json

    text = page.files()["presets.js"]
    assert json.loads(text[text.index("{") : text.rindex("}") + 1]) == presets.tables()


class Inline(HTMLParser):
    """The texts of style and script, and the policy."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.texts, self.policy = "", {"style": "", "script": ""}, ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        known = dict(attrs)
        if known.get("http-equiv") == "Content-Security-Policy":
            self.policy = known["content"] or ""

    def handle_data(self, data: str) -> None:
        if self.inside in self.texts:
            self.texts[self.inside] += data

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""


def test_one_file_says_what_may_run_in_it() -> None:
    found = Inline()
    found.feed(page.whole())
    for kind, text in found.texts.items():
        assert len(text) > 5000
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in found.policy
    assert found.policy.startswith("default-src 'none';")
    assert "unsafe" not in found.policy
    assert "http" not in re.sub(r"http://www\.w3\.org/2000/svg", "", page.whole()).replace("http-equiv", "")


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"main.js": 'import { a } from "./b.js";\n', "b.js": 'import { c } from "./main.js";\n'}, "imports itself"),
        (
            {"main.js": 'import { a } from "./b.js";\nconst x = 1;\n', "b.js": "export function x() {}\n"},
            "stands at the top",
        ),
        ({"main.js": 'import * as b from "./b.js";\n', "b.js": ""}, "expected imports of the form"),
        ({"main.js": "export default 1;\n"}, "expected imports of the form"),
        ({"main.js": 'const x = "</script>";\n'}, "expected imports of the form"),
    ],
)
def test_modules_that_can_not_be_joined(files: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        page.joined(files)


def test_modules_are_joined_in_order() -> None:
    files = {
        "main.js": 'import { b } from "./b.js";\nimport { c } from "./c.js";\nb(c);\n',
        "b.js": 'import { c } from "./c.js";\nexport function b() { return c; }\n',
        "c.js": "export const c = 1;\n",
    }
    assert page.joined(files).split() == ["const", "c", "=", "1;", "function", "b()", "{", "return", "c;", "}", "b(c);"]


def test_the_server(port: int) -> None:
    for name in page.files():
        answer, text = ask(port, f"/{name}")
        assert (answer.status, text) == (200, page.files()[name])
        assert answer.headers["Content-Security-Policy"] == page.POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert (
            answer.headers["Content-Type"]
            == {"html": "text/html", "css": "text/css", "js": "text/javascript"}[name.rsplit(".", 1)[1]]
            + "; charset=utf-8"
        )
    assert ask(port, "/?from=somewhere")[1] == page.files()["index.html"]
    head, nothing = ask(port, "/", "HEAD")
    assert (head.status, nothing) == (200, "")
    for path in ("/nothing.js", "/../page.py", "/../../cli.py", "//etc/passwd", "/%2e%2e/page.py", "/presets.json"):
        assert ask(port, path)[0].status == 404
    assert ask(port, "/", "POST")[0].status == 501


def test_the_server_answers_to_loopback_only(port: int) -> None:
    assert ask(port, "/", Host=f"localhost:{port}")[0].status == 200
    for host in ("example.org", f"example.org:{port}", "127.0.0.1", ""):
        assert ask(port, "/", Host=host)[0].status == 421
    assert server.HOST == "127.0.0.1"


def test_a_port_that_is_taken(port: int) -> None:
    with pytest.raises(ValueError, match=f"port {port}: .* expected one that is free"):
        server.server(port)


def test_the_command_exports(command: Command, tmp_path: Path) -> None:
    code, out, err = command("lab", "--export", "site/lab")
    assert (code, out, err) == (0, "site/lab/index.html\n", "")
    assert [p.name for p in (tmp_path / "site/lab").iterdir()] == ["index.html"]
    assert (tmp_path / "site/lab/index.html").read_text(encoding="utf-8") == page.whole()
    assert command("lab", "--export", "site/lab")[0] == 0  # again, over the old one


def test_the_command_serves_until_it_is_stopped() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "trueward", "lab"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        address = process.stdout.readline().strip()
        match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", address)
        assert match
        assert ask(int(match[1]), "/")[1] == page.files()["index.html"]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out.strip(), err) == (0, "", "")


def test_the_engine_is_light() -> None:
    script = (
        "import sys, trueward.lab.sitting, trueward.lab.page, trueward.lab.server\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'rich', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
