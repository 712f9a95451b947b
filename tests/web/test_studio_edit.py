"""An answer made better in the page: kept as a demonstration and as a comparison, with a draft for each side."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from trueward.records import Prompt
from trueward.studio.store import projects


def fill(served: Any) -> None:
    def work(connection: Any) -> None:
        projects.create(connection, "p")
        made = [projects.pair(Prompt(text=f"q{i}"), (f"one {i}", f"two {i}"), ("", ""), (True, True)) for i in range(2)]
        projects.add_pairs(connection, projects.get(connection, "p"), made)

    served.studio.database.write(work)


def test_answers_edited_into_better_ones(served: Any, check_page: Callable[[Any, str], None]) -> None:
    fill(served)
    page = served.enter("anna", path="/compare/p", bypass_csp=True)
    page.locator(".answer").first.wait_for()
    left, right = (page.locator(".answer .verbatim").nth(i).inner_text() for i in (0, 1))
    page.keyboard.press("e")
    dialog = page.get_by_role("dialog", name="Make an answer better")
    box, keep = dialog.get_by_role("textbox"), dialog.get_by_role("button", name="Keep it")
    assert box.input_value() == left
    assert keep.is_disabled()  # it is no other text yet
    box.fill("  ")
    assert keep.is_disabled()
    box.fill(f"{left}, and more of it: 1 2 3 s u ?")  # keys in the box are letters, and no choices
    dialog.get_by_role("radio").nth(1).check()
    assert box.input_value() == right
    assert keep.is_disabled()
    dialog.get_by_role("radio").nth(0).check()
    assert (
        box.input_value() == f"{left}, and more of it: 1 2 3 s u ?"
    )  # what was written to the other side is still there
    check_page(page, "the edit dialog")
    keep.click()
    dialog.wait_for(state="detached")
    page.locator(".toast", has_text="Now say which of the two was better").wait_for()
    page.keyboard.press("e")
    page.keyboard.press("Escape")  # thought better of it
    dialog.wait_for(state="detached")
    page.get_by_role("button", name="Edit").click()
    dialog.get_by_role("radio").nth(1).check()
    box.fill("the right one, once \ud83d\ude00 more\ud800")  # half of a character, as it comes in by pasting
    page.keyboard.press("Control+Enter")
    dialog.wait_for(state="detached")
    page.keyboard.press("2")
    page.locator("[data-test=progress]", has_text="1 done").wait_for()
    served.until(lambda: len(served.events()) == 3)
    events = served.events()
    assert [(event.kind, event.text) for event in events] == [
        ("edit", f"{left}, and more of it: 1 2 3 s u ?"), ("edit", "the right one, once \U0001f600 more\ufffd"), ("win", None)
    ]  # fmt: skip
    assert events[1].supersedes == events[0].id  # the last edit of a person counts

    boss = served.enter("boss", "admin", f"/desk/p?find={left.replace(' ', '%20')}")
    boss.locator(".edited", has_text="better").nth(1).wait_for()  # both stay in view of a reviewer
    boss.goto(f"{served.address}/projects/p")
    boss.get_by_role("button", name="Close round 1").click()
    boss.get_by_role("button", name="Close it").click()
    boss.locator("text=studio:p").first.wait_for()
    folder = served.studio.data / "rounds" / "p"
    (demonstration,) = (
        json.loads(row) for row in (folder / "demonstrations/0001.jsonl").read_text("utf-8").splitlines()
    )
    assert demonstration["completion"] == "the right one, once \U0001f600 more\ufffd"
    rows = [json.loads(row) for row in (folder / "0001.jsonl").read_text("utf-8").splitlines()]
    assert [row["source"] for row in rows] == ["studio:p/anna", "studio:p/anna, edited"]
    assert (rows[1]["probability"], rows[1]["second"]["text"]) == (1.0, right)
