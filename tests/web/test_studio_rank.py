"""Rank in a real browser: by every key, by a mouse and by a finger; ties, undo, notes; and what a reviewer makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from trueward.records import Prompt, Response
from trueward.studio.store import projects, rankings

WORDS = ["gold", "silver", "bronze", "tin"]


def fill(served: Any, n: int, overlap: int = 1, long: bool = False) -> None:
    more = "\n\n".join("More of it, and more, and more." for _ in range(40)) if long else ""

    def work(connection: Any) -> None:
        projects.create(connection, "best of", "rank", overlap=overlap, instructions="Metals by what they cost.")
        sets = [
            projects.Slate(
                Prompt(text=f"prompt {i}"), tuple(Response(id=f"{w}{i}", text=f"{w} {i}\n\n{more}".strip()) for w in WORDS)
            )
            for i in range(n)
        ]  # fmt: skip
        projects.add_slates(connection, projects.get(connection, "best of"), sets)

    served.studio.database.write(work)


def opened(served: Any, **settings: Any) -> Any:
    page = served.enter("anna", path="/rank/best%20of", **settings)
    page.locator(".ranked").first.wait_for()
    return page


def order(page: Any) -> list[str]:
    """First words of the answers, as they stand."""
    return [str(text).split()[0] for text in page.locator(".ranked .answer").all_inner_texts()]


def stored(served: Any) -> list[dict[str, int] | str]:
    """What each event says: rank by first word, or its kind."""
    made: list[dict[str, int] | str] = []
    with served.studio.database.reading() as connection:
        for event in served.events():
            answers = rankings.of_items(connection, [event.item_id])[event.item_id]
            ranks = json.loads(event.ranks) if event.ranks else []
            words = [answer.text.split()[0] for answer in answers]
            made.append(dict(zip(words, ranks, strict=True)) if ranks else event.kind)
    return made


def at(page: Any) -> int:
    return int(page.locator(".ranked.at").get_attribute("data-at"))


def go_to(page: Any, word: str) -> None:
    while (by := order(page).index(word) - at(page)) != 0:
        page.keyboard.press("ArrowRight" if by > 0 else "ArrowLeft")


def put(page: Any, wanted: list[str]) -> None:
    for place, word in enumerate(wanted, 1):
        go_to(page, word)
        page.keyboard.press(str(place))
    assert order(page) == wanted


def progress(page: Any, text: str) -> None:
    page.locator("[data-test=progress]", has_text=text).wait_for()


def test_every_key(served: Any) -> None:
    fill(served, 3)
    page = opened(served)
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("2")  # a key while help is open moves nothing
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    put(page, WORDS)
    go_to(page, "tin")
    page.keyboard.press("=")  # as good as bronze
    go_to(page, "silver")
    page.keyboard.press("Shift+ArrowRight")  # among two that are as good as each other it is one of them
    letters = page.locator("[data-test=order]").inner_text()
    assert letters.count("=") == 2
    page.keyboard.press("n")
    page.get_by_role("dialog").get_by_role("textbox").fill("1 2 3 =")
    page.keyboard.press("Control+Enter")
    page.get_by_role("dialog").wait_for(state="detached")
    page.keyboard.press("Enter")
    progress(page, "1 done · 2 left")
    # nothing was moved: once isn't enough
    before = order(page)
    page.keyboard.press("Enter")
    page.locator(".toast", has_text="Nothing was moved yet").wait_for()
    progress(page, "1 done · 2 left")
    page.keyboard.press("Enter")
    progress(page, "2 done · 1 left")
    page.keyboard.press("u")
    progress(page, "1 done · 2 left")
    assert order(page) == before
    go_to(page, "gold")
    page.keyboard.press("1")
    go_to(page, "tin")
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    page.keyboard.press("s")
    page.get_by_role("dialog", name="Why skip it?").wait_for()
    page.keyboard.press("2")
    page.locator("[data-test=finished]").wait_for()
    served.until(lambda: len(served.events()) == 5)
    events = stored(served)
    assert events[0] == {"gold": 1, "bronze": 2, "silver": 2, "tin": 2}
    assert events[1] == dict(zip(before, (1, 2, 3, 4), strict=True))
    assert events[2] == "undo"
    assert isinstance(events[3], dict)
    assert (events[3]["gold"], events[3]["tin"]) == (1, 4)
    assert events[4] == "skip"
    about = [(e.kind, e.text, e.reason, e.read) for e in served.events()]
    assert about[0] == ("rank", "1 2 3 =", None, True)
    assert about[4][2] == "The prompt makes no sense"


def drag(page: Any, word: str, to: int) -> None:
    """By the mouse, from the head of an answer's card to the middle of the card that stands at place `to`."""
    grip = page.locator(".ranked", has=page.locator(".answer", has_text=word)).locator(".grip").bounding_box()
    goal = page.locator(".ranked").nth(to - 1).bounding_box()
    page.mouse.move(grip["x"] + 40, grip["y"] + grip["height"] / 2)
    page.mouse.down()
    page.mouse.move(goal["x"] + goal["width"] / 2, goal["y"] + goal["height"] / 2, steps=5)
    page.locator(".ranked.lifted").wait_for()
    page.mouse.up()
    page.locator(".ranked.lifted").wait_for(state="detached")


def test_dragged_by_a_mouse_and_moved_by_buttons(served: Any) -> None:
    fill(served, 2)
    page = opened(served)
    for place, word in enumerate(WORDS, 1):
        if order(page)[place - 1] != word:
            drag(page, word, place)
        assert order(page)[place - 1] == word
    letter = page.locator(".ranked").nth(1).locator(".grip .letter").inner_text()
    page.get_by_role("button", name=f"{letter} one place better").click()
    assert order(page)[:2] == ["silver", "gold"]
    page.get_by_role("button", name=f"as good as {letter}").click()
    page.get_by_role("button", name="Keep the ranking").click()
    progress(page, "1 done · 1 left")
    served.until(lambda: len(served.events()) == 1)
    assert stored(served) == [{"silver": 1, "gold": 1, "bronze": 3, "tin": 4}]
    # let go outside of all answers, or given up: nothing moves
    before = order(page)
    page.mouse.move(*middle(page.locator(".ranked .grip").first))
    page.mouse.down()
    page.mouse.move(*middle(page.locator(".ranked").nth(2)))
    page.keyboard.press("Escape")
    page.mouse.up()
    assert order(page) == before


def middle(locator: Any) -> tuple[float, float]:
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_finger_on_a_phone(served: Any, check_page: Callable[[Any, str], None], scheme: str) -> None:
    fill(served, 1)
    phone = {"width": 390, "height": 844}
    page = opened(served, viewport=phone, has_touch=True, is_mobile=True, color_scheme=scheme, bypass_csp=True)
    check_page(page, "rank on a phone")
    before = order(page)
    line = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        line.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})

    start, goal = middle(page.locator(".ranked .grip").first), middle(page.locator(".ranked").nth(1))
    touch("touchStart", start)
    for step in range(1, 6):
        touch("touchMove", (start[0], start[1] + (goal[1] - start[1]) * step / 5))
    page.locator(".ranked.lifted").wait_for()
    touch("touchEnd")
    page.locator(".ranked.lifted").wait_for(state="detached")
    assert order(page)[:2] == [before[1], before[0]]
    page.get_by_role("button", name="Keep the ranking").click()
    page.locator("[data-test=finished]").wait_for()
    served.until(lambda: len(served.events()) == 1)


def test_reading_to_the_end_is_known_and_a_reload_keeps_the_prompt(served: Any) -> None:
    fill(served, 2, long=True)
    page = opened(served, viewport={"width": 1280, "height": 800})
    page.locator(".dock .below").wait_for(state="attached")
    prompt = page.locator(".prompt .verbatim").inner_text()
    shown = order(page)
    page.reload()
    page.locator(".ranked").first.wait_for()
    assert (page.locator(".prompt .verbatim").inner_text(), order(page)) == (prompt, shown)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    progress(page, "1 done · 1 left")
    for box in page.locator(".ranked .answer").all():
        box.evaluate("box => { box.scrollTop = box.scrollHeight }")
    page.locator(".dock .below").wait_for(state="detached")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.locator("[data-test=finished]").wait_for()
    served.until(lambda: len(served.events()) == 2)
    assert [event.read for event in served.events()] == [False, True]


def test_a_reviewer_decides_over_rankings(served: Any, check_page: Callable[[Any, str], None]) -> None:
    fill(served, 1, overlap=2)
    for name, wanted in (("anna", WORDS), ("ben", list(reversed(WORDS)))):
        page = served.enter(name, path="/compare/best%20of")
        page.get_by_role("link", name="Rank").click()  # a link to the wrong kind of page leads to the right one
        page.locator(".ranked").first.wait_for()
        put(page, wanted)
        page.keyboard.press("Enter")
        page.locator("[data-test=finished]").wait_for()
    served.until(lambda: len(served.events()) == 2)
    boss = served.enter("boss", "admin", "/desk/best%20of?status=split", bypass_csp=True)
    rows = boss.locator(".ballot [data-test=order]")
    rows.nth(1).wait_for()
    mine, his = (set(rows.nth(i).inner_text().split(" › ")) for i in (0, 1))
    assert mine == his == set("ABCD")
    assert rows.nth(0).inner_text().split(" › ") == rows.nth(1).inner_text().split(" › ")[::-1]
    boss.locator("summary", has_text="Decide it").click()
    boss.get_by_role("button", name="as ben").click()
    check_page(boss, "the desk of rankings")
    boss.get_by_role("button", name="Decide:").click()
    boss.locator("[data-test=decision]", has_text=rows.nth(1).inner_text()).wait_for()
    boss.goto(f"{served.address}/projects/best%20of")
    boss.get_by_role("button", name="Close round 1").click()
    boss.get_by_role("button", name="Close it").click()
    boss.locator("text=studio:best of").first.wait_for()
    (made,) = (served.studio.data / "rounds/best of").glob("*.jsonl")
    rows_made = [json.loads(row) for row in made.read_text(encoding="utf-8").splitlines()]
    assert len(rows_made) == 6
    better = {row["first" if row["probability"] else "second"]["text"] for row in rows_made}
    assert better == {"silver 0", "bronze 0", "tin 0"}  # ben's order: gold is the worst


def test_a_project_is_made_and_filled_on_its_pages(served: Any) -> None:
    boss = served.enter("boss", "admin", "/welcome")
    boss.get_by_role("button", name="Make a project").click()
    boss.get_by_label("Name").fill("metals")
    boss.get_by_label("People do what?").select_option("rank")
    boss.get_by_role("button", name="Make it").click()
    boss.locator("text=Drop a file here").wait_for()
    rows = [{"prompt": "Which metal?", "responses": WORDS}, {"prompt": "And now?", "responses": WORDS[:3]}]
    boss.get_by_label("or paste rows").fill("\n".join(json.dumps(row) for row in rows))
    boss.locator("[data-test=preview]", has_text="2 prompts with their answers, 2 of them new").wait_for()
    boss.get_by_role("button", name="Import", exact=True).click()
    boss.locator("text=2 of 2 were new").wait_for()
    boss.goto(f"{served.address}/")
    boss.get_by_role("link", name="Rank (2)").click()
    boss.locator(".ranked").first.wait_for()
    assert boss.title() == "metals · Rank · trueward studio"
