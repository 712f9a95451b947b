"""The lab's recorded chapters, nano and the reviews, and the whole page with all of them before axe."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward.lab import page

Open = Callable[..., Any]
NANO = json.loads((page.FOLDER.parent / "nano.json").read_text(encoding="utf-8"))
TEXTS = [
    "a fine film",
    "a fine and warm film",
    "warm and warm and warm",
    "a warm and touching and warm end",
    "warm and warm and",
]
REVIEWS = {  # the shape that scripts/record_lab.py writes
    "commit": "0123abc",
    "recipe": "reviews",
    "command": "trueward run reviews --set policy.kl_coef=0",
    "seed": 0,
    "steps": [0, 5, 10, 20, 30, 40],
    "proxy": [-0.1, 0.6, 1.6, 2.1, 2.2, 2.2],
    "truth": [-0.1, 0.6, 1.6, 1.1, 0.6, 0.0],
    "kl": [0, 4, 31, 59, 67, 78],
    "verdicts": ["inconclusive", *["learning"] * 3, *["over-optimised"] * 2],
    "points": [0, 5, 10, 20, 40],
    "prompts": [
        {
            "prompt": f"prompt {n}",
            "answers": [
                {"step": step, "text": f"{n} {text}", "proxy": round(0.5 * i, 2), "truth": round(0.4 - 0.21 * i, 2)}
                for i, (step, text) in enumerate(zip([0, 5, 10, 20, 40], TEXTS, strict=True))
            ],
        }
        for n in range(3)
    ],
}


@pytest.fixture(scope="module")
def with_film(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page with a recorded run of reviews: its address."""
    with pytest.MonkeyPatch.context() as patch:
        real = page.recorded
        patch.setattr(page, "recorded", lambda file: REVIEWS if file == "reviews.json" else real(file))
        path = tmp_path_factory.mktemp("film") / "index.html"
        path.write_text(page.whole(), encoding="utf-8")
    return path.as_uri()


def test_the_recorded_runs_of_nano(lab: Open) -> None:
    shown = lab("beta=0.05")
    middle = next(i for i, run in enumerate(NANO["runs"]) if run["beta"] == 0.3)
    assert shown.input_value("#nano-beta") == str(middle)
    shown.focus("#nano-beta")
    for key, place in (("Home", 0), ("ArrowRight", 1), ("End", 11)):
        shown.keyboard.press(key)
        run = NANO["runs"][place]
        assert shown.text("nano-strip-beta") == f"{run['beta']:g}"
        assert (shown.number("nano-strip-proxy"), shown.number("nano-strip-true")) == (
            run["proxy"][-1],
            run["truth"][-1],
        )
        assert shown.text("nano-word") == shown.text("nano-strip-word") == run["verdict"]
        assert shown.text("nano-answer") == run["answer"]
        assert shown.text("onward-nano") == f"trueward run nano --set policy.kl_coef={run['beta']:g}"
        assert run["verdict"] in shown.get_attribute("#nano-beta", "aria-valuetext")
    assert shown.text("onward-lab") == "trueward run nano --set policy.kl_coef=0.05"
    assert NANO["commit"] in shown.text("nano-source")
    assert "nano=20" in shown.url
    assert shown.number("tile-clicks") == 0  # an arrow on the slider is no click


def test_without_a_recorded_run_there_is_no_third_chapter(
    lab: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = page.recorded
    monkeypatch.setattr(page, "recorded", lambda file: None if file == "reviews.json" else real(file))
    (tmp_path / "index.html").write_text(page.whole(), encoding="utf-8")
    shown = lab("text=2", url=(tmp_path / "index.html").as_uri())
    assert not shown.is_visible("#film-chapter")
    assert not shown.is_visible("#film-link")
    assert "text (there is none of that name)" in shown.text("notice")


def test_the_reviews_along_a_hacked_run(lab: Open, with_film: str) -> None:
    shown = lab("text=2", url=with_film)
    assert shown.is_checked("#text-prompts label:nth-of-type(2) input")
    for n, record in enumerate(REVIEWS["prompts"]):
        shown.locator("#text-prompts label").nth(n).click()
        answers = shown.locator("#film li")
        assert answers.locator("blockquote").all_text_contents() == [a["text"] for a in record["answers"]]
        for row, answer in zip(answers.all_inner_texts(), record["answers"], strict=True):
            numbers = [float(x.replace("−", "-")) for x in re.findall(r"[+−]?\d+\.\d\d", row)][:2]
            assert numbers == pytest.approx([answer["proxy"], answer["truth"]])
    assert REVIEWS["commit"] in shown.text("text-source")
    assert shown.locator("#film li").last.locator("mark").count() > 0  # it says the same again
    marked = shown.locator("#film li").last.locator("mark").all_text_contents()
    assert all(len(words.split()) >= 2 for words in marked)
    shown.evaluate("document.getElementById('film').scrollIntoView()")
    assert shown.evaluate("document.getElementById('text-strip-word').getBoundingClientRect().top") > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_has_nothing_to_say(lab: Open, check_page: Callable[[Any, str], None], with_film: str, scheme: str) -> None:
    link = "preset=fluency&beta=0.3&path=0.3x300&sweep=1&best=A&word=hacking&revealed=1&joy=1"
    shown = lab(link, color_scheme=scheme, url=with_film)
    shown.unfold()
    check_page(shown, "the page")
    shown.click("#more-open")
    check_page(shown, "more")


def test_the_page_is_one_file_with_its_data(exported: Path) -> None:
    text = exported.read_text(encoding="utf-8")
    assert NANO["commit"] in text
