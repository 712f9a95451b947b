"""The lab's page: files for a web server with a strict content security policy, or one file that opens from disk."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from trueward.lab import presets

FOLDER = Path(__file__).parent / "web"
ENTRY = "main.js"
SHOWN = "core.js"
BUNDLE = "lab.js"  # all modules as one file: a slow line is asked once
RECORDED = {"NANO": "nano.json", "REVIEWS": "reviews.json"}  # made by scripts/record_lab.py
# Nothing from other sites, nothing inline, and text never becomes markup; only the icon is a data: URL.
COMMON = "base-uri 'none'; form-action 'none'; img-src data:; require-trusted-types-for 'script'; trusted-types 'none'"
POLICY = f"default-src 'none'; script-src 'self'; style-src 'self'; frame-ancestors 'none'; {COMMON}"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_INDENT = re.compile(r"^ +", re.MULTILINE)
_NOTE = re.compile(r"^ *(?://.*|/\*\* .* \*/)\n", re.MULTILINE)
_TOP = re.compile(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+|\$)", re.MULTILINE)


def sources() -> dict[str, str]:
    """The page's files as they are written, by name, with the modules that hold its data."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.iterdir()) if path.is_file()}
    table = json.dumps(presets.tables(), ensure_ascii=False, indent=1)
    texts["presets.js"] = f"// Made from presets.json.\nexport const PRESETS = {table};\n"
    runs = {name: recorded(file) for name, file in RECORDED.items()}
    texts["recorded.js"] = "".join(
        f"export const {name} = {json.dumps(run, ensure_ascii=False)};\n" for name, run in runs.items()
    )
    return texts


def recorded(file: str) -> Any:
    """A recorded run; None if it was not recorded, and then the page goes without its chapter."""
    path = FOLDER.parent / file
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def files() -> dict[str, str]:
    """The files for a server, by name: the page, its style and its script. The server adds `POLICY` as a header."""
    parts = sources()
    style = _INDENT.sub("", parts["lab.css"])
    return {"index.html": parts["index.html"], "lab.css": style, BUNDLE: joined(parts)}


def whole() -> str:
    """The page as one file. Script and style are inline, and allowed by their hashes in its policy."""
    parts = files()
    script = parts[BUNDLE]
    style = parts["lab.css"]
    policy = f"default-src 'none'; script-src '{digest(script)}'; style-src '{digest(style)}'; {COMMON}"
    page = parts["index.html"]
    for old, new in (
        (
            '<meta charset="utf-8">',
            f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">',
        ),
        ('<link rel="stylesheet" href="lab.css">', f"<style>{style}</style>"),
        (f'<script type="module" src="{BUNDLE}"></script>', ""),
        ("</body>", f'<script type="module">{script}</script>\n</body>'),
    ):
        assert page.count(old) == 1, f"index.html: expected {old} once"
        page = page.replace(old, new)
    return page


def lean(name: str, text: str) -> str:
    """A module without its comments and its indentation; the page shows the core by its own text, so that stays as it is."""
    return text if name == SHOWN else _INDENT.sub("", _NOTE.sub("", text))


def digest(text: str) -> str:
    """An inline text's hash, as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def joined(parts: dict[str, str]) -> str:
    """All modules as one, each after those that it imports; a name may be defined at the top level of one module only."""
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...] = ()) -> None:
        if name in above:
            raise ValueError(f"{name}: imports itself, through {' and '.join(above)}")
        if name not in order:
            for other in _IMPORT.findall(parts[name]):
                visit(other, (*above, name))
            order.append(name)

    visit(ENTRY)
    owners: dict[str, str] = {}
    for name in order:
        for word in _TOP.findall(parts[name]):
            if owners.setdefault(word, name) != name:
                raise ValueError(f"{name}: `{word}` stands at the top of {owners[word]} too; give one another name")
    text = "\n".join(
        lean(name, re.sub(r"^export (?!default)", "", _IMPORT.sub("", parts[name]), flags=re.MULTILINE))
        for name in order
    )
    if left := re.search(r"^\s*(import|export)\b.*|</script|<!--", text, re.MULTILINE):
        raise ValueError(f'{left[0].strip()}: expected imports of the form `import {{ a, b }} from "./c.js";`')
    return text
