"""The pages' modules joined into few files, so that a slow line waits few times: made when the studio starts.

Each module becomes a function whose result is what it exports; what several files need is in the first one that is fetched.
Nothing is parsed: our modules are written so that a line is an import or an export, and anything else stops the start.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

ENTRY = "app.js"
IMPORT = re.compile(r'^import (?:\{([^{}]+)\}|\* as (\w+)) from "\./([\w-]+\.js)";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?function\b|const\b|class\b)", re.MULTILINE)
NAMED = re.compile(r"^export (?:async )?(?:function|const|class) (\w+)", re.MULTILINE)
LATER = re.compile(r'\bimport\("\./([\w-]+\.js)"\)')
OTHER = re.compile(r"^(?:import\b(?!\()|export\b).*$", re.MULTILINE)
COMMENT = re.compile(r"^ *//.*\n", re.MULTILINE)
SHEET = re.compile(r'<link rel="stylesheet" href="/page/([\w-]+\.css)">')


def is_apart(name: str) -> bool:
    """Whether a module stays a file of its own: third-party code, which is joined already, and what comes before the rest."""
    return name.startswith("vendor") or name == "early.js"


def whole(folder: Path) -> dict[str, str]:
    """By name all files of the bundle: the entry, each module that is imported later, and the sheets in one. `ValueError`."""
    first = needed(folder, ENTRY)
    made = {ENTRY: joined(folder, first, ENTRY, ())}
    waiting = list(later(folder, first))
    while waiting:
        name = waiting.pop()
        if name not in made:
            own = [each for each in needed(folder, name) if each not in first]
            made[name] = joined(folder, own, name, first)
            waiting += later(folder, own)
    made["style.css"] = "".join(
        (folder / name).read_text(encoding="utf-8") for name in SHEET.findall(_text(folder, "index.html"))
    )
    return made


def index(folder: Path) -> str:
    """The page that loads the bundle in the place of the modules."""
    text = _text(folder, "index.html")
    sheets = SHEET.findall(text)
    text = text.replace(
        f'<link rel="stylesheet" href="/page/{sheets[0]}">', '<link rel="stylesheet" href="/page/bundle/style.css">'
    )
    text = re.sub(SHEET.pattern + r"\n", "", text)
    return text.replace(f'src="/page/{ENTRY}"', f'src="/page/bundle/{ENTRY}"')


def needed(folder: Path, name: str) -> list[str]:
    """A module and all that it imports, each after what it needs itself. `ValueError` for a circle."""
    order: list[str] = []

    def visit(each: str, above: tuple[str, ...]) -> None:
        if each in above:
            raise ValueError(f"{' imports '.join((*above, each))}: a circle")
        if each in order or is_apart(each):
            return
        for match in IMPORT.finditer(_text(folder, each)):
            visit(match[3], (*above, each))
        order.append(each)

    visit(name, ())
    return order


def later(folder: Path, names: list[str]) -> list[str]:
    """Modules of ours that these import while they run."""
    return [name for each in names for name in LATER.findall(_text(folder, each)) if not is_apart(name)]


def joined(folder: Path, names: list[str], last: str, known: list[str] | tuple[()]) -> str:
    """One module of several. known: those that the entry has already."""
    vendored = {m[3]: None for each in names for m in IMPORT.finditer(_text(folder, each)) if is_apart(m[3])}
    lines = [f'import * as v{i} from "../{name}";' for i, name in enumerate(vendored)]
    lines.append('import { $ } from "./app.js";' if known else "export const $ = {};")
    lines += [f'$["{name}"] = v{i};' for i, name in enumerate(vendored)]
    lines += [f'$["{name}"] ??= (() => {{\n{_body(_text(folder, name), name)}\n}})();' for name in names]
    exported = NAMED.findall(_text(folder, last)) if known else []
    lines += [f'export const {{ {", ".join(exported)} }} = $["{last}"];'] if exported else []
    return "\n".join(lines) + "\n"


def _body(text: str, name: str) -> str:
    exported = NAMED.findall(text)
    text = IMPORT.sub(_bound, text)
    text = COMMENT.sub("", EXPORT.sub("", text))
    text = LATER.sub(lambda m: f'import("{"../" if is_apart(m[1]) else "./"}{m[1]}")', text)
    if rest := OTHER.search(text):
        raise ValueError(f"{name}: not a line that the bundle knows: {rest[0][:100]}")
    return f"{text.rstrip()}\nreturn {{ {', '.join(exported)} }};"


def _bound(match: re.Match[str]) -> str:
    names, whole_module, source = match[1], match[2], match[3]
    bound = whole_module or "{" + re.sub(r"(\w+) as (\w+)", r"\1: \2", names) + "}"
    return f'const {bound} = $["{source}"];'


@functools.cache
def _text(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")
