"""Compare in a real browser: whole sittings by keys and by clicks, two people at once, lost lines, hostile answers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from trueward.records import Prompt
from trueward.studio.store import projects

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> \u202egnitseretni\u2066"
)


def fill(served: Any, pairs: list[tuple[str, str, str]], overlap: int = 1) -> None:
    def work(connection: Any) -> None:
        projects.create(connection, "p", overlap=overlap, instructions="Prefer the shorter one.")
        made = [projects.pair(Prompt(text=p), (a, b), ("model-one", "model-two"), (True, True)) for p, a, b in pairs]
        projects.add_pairs(connection, projects.get(connection, "p"), made)

    served.studio.database.write(work)


def many(n: int) -> list[tuple[str, str, str]]:
    return [(f"prompt {i}", f"one {i}", f"two {i}") for i in range(n)]


def sides(page: Any) -> tuple[str, str]:
    answers = page.locator(".answer .verbatim")
    return answers.nth(0).inner_text(), answers.nth(1).inner_text()


def shown(page: Any) -> str:
    return str(page.locator(".prompt .verbatim").inner_text())


def press(page: Any, key: str) -> None:
    """A key, once there is a pair to judge and nothing is open."""
    page.locator(".answer").first.wait_for()
    page.locator("dialog").wait_for(state="detached")
    page.keyboard.press(key)


def settled(page: Any) -> None:
    """All clicks have arrived."""
    page.wait_for_function(
        "() => Object.keys(localStorage).every(k => !k.startsWith('outbox') || localStorage[k] === '[]')"
    )


def progress(page: Any, text: str) -> None:
    page.locator("[data-test=progress]", has_text=text).wait_for()


def test_two_people_at_once_one_by_keys_and_one_by_clicks(served: Any) -> None:
    """12 pairs for both; Anna always prefers the answers `one`, Ben calls the first six a tie."""
    fill(served, many(12), overlap=2)
    anna = served.enter("anna", path="/compare/p")
    ben = served.enter("ben", path="/compare/p")
    seen = []
    for i in range(12):
        for page, by_key in ((anna, True), (ben, False)):
            page.locator(".answer").first.wait_for()
            prompt = shown(page)
            left = sides(page)[0].startswith("one")
            if by_key:
                seen.append(prompt)
                page.keyboard.press("1" if left else "7")
            elif i < 6:
                page.get_by_role("button", name="Tie").click()
            else:
                page.get_by_role("button", name="A slightly" if left else "B slightly").click()
            if i < 11:
                page.wait_for_function(
                    "old => document.querySelector('.prompt .verbatim').textContent !== old", arg=prompt
                )
    for page in (anna, ben):
        page.locator("[data-test=finished]").wait_for()
        settled(page)
    votes = served.votes()
    assert Counter(v.name for v in votes) == {"anna": 12, "ben": 12}
    assert len(set(seen)) == 12
    by = {name: [v for v in votes if v.name == name] for name in ("anna", "ben")}
    assert {(v.kind, v.chosen_id == v.first_id, v.strength) for v in by["anna"]} == {("win", True, 3)}
    assert Counter((v.kind, v.strength) for v in by["ben"]) == {("tie", None): 6, ("win", 1): 6}
    assert all(v.chosen_id == v.first_id for v in by["ben"] if v.kind == "win")
    assert all(0 <= v.seconds < 60 for v in votes)


def test_every_key(served: Any) -> None:
    fill(served, many(8))
    page = served.enter("anna", path="/compare/p")
    page.locator(".answer").first.wait_for()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("2")  # a key while help is open is no vote
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    press(page, "ArrowLeft")
    press(page, "ArrowRight")
    press(page, "t")
    press(page, "g")
    press(page, "3")
    press(page, "n")
    page.get_by_role("dialog").get_by_role("textbox").fill("too long, 1 2 3")
    page.keyboard.press("Control+Enter")
    press(page, "b")
    press(page, "5")
    press(page, "s")
    page.get_by_role("dialog", name="Why skip it?").wait_for()
    page.keyboard.press("2")
    progress(page, "6 done · 2 left")
    page.keyboard.press("u")  # the skip
    progress(page, "5 done · 3 left")
    page.keyboard.press("u")  # the note
    progress(page, "4 done · 4 left")
    press(page, "6")
    progress(page, "5 done · 3 left")
    settled(page)
    events = [(e.kind, e.strength, e.both, e.text, e.reason) for e in served.events()]
    assert events == [
        ("win", 2, None, None, None),
        ("win", 2, None, None, None),
        ("tie", None, None, None, None),
        ("win", 1, "good", None, None),
        ("win", 1, "bad", "too long, 1 2 3", None),
        ("skip", None, None, None, "The prompt makes no sense"),
        ("undo", None, None, None, None),
        ("undo", None, None, None, None),
        ("win", 2, None, None, None),
    ]
    chosen = [v.chosen_id == v.first_id for v in served.votes()]
    assert len(chosen) == 5


def test_a_reload_in_the_middle_shows_the_same_pair_and_can_undo(served: Any) -> None:
    fill(served, many(5))
    page = served.enter("anna", path="/compare/p")
    for done in (1, 2):
        page.locator(".answer").first.wait_for()
        second = shown(page)
        page.keyboard.press("4")
        progress(page, f"{done} done · {5 - done} left")
    settled(page)
    before = (shown(page), sides(page))
    page.reload()
    page.locator(".answer").first.wait_for()
    assert (shown(page), sides(page)) == before
    progress(page, "2 done · 3 left")
    page.keyboard.press("u")
    progress(page, "1 done · 4 left")
    assert shown(page) == second
    assert [e.kind for e in served.events()] == ["tie", "tie", "undo"]


def test_a_lost_line_loses_no_click(served: Any) -> None:
    """The pairs that are there already can be judged; the clicks survive a reload and are sent when the line is back."""
    fill(served, many(10))
    page = served.enter("anna", path="/compare/p")
    page.locator(".answer").first.wait_for()
    page.wait_for_timeout(300)  # the next pairs are there by now
    page.context.set_offline(True)
    for _ in range(3):
        page.locator(".answer").first.wait_for()
        page.keyboard.press("1")
    page.locator(".chip", has_text="3 to send").wait_for()
    assert served.events() == []
    page.context.set_offline(False)
    page.reload()
    served.until(lambda: len(served.votes()) == 3)
    progress(page, "3 done · 7 left")
    settled(page)
    assert len(served.events()) == 3


def test_a_click_that_arrived_unheard_is_sent_again_and_stored_once(served: Any) -> None:
    fill(served, many(3))
    page = served.enter("anna", path="/compare/p")
    page.locator(".answer").first.wait_for()
    page.evaluate(
        """() => {
          const real = window.fetch;
          window.lost = 0;
          window.fetch = async (path, options) => {
            const reply = await real(path, options);
            if (path !== "/api/answers" || window.lost++) return reply;
            throw new TypeError("the studio has it; the page never hears of it");
          };
        }"""
    )
    page.keyboard.press("2")
    served.until(lambda: page.evaluate("window.lost") > 1)
    settled(page)
    assert len(served.events()) == 1
    assert sum(url.endswith("/api/answers") for url in served.as_json) == 2


@pytest.mark.parametrize("differences", [False, True])
def test_hostile_answers_stay_text(served: Any, differences: bool) -> None:
    fill(served, [(HOSTILE, HOSTILE, f"{HOSTILE} or not")])
    page = served.enter("anna", path="/compare/p")
    page.locator(".answer").first.wait_for()
    if differences:
        page.keyboard.press("d")
        page.locator("mark").first.wait_for()
    page.wait_for_timeout(200)
    assert page.title() == "p · Compare · trueward studio"
    assert page.locator("main img, main script").count() == 0
    for text in (shown(page), *sides(page)):
        assert "<img src=x onerror=" in text
        assert "U+202E" in text
        assert "\u202e" not in text
    assert page.evaluate("new Range().createContextualFragment.length >= 0")
    refused = page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; return false } catch { return true } }"
    )
    assert refused  # Trusted Types are in force
    served.said[:] = [line for line in served.said if "TrustedHTML" not in line]  # of this very attempt


def test_the_page_of_an_annotator_knows_no_writer(served: Any) -> None:
    fill(served, many(3))
    page = served.enter("anna")
    bodies: list[str] = []
    page.on("response", lambda reply: bodies.append(reply.text()) if "/api/" in reply.url else None)
    page.goto(f"{served.address}/compare/p")
    page.locator(".answer").first.wait_for()
    page.keyboard.press("1")
    settled(page)
    assert bodies
    assert not any("model-" in body for body in bodies)
    assert page.get_by_role("link", name="Runs").count() == 0
