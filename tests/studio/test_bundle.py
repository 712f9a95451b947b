"""The pages' modules joined into few files: each once, in the order in which they need each other, and nothing guessed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from trueward.studio import app, bundle
from trueward.studio.api.place import Studio


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bundle._text.cache_clear()
    (tmp_path / "index.html").write_text(
        '<link rel="stylesheet" href="/page/a.css">\n<link rel="stylesheet" href="/page/b.css">\n'
        '<script type="module" src="/page/app.js"></script>',
        encoding="utf-8",
    )
    (tmp_path / "a.css").write_text("a {}\n", encoding="utf-8")
    (tmp_path / "b.css").write_text("b {}\n", encoding="utf-8")
    write(tmp_path, "app.js", 'import { one as two } from "./part.js";', 'import("./late.js");', "two();")
    write(tmp_path, "part.js", 'import * as v from "./vendor.js";', "  // a comment", "export const one = () => v;")
    write(tmp_path, "late.js", 'import { one } from "./part.js";', "export function late() {", "  return one();", "}")
    return tmp_path


def write(folder: Path, name: str, *lines: str) -> None:
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_modules_are_joined_and_later_ones_share_what_the_entry_has(folder: Path) -> None:
    made = bundle.whole(folder)
    assert sorted(made) == ["app.js", "late.js", "style.css"]
    assert made["app.js"] == (
        'import * as v0 from "../vendor.js";\nexport const $ = {};\n$["vendor.js"] = v0;\n'
        '$["part.js"] ??= (() => {\nconst v = $["vendor.js"];\nconst one = () => v;\nreturn { one };\n})();\n'
        '$["app.js"] ??= (() => {\nconst { one: two } = $["part.js"];\nimport("./late.js");\ntwo();\nreturn {  };\n})();\n'
    )
    assert made["late.js"] == (
        'import { $ } from "./app.js";\n'
        '$["late.js"] ??= (() => {\nconst { one } = $["part.js"];\nfunction late() {\n  return one();\n}\n'
        "return { late };\n})();\n"
        'export const { late } = $["late.js"];\n'
    )
    assert made["style.css"] == "a {}\nb {}\n"
    assert bundle.index(folder) == (
        '<link rel="stylesheet" href="/page/bundle/style.css">\n'
        '<script type="module" src="/page/bundle/app.js"></script>'
    )


@pytest.mark.parametrize(
    "line", ['export default 1;', "export { one };", 'import one from "./part.js";', 'import "./part.js";', "export let n = 1;"]
)  # fmt: skip
def test_a_line_that_it_does_not_know_stops_the_start(folder: Path, line: str) -> None:
    write(folder, "late.js", line)
    with pytest.raises(ValueError, match=r"late\.js: not a line that the bundle knows"):
        bundle.whole(folder)


def test_a_circle_is_named(folder: Path) -> None:
    write(folder, "part.js", 'import { late } from "./late.js";', "export const one = late;")
    with pytest.raises(ValueError, match=r"app\.js imports part\.js imports late\.js imports part\.js: a circle"):
        bundle.whole(folder)


def test_each_of_our_modules_is_in_it_and_names_only_what_is_there() -> None:
    bundle._text.cache_clear()
    made = bundle.whole(app.PAGE)
    defined = {name for text in made.values() for name in re.findall(r'^\$\["([\w.-]+)"\] \?\?=', text, re.MULTILINE)}
    assert defined == {path.name for path in app.PAGE.glob("*.js") if not bundle.is_apart(path.name)}
    entry = set(re.findall(r'^\$\["([\w.-]+)"\]', made["app.js"], re.MULTILINE))
    for name, text in made.items():
        if name == "style.css":
            continue
        own = set(re.findall(r'^\$\["([\w.-]+)"\]', text, re.MULTILINE))
        assert own | entry >= set(re.findall(r'= \$\["([\w.-]+)"\];$', text, re.MULTILINE)), name
        for source in re.findall(r'import\("\./([\w.-]+)"\)', text):
            assert source in made, (name, source)


def test_it_is_served_and_not_sent_twice(studio: Studio) -> None:
    from trueward.studio.api.gate import Names

    with TestClient(app.make(studio, Names.of(8600)), base_url="http://127.0.0.1:8600") as client:
        assert "/page/bundle/app.js" in client.get("/").text
        packed = client.get("/page/bundle/app.js", headers={"accept-encoding": "gzip"})
        plain = client.get("/page/bundle/app.js", headers={"accept-encoding": "identity"})
        assert (packed.headers["content-encoding"], packed.text) == ("gzip", plain.text)
        assert plain.headers["content-type"].startswith("text/javascript")
        again = client.get("/page/bundle/app.js", headers={"if-none-match": packed.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get("/page/bundle/none.js").status_code == 404
