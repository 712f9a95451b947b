"""The page as files and as one file, the server, and the command."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import itertools
import json
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
    assert set(files) == {"index.html", "lab.css", "lab.js"}  # each is asked for once, and waited for once
    assert set(re.findall(r'(?:src|href)="([^"#]+)"', html)) - {"lab.css", "lab.js", "../"} == {
        link for link in re.findall(r'href="([^"]+)"', html) if link.startswith("data:image/svg+xml,")
    }
    assert re.findall(r"<script[^>]*>([^<]*)", html) == [""]
    assert "<style" not in html
    assert not re.search(r"\s(on\w+|style)=", html)
    for name, text in page.sources().items():
        assert len(text.splitlines()) <= 400, name
        if name.endswith(".js"):
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
            ), name


def test_the_page_and_the_engine_share_their_presets() -> None:
    text = page.sources()["presets.js"]
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


def test_the_server_packs_what_it_sends(port: int) -> None:
    for name, text in page.files().items():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", f"/{name}", headers={"Accept-Encoding": "br, gzip"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
        assert gzip.decompress(body).decode() == text
        assert int(answer.headers["Content-Length"]) == len(body) < len(text.encode()) / 2


def test_a_slow_line_can_carry_it() -> None:
    """At 400 kbit/s, 50 bytes a millisecond, all of it takes less than 1 s; two round trips of 400 ms come on top."""
    assert sum(len(gzip.compress(text.encode())) for text in page.files().values()) < 48_000


def test_comments_and_indentation_stay_at_home() -> None:
    script = page.files()["lab.js"]
    core = page.sources()["core.js"].replace("export ", "")
    assert core.strip() in script  # the page shows it by its own text
    rest = script.replace(core.strip(), "")
    assert not re.search(r"^\s*//|^\s*/\*\*", rest, re.MULTILINE)
    assert not re.search(r"^ ", rest, re.MULTILINE)
    sources = "".join(text for name, text in page.sources().items() if name.endswith(".js"))
    assert all(text.count("\n") == 0 for text in re.findall(r"`[^`]*`", re.sub(r"//.*", "", sources)))


RECORDED = [name for name in page.RECORDED.values() if (page.FOLDER.parent / name).exists()]


@pytest.mark.parametrize("name", RECORDED)
def test_the_recorded_runs_say_where_they_are_from(name: str) -> None:
    record = json.loads((page.FOLDER.parent / name).read_text(encoding="utf-8"))
    assert re.fullmatch(r"[0-9a-f]{7,12}", record["commit"])
    assert record["seed"] == 0
    assert len(record["steps"]) == len(set(record["steps"])) > 5
    assert (page.FOLDER.parent / name).stat().st_size < 20_000


def test_the_recorded_runs_of_nano_show_each_way_to_end() -> None:
    record = json.loads((page.FOLDER.parent / "nano.json").read_text(encoding="utf-8"))
    betas = [run["beta"] for run in record["runs"]]
    assert (betas, len(betas)) == (sorted(betas), 12)
    assert all(1.5 < b / a < 2.6 for a, b in itertools.pairwise(betas))  # about even on a logarithmic axis
    assert all(len(run[key]) == len(record["steps"]) for run in record["runs"] for key in ("proxy", "truth", "kl"))
    words = [run["verdict"] for run in record["runs"]]
    ends = [(run["truth"][-1], run["kl"][-1]) for run in record["runs"]]
    assert words[0] == "hacking"
    assert ends[0][0] < -5
    assert words[-1] in ("pinned", "inconclusive")
    assert abs(ends[-1][0]) < 0.25
    assert ends[-1][1] < 0.3
    best = max(range(12), key=lambda i: record["runs"][i]["truth"][-1])
    assert words[best] == "learning"
    assert 2 <= best <= 9


def test_a_run_that_was_not_recorded_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(page.RECORDED, "REVIEWS", "nothing.json")
    assert "export const REVIEWS = null;" in page.sources()["recorded.js"]


def test_the_recorded_reviews_part_from_the_truth() -> None:
    record = json.loads((page.FOLDER.parent / "reviews.json").read_text(encoding="utf-8"))
    assert all(len(record[key]) == len(record["steps"]) for key in ("proxy", "truth", "kl", "verdicts"))
    assert max(record["truth"]) - record["truth"][-1] > 0.3
    assert record["proxy"][-1] > max(record["proxy"]) - 0.3
    assert record["points"][0] == 0
    assert record["points"][-1] == record["steps"][-1]
    for shown in record["prompts"]:
        assert [answer["step"] for answer in shown["answers"]] == record["points"]


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
