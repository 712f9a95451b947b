"""Sittings in the lab's page: clicks, the reveal, runs, keys alone, and links that hold all of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward.lab import clicks, page, presets
from trueward.lab.sitting import sit

CLASSIC = "BA.CA.CB.DA.DB.DC.BA.CA.CB.DA.DB.DC"
Open = Callable[..., Any]


def test_predict_then_reveal(lab: Open) -> None:
    shown = lab(f"preset=classic&clicks={CLASSIC}&out=E&beta=1&path=1x300")
    assert shown.locator("#revealed *").count() == 0
    assert shown.is_disabled("#reveal-button")
    shown.locator("#guess-best label", has_text="D").click()
    assert shown.is_disabled("#reveal-button")
    shown.locator("#guess-word label", has_text="learning").click()
    shown.click("#reveal-button")
    assert shown.locator("#revealed-rows td.truth").all_text_contents() == ["0.95", "0.70", "0.55", "0.45", "0.20"]
    assert shown.text("reveal-note") == "D is the best, as you said. And it was learning, as you said."
    assert "D: score 1.10, true 0.95" in shown.get_attribute("#revealed-chart svg", "aria-label")
    shown.click("#reveal-button")
    assert shown.locator("#revealed *").count() == 0


def with_truths(monkeypatch: pytest.MonkeyPatch, path: Path, truths: list[float]) -> str:
    """The page of a lab with other true rewards; its address."""
    tables = presets.tables()
    tables["classic"]["truths"] = truths
    monkeypatch.setattr(presets, "tables", lambda: tables)
    path.write_text(page.whole(), encoding="utf-8")
    return path.as_uri()


OPEN = "document.querySelectorAll('details').forEach((d) => { d.open = true; })"
SOURCE = """(without) => { const copy = document.documentElement.cloneNode(true);
  for (const part of copy.querySelectorAll(without)) part.remove();
  copy.querySelector('meta[http-equiv]').remove(); return copy.outerHTML; }"""


def test_before_the_reveal_the_page_is_the_same_whoever_is_best(
    lab: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The true rewards change places: with the averages the same, no text and no attribute differs but the slope's."""
    pages = []
    for n, truths in enumerate([[0.2, 0.45, 0.7, 0.95, 0.55], [0.95, 0.2, 0.55, 0.45, 0.7]]):
        url = with_truths(monkeypatch, tmp_path / f"{n}.html", truths)
        shown = lab(f"preset=classic&clicks={CLASSIC}&best=D&word=hacking", url=url)
        shown.evaluate(OPEN)
        shown.wait_for_timeout(50)
        pages.append(shown)
    one, other = (shown.evaluate(SOURCE, "#slope *, #slope-note") for shown in pages)
    assert one == other
    assert pages[0].locator("script").count() == 0  # a script's own text would hold them
    for shown in pages:
        shown.click("#reveal-button")
    one, other = (shown.evaluate(SOURCE, "#slope *, #slope-note") for shown in pages)
    assert one != other


def test_no_true_reward_is_written_while_a_run_shows_its_averages(
    lab: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    truths = [0.2137, 0.4691, 0.7149, 0.9321, 0.5268]
    url = with_truths(monkeypatch, tmp_path / "odd.html", truths)
    shown = lab(f"preset=classic&clicks={CLASSIC}&beta=1&path=1x40&sweep=1&best=D&word=hacking", url=url)
    shown.evaluate(OPEN)
    shown.wait_for_timeout(50)
    source = shown.evaluate(SOURCE, "nothing")
    written = [text for t in truths for text in (f"{t:.3f}", f"{t:.4f}", f"{t:.3f}"[1:]) if text in source]
    assert written == []
    shown.click("#reveal-button")
    assert all(f"{t:.2f}" in shown.text("revealed-rows") for t in truths)


def test_a_link_may_not_reveal_without_both_guesses(lab: Open) -> None:
    shown = lab("preset=classic&revealed=1&best=D")
    assert shown.locator("#revealed *").count() == 0


def test_clicks_ties_undo_and_the_log(lab: Open) -> None:
    shown = lab()
    pairs = []
    for act in ("#left", "#right", "#tie", "#left"):
        pairs.append((shown.text("left-letter"), shown.text("right-letter")))
        shown.click(act)
    said = (
        f"{pairs[0][0]}{pairs[0][1]}.{pairs[1][1]}{pairs[1][0]}.{pairs[2][0]}={pairs[2][1]}.{pairs[3][0]}{pairs[3][1]}"
    )
    assert shown.evaluate("trueward.writeClicks(trueward.state().clicks)") == said
    model, losses = clicks.trained(clicks.parse(said), 5)
    assert shown.evaluate("trueward.view().model.scores") == pytest.approx(list(model.scores), abs=1e-12)
    shown.click("#clicks-box summary")
    shown_losses = [float(cell) for cell in shown.locator("#log td:nth-child(3)").all_text_contents()]
    assert shown_losses[::-1] == pytest.approx(losses, abs=6e-4)
    assert shown.number("tile-clicks") == 4
    for pair in reversed(pairs):  # the same pair comes back, on the same sides
        shown.click("#undo")
        assert (shown.text("left-letter"), shown.text("right-letter")) == pair
    assert shown.is_disabled("#undo")
    assert shown.text("last-click").startswith("Undone. No clicks so far")


def test_another_pair_is_another_pair(lab: Open) -> None:
    shown = lab()
    for n in range(12):
        pair = {shown.text("left-letter"), shown.text("right-letter")}
        shown.click("#another")
        assert {shown.text("left-letter"), shown.text("right-letter")} != pair, n
    assert shown.number("tile-clicks") == 0
    shown = lab("clicks=AB.AC.AD.AE.BC.BD.BE.CD.CE")  # only D and E are left: there is no other
    shown.click("#another")
    assert {shown.text("left-letter"), shown.text("right-letter")} == {"D", "E"}


def test_the_callouts(lab: Open) -> None:
    shown = lab(f"preset=classic&clicks={CLASSIC}&beta=0.3&path=0.3x300")
    shown.unfold()
    before = shown.evaluate("trueward.view().pi")
    proxy = shown.number("tile-proxy")
    chance = re.search(r"= (0\.\d{3})\.", shown.text("shift-note"))
    shown.click("#shift")
    assert chance
    assert f"= {chance[1]}." in shown.text("shift-note")
    assert shown.evaluate("trueward.view().pi") == pytest.approx(before, abs=1e-12)
    assert shown.number("tile-proxy") == pytest.approx(proxy + 1, abs=1.1e-3)
    assert "Never compared: E." in shown.text("known-note")
    moves = [float(m) for m in re.findall(r"\d\.\d{3}", shown.get_attribute("#settled svg", "aria-label"))]
    assert moves == sorted(moves, reverse=True)
    assert "moves them by 0.250" in shown.text("settled-note")


def test_who_is_left_out_is_not_asked_about(lab: Open) -> None:
    shown = lab()
    shown.unfold()
    shown.locator("#leave-out label", has_text="E").click()
    for _ in range(12):
        assert "E" not in (shown.text("left-letter"), shown.text("right-letter"))
        shown.click("#left")
    assert "Never compared: E." in shown.text("known-note")


def test_changing_beta_while_it_runs_goes_on(lab: Open) -> None:
    shown = lab("preset=showcase&beta=0.3&steps=300", still=False)
    shown.click("#play")
    assert shown.text("play") == "Pause"
    shown.until("trueward.view().run.history.length > 8")
    shown.fill("#beta-number", "3")
    shown.press("#beta-number", "Enter")
    shown.until("trueward.state().path.length === 2")
    shown.click("#play")  # pause
    assert shown.text("play") == "Go on"
    path = shown.evaluate("trueward.state().path")
    assert [beta for beta, _ in path] == [0.3, 3]
    found = sit("showcase", [(beta, steps) for beta, steps in path])
    assert shown.evaluate("trueward.view().pi") == pytest.approx(found.run.policy, abs=1e-9)
    assert shown.text("verdict") == found.verdict.word
    shown.click("#step")
    assert shown.number("tile-step") == sum(steps for _, steps in path) + 1
    shown.click("#play")
    shown.until(f"trueward.view().run.history.length > {sum(steps for _, steps in path) + 3}")
    shown.click("#play")
    shown.click("#reset")
    assert (shown.number("tile-step"), shown.text("verdict")) == (0, "not run yet")


def test_a_run_plays_to_its_end_by_itself(lab: Open) -> None:
    shown = lab("preset=showcase&beta=1", still=False)
    shown.click("#play")
    assert shown.text("verdict") == "running …"
    shown.until("document.querySelector('#play').textContent === 'Go on'")
    assert shown.text("verdict") == "over-optimised"
    assert shown.number("tile-step") == 300
    assert "path=1x300" in shown.url


def test_a_whole_sitting_by_keys_alone(lab: Open) -> None:
    """From the top of the page to the reveal without a mouse; and the focus can be seen."""
    shown = lab()
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.className") == "skip"
    shown.keyboard.press("Enter")
    for key in ("1", "2", "t", "ArrowLeft", "n", "ArrowRight", "u", "1"):
        shown.keyboard.press(key)
    assert shown.number("tile-clicks") == 5
    tab_to(shown, "left")
    shown.keyboard.press("Enter")
    assert shown.number("tile-clicks") == 6
    tab_to(shown, "guess-best", "name")
    shown.keyboard.press("Space")
    shown.keyboard.press("ArrowRight")
    tab_to(shown, "guess-word", "name")
    shown.keyboard.press("Space")
    tab_to(shown, "beta")
    before = number_of(shown, "beta")
    shown.keyboard.press("ArrowLeft")
    assert number_of(shown, "beta") == pytest.approx(before - 0.01)
    assert shown.get_attribute("#beta", "aria-valuetext") == "β = 0.295"
    assert shown.number("tile-clicks") == 6  # an arrow on the slider is no click
    shown.keyboard.press("Home")
    assert shown.get_attribute("#beta", "aria-valuetext") == "β = 0.01"
    tab_to(shown, "play")
    assert shown.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    shown.keyboard.press("Space")
    assert shown.number("tile-step") == 300
    shown.keyboard.press(".")
    assert shown.number("tile-step") == 301
    tab_to(shown, "reveal-button")
    shown.keyboard.press("Enter")
    assert shown.locator("#revealed-rows tr").count() == 5
    shown.keyboard.press("r")
    shown.keyboard.press("b")
    assert shown.evaluate("document.activeElement.id") == "beta"
    assert shown.number("tile-step") == 0


def tab_to(shown: Any, wanted: str, by: str = "id") -> None:
    for _ in range(80):
        if shown.evaluate(f"document.activeElement.{by}") == wanted:
            return
        shown.keyboard.press("Tab")
    raise AssertionError(f"Tab never came to {wanted}")


def number_of(shown: Any, id: str) -> float:
    return float(shown.input_value(f"#{id}"))


def test_single_keys_can_be_switched_off_and_do_not_type(lab: Open) -> None:
    shown = lab()
    shown.focus("#steps")
    shown.keyboard.press("1")
    shown.keyboard.press("t")
    assert shown.number("tile-clicks") == 0
    shown.evaluate("document.activeElement.blur()")
    shown.keyboard.press("Control+u")
    shown.keyboard.press("t")
    assert shown.number("tile-clicks") == 1
    shown.click("#more-open")
    shown.uncheck("#keys-on")
    shown.keyboard.press("Escape")
    shown.evaluate("document.activeElement.blur()")
    shown.keyboard.press("t")
    assert shown.number("tile-clicks") == 1


def test_all_state_is_in_the_address(lab: Open) -> None:
    shown = lab("preset=showcase&seed=9")
    shown.unfold()
    shown.fill("#lr", "0.7")
    shown.press("#lr", "Enter")
    shown.check("#blind-on")
    shown.fill("#blind", "2.5")
    shown.press("#blind", "Tab")
    shown.click("#clear")
    shown.locator("#leave-out label", has_text="D").click()
    for act in ("#left", "#another", "#right", "#tie"):
        shown.click(act)
    shown.fill("#beta-number", "0.123")
    shown.press("#beta-number", "Enter")
    shown.fill("#steps", "50")
    shown.press("#steps", "Enter")
    for act in ("#play", "#shift", "#sweep"):
        shown.click(act)
    shown.locator("#guess-best label", has_text="B").click()
    shown.locator("#guess-word label", has_text="pinned").click()
    shown.click("#reveal-button")
    shown.fill("#nano-beta", "3")
    state = shown.evaluate("trueward.state()")
    assert (state["lr"], state["skipped"] > 0, state["leftOut"]) == (0.7, True, [3])
    assert (state["blind"], state["steps"], state["path"]) == (2.5, 50, [[0.123, 50]])
    assert state["nano"] == 3
    again = lab(shown.url.partition("#")[2])
    again.unfold()
    assert again.evaluate("trueward.state()") == state
    assert again.evaluate("trueward.view().pi") == shown.evaluate("trueward.view().pi")
    same = "document.querySelector('main').textContent"
    assert again.evaluate(same) == shown.evaluate(same)
    assert again.url == shown.url
    # and a link that is followed inside of the open page does the same
    again.evaluate("location.hash = 'preset=always-e&seed=2'")
    again.until("trueward.state().preset === 'always-e'")
    again.evaluate(f"location.hash = {json.dumps(shown.url.partition('#')[2])}")
    again.until("trueward.state().preset === 'showcase'")
    assert again.evaluate("trueward.state()") == state


@pytest.mark.parametrize(
    "link",
    [
        "preset=__proto__&seed=-4&beta=nan&lr=1e999&blind=x&steps=0&skipped=2.5&path=0x5_1x-3_ax2_1e9x1e9&best=Z&word=toString",
        "clicks=" + "<img src=x onerror=document.title='owned'>".replace(" ", "%20"),
        "clicks=AA.AF.B.BA%2C.__.=&out=ABCDE&path=_x_&revealed=1&%zz",
        "act1",
    ],
)
def test_a_link_that_makes_no_sense(lab: Open, link: str) -> None:
    shown = lab(link)
    assert shown.evaluate("trueward.state().preset") == "classic"
    shown.click("#left")
    shown.click("#play")
    assert shown.title() != "owned"
    assert math.isfinite(shown.number("tile-proxy"))


def test_places_on_the_page_keep_the_state(lab: Open) -> None:
    shown = lab("preset=showcase&beta=1")
    url = shown.url
    shown.click("nav a:has-text('A real run')")
    assert shown.evaluate("document.activeElement.id") == "h-nano"
    assert shown.url == url


def test_noise_is_the_seeds_own(lab: Open) -> None:
    shown = lab("preset=noisy&seed=1")
    first = shown.evaluate("trueward.writeClicks(trueward.state().clicks)")
    shown.click("#more-open")
    shown.fill("#seed", "2")
    shown.press("#seed", "Enter")
    second = shown.evaluate("trueward.writeClicks(trueward.state().clicks)")
    assert first != second
    said = [f"{'ABCDE'[c.winner]}{'ABCDE'[c.loser]}" for c in presets.preset("noisy").annotated(2)]
    assert second == ".".join(said)
    assert "clicks=" not in shown.url  # they follow from the seed
