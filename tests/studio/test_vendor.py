"""The pages' third-party code is what its lock file gives, to the byte."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import trueward.studio

ROOT = Path(__file__).parents[2]
PAGE = Path(trueward.studio.__file__).parent / "page"
VENDOR = ROOT / "scripts" / "vendor"
VENDORED = ("vendor.js", "vendor-chart.js", "vendor-markdown.js", "vendor-math.js", "vendor-code.js")
UNREACHED = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "ECONNRESET")


def test_it_is_what_the_lock_file_gives(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("no npm here, which fetches the packages of scripts/vendor/package-lock.json")
    made = subprocess.run(
        ["sh", str(VENDOR / "build.sh"), str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    if made.returncode and any(code in made.stderr for code in UNREACHED):
        pytest.skip(f"npm reaches no registry here: {made.stderr[:200]}")
    assert made.returncode == 0, made.stderr
    for name in (*VENDORED, "vendor.css", "vendor.txt"):
        assert (tmp_path / name).read_bytes() == (PAGE / name).read_bytes(), f"{name}: run scripts/vendor/build.sh"


def test_versions_are_exact_and_licences_are_told() -> None:
    wanted = json.loads((VENDOR / "package.json").read_text())
    locked = json.loads((VENDOR / "package-lock.json").read_text())["packages"]
    licences = (PAGE / "vendor.txt").read_text()
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert locked[f"node_modules/{name}"]["version"] == version
    for name, version in wanted["dependencies"].items():
        assert f"== {name} {version}\n" in licences


def test_our_own_modules_import_nothing_from_elsewhere() -> None:
    for path in PAGE.glob("*.js"):
        if path.name in VENDORED:
            continue
        text = path.read_text(encoding="utf-8")
        for source in re.findall(r'\b(?:from\s+|import\()"([^"]+)"', text):
            assert source.startswith("./"), path.name
            assert (PAGE / source).is_file(), f"{path.name} imports {source}"
        for word in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "dangerouslySet"):
            assert word not in text, f"{path.name}: {word}"
        assert not re.search(r"https?://(?!www\.w3\.org)", text), path.name
