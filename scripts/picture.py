"""A picture of a part of a page, for the docs: python scripts/picture.py runs/…/sweep.html "svg.chart" docs/images/sweep.png"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("selector", help="the first element that it finds")
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=920, help="of the window, in pixels")
    asked = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as play:
        shown = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = shown.new_page(viewport={"width": asked.width, "height": 900}, color_scheme="light")
        page.goto(asked.page.resolve().as_uri())
        page.locator(asked.selector).first.screenshot(path=asked.out)
        shown.close()


if __name__ == "__main__":
    main()
