"""Five people's sittings in a real browser, side by side, with every key: what each did is what the log says, event by event.

`SITTING_PAIRS=200 python -m pytest tests/web/test_studio_sittings.py` (a part of `make verify`) has 200 pairs for each.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select

from trueward.records import Prompt
from trueward.studio.store import criteria, projects, settings
from trueward.studio.store import tables as t

PAIRS = int(os.environ.get("SITTING_PAIRS", "10"))
pytestmark = pytest.mark.timeout(600 + 20 * PAIRS)
PEOPLE = ("anna", "ben", "chloe", "dora", "emil")
SCALE = {"1": ("left", 3), "2": ("left", 2), "3": ("left", 1), "4": ("", None), "5": ("right", 1), "6": ("right", 2),
         "7": ("right", 3),
         "t": ("", None), "ArrowDown": ("", None), "ArrowLeft": ("left", 2), "ArrowRight": ("right", 2)}  # fmt: skip
NAMES = {"1": "A much better", "2": "A better", "3": "A slightly better", "4": "Tie", "5": "B slightly better",
         "6": "B better", "7": "B much better"}  # fmt: skip
REASONS = settings.SKIP_REASONS
Event = tuple[str, str, int | None, str | None, str | None, str | None]  # kind, word, strength, both, text, reason


@dataclass
class Annotator:
    """One person at a page. expected: what the log should say of them."""

    name: str
    page: Any
    draw: random.Random
    taps: bool
    expected: list[Event] = field(default_factory=list)
    done: int = 0
    before: str = ""  # the prompt of the pair that was judged last

    def word(self, side: str) -> str:
        return str(self.page.locator(".answer .verbatim").nth(0 if side == "left" else 1).inner_text()).split()[0]

    def prompt(self) -> str:
        return str(self.page.locator(".prompt .verbatim").inner_text())

    def choose(self, key: str, both: str | None = None, note: str | None = None) -> None:
        """Judge the pair at hand, and see the next one or the end."""
        side, strength = SCALE[key]
        word = self.word(side) if side else ""
        self.before = self.prompt()
        if self.taps and key in NAMES:
            self.page.get_by_role("button", name=NAMES[key], exact=True).click()
        else:
            self.page.keyboard.press(key)
        self.expected.append(("win" if side else "tie", word, strength, both, note, None))
        self.went_on(1)

    def went_on(self, by: int) -> None:
        self.done += by
        self.page.locator("[data-test=progress]", has_text=f"{self.done} done").wait_for()
        if self.done < PAIRS:
            self.page.locator(".answer").first.wait_for()

    def settled(self) -> None:
        self.page.wait_for_function(
            "() => Object.keys(localStorage).every(k => !k.startsWith('outbox') || localStorage[k] === '[]')"
        )

    def closed(self) -> None:
        self.page.locator("dialog").wait_for(state="detached")

    # what somebody does at a pair, before or in the place of a choice

    def judge(self) -> None:
        self.choose(self.draw.choice(list(SCALE)))

    def flag(self) -> None:
        keys = self.draw.choice(("g", "b", "gb", "gg", "bgg"))
        now: str | None = None
        for key in keys:
            now = None if now == {"g": "good", "b": "bad"}[key] else {"g": "good", "b": "bad"}[key]
            if self.taps:
                self.page.get_by_role("button", name={"g": "Both good", "b": "Both bad"}[key]).click()
            else:
                self.page.keyboard.press(key)
        self.choose(self.draw.choice(list(SCALE)), both=now)

    def note(self) -> None:
        text = f"note {self.done}: 1 2 3 s u ?"
        self.page.keyboard.press("n")
        self.page.get_by_role("dialog").get_by_role("textbox").fill(text)
        self.page.keyboard.press("Control+Enter")
        self.closed()
        self.choose(self.draw.choice(list(SCALE)), note=text)

    def skip(self) -> None:
        self.page.keyboard.press("s")
        self.page.get_by_role("dialog", name="Why skip it?").wait_for()
        which = self.draw.randrange(len(REASONS))
        self.before = self.prompt()
        if self.taps:
            self.page.get_by_role("dialog").get_by_role("button", name=REASONS[which]).click()
        else:
            self.page.keyboard.press(str(which + 1))
        self.expected.append(("skip", "", None, None, None, REASONS[which]))
        self.went_on(1)

    def nearly_skip(self) -> None:
        self.page.keyboard.press("s")
        self.page.get_by_role("dialog", name="Why skip it?").wait_for()
        self.page.keyboard.press("Escape")
        self.closed()
        self.judge()

    def undo(self) -> None:
        if not self.done:
            return self.judge()
        if self.taps:
            self.page.get_by_role("button", name="Undo").click()
        else:
            self.page.keyboard.press("u")
        self.expected.append(("undo", "", None, None, None, None))
        self.went_on(-1)
        self.page.locator(".prompt", has_text=self.before).wait_for()
        self.judge()
        return None if self.done == PAIRS else self.judge()

    def edit(self) -> None:
        side = self.draw.choice(("left", "right"))
        text = f"{self.word(side)}, in better words {self.done}"
        self.page.keyboard.press("e")
        dialog = self.page.get_by_role("dialog", name="Make an answer better")
        dialog.get_by_role("radio").nth(0 if side == "left" else 1).check()
        dialog.get_by_role("textbox").fill(text)
        self.page.keyboard.press("Control+Enter")
        self.closed()
        self.expected.append(("edit", self.word(side), None, None, text, None))
        self.judge()

    def help(self) -> None:
        self.page.keyboard.press("?")
        self.page.get_by_role("dialog", name="Keys").wait_for()
        for key in "1strdnm":  # none of them does a thing meanwhile
            self.page.keyboard.press(key)
        self.page.keyboard.press("Escape")
        self.closed()
        self.judge()

    def look(self) -> None:
        self.page.keyboard.press("d")
        self.page.locator("mark").first.wait_for()
        for key in "drrm":
            self.page.keyboard.press(key)
        self.judge()

    def leave_and_come_back(self) -> None:
        self.settled()
        pair = self.prompt()
        if self.draw.random() < 0.5:
            self.page.reload()
        else:
            self.page.get_by_role("link", name="Home").click()
            self.page.get_by_role("heading", name="The studio").wait_for()
            self.page.go_back()
        self.page.locator(".prompt", has_text=pair).wait_for()
        self.page.locator("[data-test=progress]", has_text=f"{self.done} done").wait_for()
        self.judge()

    def turns(self) -> Iterator[None]:
        """A turn at a time, until nothing is left; the first ones are of every kind."""
        kinds: list[Callable[[], Any]] = [
            self.judge, self.flag, self.note, self.skip, self.undo, self.edit, self.help, self.look,
            self.leave_and_come_back, self.nearly_skip,
        ]  # fmt: skip
        self.draw.shuffle(kinds)
        while self.done < PAIRS:
            kind = (
                kinds.pop()
                if kinds
                else self.draw.choice([self.judge] * 4 + [self.flag, self.note, self.skip, self.undo])
            )
            kind()
            yield


def logged(served: Any, name: str, project: str) -> list[Event]:
    chosen = t.response.alias("chosen")
    query = (
        select(t.event, chosen.c.text.label("words"))
        .join(t.account, t.account.c.id == t.event.c.account_id)
        .join(t.item, t.item.c.id == t.event.c.item_id)
        .join(t.project, t.project.c.id == t.item.c.project_id)
        .outerjoin(chosen, chosen.c.id == t.event.c.chosen_id)
        .where(t.account.c.name == name, t.project.c.name == project)
        .order_by(t.event.c.id)
    )
    with served.studio.database.reading() as connection:
        rows = connection.execute(query).all()
    return [(row.kind, (row.words or " ").split(" ")[0], row.strength, row.both, row.text, row.reason) for row in rows]


def fill(served: Any, name: str, pairs: int, asked: list[criteria.PairCriterion] | None = None) -> None:
    def work(connection: Any) -> None:
        projects.create(connection, name, overlap=len(PEOPLE))
        project = projects.get(connection, name)
        made = [
            projects.pair(Prompt(text=f"prompt {i:03}"), (f"one {i}", f"two {i}"), ("", ""), (True, True))
            for i in range(pairs)
        ]
        projects.add_pairs(connection, project, made)
        if asked:
            settings.change(connection, project, criteria=asked)

    served.studio.database.write(work)


def test_five_people_with_every_key(served: Any) -> None:
    fill(served, "p", PAIRS)
    people = []
    for seed, name in enumerate(PEOPLE):
        size = {"width": 390, "height": 844} if name == "emil" else {"width": 1280, "height": 800}
        page = served.enter(name, path="/compare/p", viewport=size)
        page.locator(".answer").first.wait_for()
        people.append(Annotator(name, page, random.Random(seed), taps=name == "emil"))
    going = [person.turns() for person in people]
    while going:
        going = [turns for turns in going if next(turns, False) is None]
    for person in people:
        person.page.locator("[data-test=finished]").wait_for()
        person.settled()
        events = logged(served, person.name, "p")
        assert events == person.expected, person.name
        kinds = Counter(event[0] for event in events)
        assert kinds["win"] + kinds["tie"] + kinds["skip"] - kinds["undo"] == PAIRS
        if PAIRS >= 10:
            assert {"win", "skip", "edit"} <= kinds.keys()
    everything = Counter(event[0] for person in people for event in person.expected)
    assert everything["undo"] >= 1
    votes = served.votes()
    assert all(0 <= vote.seconds < 3600 and vote.both in (None, "good", "bad") for vote in votes)
    boss = served.enter("boss", "admin", "/projects/p")
    counted = boss.locator(".stat", has_text="answers in all").locator("b").inner_text()
    assert int(counted) == len(votes)


def test_five_people_with_several_questions(served: Any) -> None:
    """A choice, a rating of both, and the overall choice: each key answers the question at hand, U goes back by one."""
    pairs = max(2, PAIRS // 10)
    asked = [
        criteria.PairCriterion("honest", "Which is more honest?"),
        criteria.PairCriterion("clear", "How clear?", "rating"),
    ]
    fill(served, "asked", pairs, asked)
    for seed, name in enumerate(PEOPLE):
        draw = random.Random(seed)
        page = served.enter(name, path="/compare/asked")
        expected: list[Any] = []
        for done in range(pairs):
            page.locator("[data-test=ask]", has_text="Which is more honest?").wait_for()
            first_left = page.locator(".answer .verbatim").nth(0).inner_text().startswith("one")
            lead, rates, last = draw.randint(-3, 3), (draw.randint(1, 5), draw.randint(1, 5)), draw.choice("1234567")
            page.keyboard.press(str(4 + lead))
            page.keyboard.press("5")
            page.keyboard.press("u")  # a slip, taken back
            for rating in rates:
                page.keyboard.press(str(rating))
            page.locator("[data-test=ask]", has_text="And overall").wait_for()
            page.keyboard.press(last)
            page.locator("[data-test=progress]", has_text=f"{done + 1} done").wait_for()
            expected.append({"honest": -lead if first_left else lead, "clear": rates if first_left else rates[::-1]})
        page.locator("[data-test=finished]").wait_for()
        served.until(lambda who=name: len(logged(served, who, "asked")) == pairs)
        mine = [vote for vote in served.votes("asked") if vote.name == name]
        assert [criteria.said(vote.criteria) for vote in mine] == expected, name
