"""The pictures in docs/lab.md, made anew: `python scripts/picture_lab.py`. Needs Chromium and the extra `dev`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from trueward.lab import page

IMAGES = Path(__file__).parents[1] / "docs/images"
SIX = "BA.CA.CB.DA.DB.DC"
CLASSIC = f"preset=classic&clicks={SIX}.{SIX}&out=E&beta=0.05&path=0.05x300&sweep=1&best=D&word=hacking"
SHOWCASE = "preset=showcase&beta=0.3&path=0.3x300&sweep=1&best=A&word=hacking&revealed=1"
PICTURES = {  # name: link, what is at the top, width, height, colours
    "lab-click-light": (f"preset=classic&clicks={SIX}", "", 1200, 680, "light"),
    "lab-click-dark": (f"preset=classic&clicks={SIX}", "", 1200, 680, "dark"),
    "lab-climb-light": (SHOWCASE, "act2", 1200, 730, "light"),
    "lab-climb-dark": (SHOWCASE, "act2", 1200, 730, "dark"),
    "lab-distance-light": (CLASSIC, "bars-card", 1060, 500, "light"),
    "lab-reveal-light": (SHOWCASE, "reveal", 1200, 660, "light"),
    "lab-nano-light": ("nano=0.15", "nano", 1200, 720, "light"),
    "lab-text-light": ("", "text", 1200, 860, "light"),
    "lab-phone-click-light": (f"preset=classic&clicks={SIX}", "", 390, 844, "light"),
    "lab-phone-click-dark": (f"preset=classic&clicks={SIX}", "", 390, 844, "dark"),
    "lab-phone-climb-light": (SHOWCASE, "act2", 390, 844, "light"),
    "lab-phone-climb-dark": (SHOWCASE, "act2", 390, 844, "dark"),
}


def main() -> None:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        sys.exit("no Chromium here; install one")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "index.html"
        file.write_text(page.whole(), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        for name, (link, section, width, height, scheme) in PICTURES.items():
            shown = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
            )
            shown.goto(f"{file.as_uri()}#{link}")
            if section:
                shown.evaluate("id => document.getElementById(id).scrollIntoView()", section)
            shown.screenshot(path=IMAGES / f"{name}.png")
            print(f"{name}.png {(IMAGES / f'{name}.png').stat().st_size // 1000} kB")
            shown.close()
        browser.close()


if __name__ == "__main__":
    main()
