"""The lab as a story: what is in view when, sentences bound to pictures, and nothing lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from trueward.lab import presets, tilt
from trueward.lab.sitting import sit

Open = Callable[..., Any]
IN_VIEW = """(ids) => ids.filter((id) => { const r = document.getElementById(id).getBoundingClientRect();
  return !(r.height > 0 && r.top >= 0 && r.bottom <= innerHeight && r.left >= 0 && r.right <= innerWidth); })"""


def test_what_is_in_view_on_a_desk(lab: Open) -> None:
    shown = lab("preset=showcase&beta=0.3&path=0.3x300", width=1280)
    shown.set_viewport_size({"width": 1280, "height": 720})
    assert shown.evaluate(IN_VIEW, ["left", "right", "scores", "undo", "strip-beta", "strip-word"]) == []
    shown.evaluate("document.getElementById('act2').scrollIntoView()")
    seen = ["promise", "beta", "play", "tile-proxy", "tile-true", "verdict", "because", "prose", "strip-beta"]
    assert shown.evaluate(IN_VIEW, seen) == []


def test_what_is_in_view_on_a_phone(lab: Open) -> None:
    shown = lab(width=390)
    shown.set_viewport_size({"width": 390, "height": 844})
    assert shown.evaluate(IN_VIEW, ["left", "right", "tie"]) == []
    strip = ["strip-beta", "strip-proxy", "strip-true", "strip-word"]
    assert shown.evaluate(IN_VIEW, strip) == []
    assert shown.evaluate("document.getElementById('beta').getBoundingClientRect().top") < 2 * 844
    shown.evaluate("document.getElementById('bars-card').scrollIntoView()")
    assert shown.evaluate(IN_VIEW, strip) == []
    shown.click("#strip-beta")  # from anywhere to the slider
    assert shown.evaluate("document.activeElement.id") == "beta"
    assert shown.evaluate(IN_VIEW, ["promise", "beta", *strip]) == []
    shown.evaluate("document.getElementById('nano-chart').scrollIntoView()")
    assert shown.evaluate(IN_VIEW, ["nano-strip-beta", "nano-strip-true", "nano-strip-word"]) == []


def drag(shown: Any, log_beta: float) -> None:
    shown.evaluate(
        "(v) => { const s = document.querySelector('#beta'); s.value = v; s.dispatchEvent(new Event('input')); }",
        log_beta,
    )


def test_the_marker_and_the_sentence_follow_the_slider(lab: Open) -> None:
    shown = lab("preset=showcase&beta=0.3")
    proxy, preset = sit("showcase").proxy, presets.preset("showcase")
    for log_beta in (0, 1.2, -0.52):
        drag(shown, log_beta)
        beta = float(f"{10**log_beta:.3g}")
        ends = tilt.optimum(proxy, preset.truths, preset.reference, beta)
        drawn = shown.evaluate(
            "[...document.querySelectorAll('#promise text.name')].map((e) => e.textContent).join(';')"
        )
        assert drawn.replace("−", "-") == f"proxy {ends.proxy:.3f}"
        said = shown.text("prose").replace("−", "-")
        assert f"β = {beta:g} " in said
        assert f"{ends.kl:.2f} nats" in said
        assert f"promises {ends.proxy:.3f}." in said
        assert "shows when it has run" in said  # what it is worth isn't told before
        thumb, marker = shown.evaluate(
            """() => { const s = document.querySelector('#beta'), r = s.getBoundingClientRect();
            const m = document.querySelector('#promise .cursor').getBoundingClientRect();
            return [r.left + 11 + (r.width - 22) * (Number(s.value) + 2) / 4, m.left + m.width / 2]; }"""
        )
        assert thumb == pytest.approx(marker, abs=1.5)  # the slider is the picture's axis
    shown.click("#play")
    drag(shown, 0)
    ends = tilt.optimum(proxy, preset.truths, preset.reference, 1)
    assert f"worth {ends.true:.3f}, +{ends.true - 0.209:.3f} against SFT" in shown.text("prose")
    assert f"true {ends.true:.3f}" in shown.get_attribute("#promise svg", "aria-label")
    assert shown.number("tile-step") == 300  # the run stays as it is
    assert shown.text("strip-word") == shown.text("verdict") == "hacking"


def clicks_of(shown: Any) -> str:
    return str(shown.evaluate("trueward.writeClicks(trueward.state().clicks)"))


def test_no_mission_and_no_preset_destroys_clicks(lab: Open) -> None:
    shown = lab()
    for act in ("#left", "#right", "#tie"):
        shown.click(act)
    shown.click("#play")
    mine, path = clicks_of(shown), shown.evaluate("trueward.state().path")

    def everything_is_back() -> None:
        shown.until(f"trueward.writeClicks(trueward.state().clicks) === '{mine}'")
        assert shown.evaluate("trueward.state().path") == path
        assert shown.evaluate("trueward.state().preset") == "classic"

    def one_mission() -> None:
        shown.click("#more-open")
        shown.locator("#mission-list a").nth(3).click()

    one_mission()
    assert shown.evaluate("trueward.state().preset") == "showcase"
    assert "3 clicks and the run are kept" in shown.text("notice")
    shown.click("#undo")
    everything_is_back()
    assert shown.text("last-click").startswith("Undone.")
    one_mission()
    shown.click("#left")  # a click of its own is undone first
    given = clicks_of(shown)
    shown.click("#undo")
    assert clicks_of(shown) == given.rpartition(".")[0]
    shown.go_back()
    everything_is_back()
    shown.go_forward()
    shown.until("trueward.state().preset === 'showcase'")
    shown.go_back()
    everything_is_back()
    shown.click("#more-open")
    shown.locator("#presets label", has_text="Noisy").click()
    shown.keyboard.press("Escape")
    shown.click("#undo")
    everything_is_back()
    shown.click("#annotate")
    assert shown.number("tile-clicks") == 15
    shown.click("#undo")
    everything_is_back()
    shown.unfold()
    shown.click("#clear")
    assert shown.number("tile-clicks") == 0
    shown.keyboard.press("u")
    everything_is_back()


@pytest.mark.parametrize(
    ("link", "said"),
    [
        (
            "preset=__proto__&beta=nan&lr=9&clicks=AA.BA.%3Cb%3Ecall%20me&out=AZ&path=1x5_x&best=Q&revealed=1&nano=7&joy=1",
            [
                "preset (there is none of that name; this is Classic)",
                "rate of a click beyond 5",
                "β (expected a number)",
                "2 clicks (expected two different letters up to E)",
                "out (a letter that no answer has)",
                "1 stretch of the run",
                "best (there is none of that name)",
                "revealed (the reveal waits for both guesses)",
                "nano (there is none of that name)",
                "1 part with a name that no setting has",
            ],
        ),
        ("preset=showcase&beta=1&clicks=BA.C=A&nano=0.3&path=1x20_2x5", []),
        ("", []),
    ],
)
def test_a_broken_link_says_what_it_lost(lab: Open, link: str, said: list[str]) -> None:
    shown = lab(link)
    assert all(phrase in shown.text("notice") for phrase in said), shown.text("notice")
    assert ("Left out" in shown.text("notice")) == bool(said)
    assert shown.text("notice").count(";") == max(0, len(said) - 1) + ("none of that name; this" in " ".join(said))
    assert "call" not in shown.text("notice")  # nobody else's words
    assert shown.get_attribute("#notice", "role") == "status"


def test_focus_stands_on_a_heading_not_round_the_page(lab: Open) -> None:
    shown = lab()
    shown.keyboard.press("Tab")
    shown.keyboard.press("Enter")
    assert shown.evaluate("[document.activeElement.tagName, document.activeElement.id]") == ["H2", "h-act1"]
    assert shown.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "none"
    assert "underline" in shown.evaluate("getComputedStyle(document.activeElement).textDecorationLine")


def test_two_traps_and_two_jobs(lab: Open) -> None:
    shown = lab("preset=fluency&beta=0.7")
    assert "Here that is D: 6 % under SFT, 36 % at the end of β = 0.7." in shown.text("job-region")
    assert "Here that is E: 1 % under SFT, 10 % at the end of β = 0.7." in shown.text("job-fluent")
    assert not shown.is_visible("#jobs-link")
    shown.fill("#beta-number", "0.15")
    shown.press("#beta-number", "Enter")
    assert "69 % at the end of β = 0.15." in shown.text("job-fluent")
    assert shown.input_value("#steps") == "3000"
    shown.click("#play")
    assert shown.number("tile-true") == pytest.approx(sit("fluency", [(0.15, 3000)]).run.history[-1].true, abs=6e-4)
    classic = lab()
    assert "Here nothing was compared yet." in classic.text("job-region")
    assert classic.text("job-fluent") == ""
    classic.click("#jobs-link")
    assert classic.evaluate("trueward.state().preset") == "fluency"


def test_what_was_lost_is_a_share_or_a_reward(lab: Open) -> None:
    shown = lab("preset=showcase&beta=0.3&path=0.3x300")
    now = shown.locator("#rules tr", has_text="over-optimised").locator("td").nth(1).text_content()
    assert re.fullmatch(r"gain 0\.374, lost all of it, and 1\.414 more", now)
    shown = lab("preset=showcase&beta=1&path=1x3000")
    assert re.search(r"lost 51 % of it", shown.text("rules"))
    assert shown.locator("#traces text", has_text="step (log)").count() == 1


def test_the_studio_is_linked_where_it_serves_the_page(lab: Open, address: str) -> None:
    shown = lab(url=address)
    assert not shown.is_visible("#studio")
    assert shown.get_attribute("#studio", "href") == "../"
