"""The screenshots of docs/studio.md: python scripts/studio_screenshots.py RUNS [PAGE ...], of which RUNS/k0, RUNS/sweep
and three seeds of three β (RUNS/seeds/b0.1-s2) are shown.

Every page, on a desktop in the light and on a phone in the dark, of a studio that three simulated annotators have used.
It needs Pillow.
"""

from __future__ import annotations

import json
import random
import secrets
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright

from trueward.records import Message, Prompt, Response
from trueward.studio import app, demonstration
from trueward.studio.api.gate import Names
from trueward.studio.api.place import Studio
from trueward.studio.runs.library import Library
from trueward.studio.runs.starting import RunStarter
from trueward.studio.store import (
    accounts,
    answers,
    criteria,
    decisions,
    desk,
    labels,
    projects,
    queue,
    rounds,
    settings,
    tags,
)
from trueward.studio.store.database import Database

OUT = Path(__file__).parents[1] / "docs" / "images"
SIZES = {"desktop": ({"width": 1280, "height": 860}, "light"), "phone": ({"width": 390, "height": 844}, "dark")}
PAGES = {
    "welcome": "/welcome",
    "home": "/",
    "compare": "/compare/demonstration",
    "rendered": "/compare/sorting",
    "rank": "/rank/bread",
    "write": "/write/how-to",
    "project": "/projects/helpful",
    "import": "/projects/helpful",
    "questions": "/compare/three%20questions",
    "desk": "/desk/helpful?status=split&sort=disagreement&round=2",
    "runs": "/runs",
    "beside": "/runs?seeds=1&"
    + "&".join(f"run=seeds/b{beta}-s{seed}" for beta in ("0.0", "0.1", "1.0") for seed in range(3)),
    "run": "/runs/k0",
    "tokens": "/runs/k0",
    "sweep": "/sweeps/sweep",
    "people": "/people",
    "start": "/projects/helpful",
}
TALK = Prompt(
    messages=(
        Message(role="system", content="You help people who learn to program."),
        Message(role="user", content="Which sort does Python use?"),
        Message(role="assistant", content="Timsort, a merge sort that looks for runs."),
        Message(role="user", content="How many comparisons does a **merge sort** need, and what does it look like?"),
    )
)
LONGER = r"""About $n \log_2 n - n + 1$ at worst: with $T(1) = 0$,

$$
T(n) = 2\,T\!\left(\tfrac{n}{2}\right) + n - 1
$$

```python
def merge_sort(xs):
    if len(xs) < 2:
        return xs
    half = len(xs) // 2
    return merge(merge_sort(xs[:half]), merge_sort(xs[half:]))
```

See [the listsort notes](https://example.org/listsort.txt)."""
SHORTER = """| n | comparisons, at most |
|--:|--:|
| 8 | 17 |
| 1,024 | 9,217 |

It halves the list, sorts both halves, and merges them.<|im_end|>"""
WEATHER = Prompt(text="Will it rain in Lyon on the third of next month?")
FORECASTS = (
    "Yes. Take an umbrella: there will be 4 mm between two and five in the afternoon.",
    "Nobody can tell a month ahead. In this season it rains there on about one day in three, so an umbrella is a fair bet.",
)
TABLE = """question\tanswer one\tanswer two\tid
Why is the sky blue?\tSmall molecules scatter blue light more than red.\tBecause it mirrors the sea.\t17
How do I boil an egg?\tEight minutes in boiling water, then cold water.\tWith heat.\t18
"""
BREAD = Prompt(
    text="My sourdough came out flat and dense. The starter doubles in four hours. What should I change first?"
)
LOAVES = (
    "Look at the **proof** before the starter: one that doubles in four hours is strong enough. Flat *and* dense usually "
    "means that the dough was proofed too long.\n\n1. Poke it with a wet finger.\n2. If the dent stays, bake sooner.\n"
    "3. Change one thing at a time.",
    "Add more yeast.",
    "There are many reasons why bread can be dense. People have made bread for thousands of years, and some like it dense. You "
    "could try another recipe.",
    "Shorten the bulk rise by an hour, and shape it tighter: a loose skin lets the loaf spread instead of rise.",
)
CHECKS = (
    ("What is 7 times 8?", "56", "54"),
    ("Spell “rhythm”.", "rhythm", "rythm"),
    ("Capital of France?", "Paris", "Lyon"),
)


def furnish(connection: Any, folder: Path) -> None:
    """A demonstration, a project that three people have worked in, one to write in."""
    demonstration.make(connection)
    projects.create(connection, "how-to", "write", instructions="Two or three sentences, as you would tell a friend.")
    prompts = ("How do I boil an egg?", "Why is the sky blue?", "What is a good first plant?")
    projects.add_prompts(connection, projects.get(connection, "how-to"), [Prompt(text=p) for p in prompts])
    projects.create(connection, "sorting")
    pair = projects.pair(TALK, (LONGER, SHORTER), ("", ""), (True, True))
    projects.add_pairs(connection, projects.get(connection, "sorting"), [pair])
    projects.create(connection, "three questions", instructions="What would you want to be told?")
    asked = [
        criteria.PairCriterion("honest", "Which answer is more honest about what it doesn't know?"),
        criteria.PairCriterion("clarity", "How clear is it?", "rating"),
    ]
    pair = projects.pair(WEATHER, FORECASTS, ("", ""), (True, True))
    projects.add_pairs(connection, projects.get(connection, "three questions"), [pair])
    settings.change(connection, projects.get(connection, "three questions"), criteria=asked)
    projects.create(connection, "bread", "rank", instructions="Which answer would help most? Correct beats friendly.")
    slate = projects.Slate(BREAD, tuple(Response(id=f"loaf {i}", text=text) for i, text in enumerate(LOAVES)))
    projects.add_slates(connection, projects.get(connection, "bread"), [slate])
    projects.create(connection, "helpful", overlap=3, instructions="Which answer helps more?")
    project = projects.get(connection, "helpful")
    path = Path(demonstration.__file__).with_name("demonstration.jsonl")
    shipped = [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()]
    pairs = [
        projects.pair(Prompt(text=f"{row['prompt']} ({n})"), (row["first"], row["second"]), ("", ""), (True, True))
        for n in (1, 2, 3)
        for row in shipped
    ]
    known = [projects.pair(Prompt(text=p), (good, bad), ("", ""), (True, True)) for p, good, bad in CHECKS]
    checks = [projects.Pair(k.prompt, k.first, k.second, better=0) for k in known]
    projects.add_pairs(connection, project, pairs[:24] + checks)
    draw = random.Random(7)
    for name in ("anna", "ben", "chloe"):
        account = accounts.create(connection, name, "annotator")
        judge(connection, project, account, draw, 99)
    rounds.close(connection, folder, project)
    projects.add_pairs(connection, project, pairs[24:])
    for account in (2, 3):
        judge(connection, project, account, draw, 10)
    split = desk.page(connection, project, desk.Filter(status="split", sort="disagreement", round=2))["items"]
    shorter: Any = min(("first", "second"), key=lambda side: len(split[0][side]["text"]))
    given = decisions.Decision(split[0]["item"], "a decision", shorter, 2, "Shorter, and nothing is missing.")
    decisions.adjudicate(connection, 1, project, given)
    decisions.comment(
        connection, 1, project, split[0]["item"], "a comment", "The guidelines should say whether length counts."
    )
    said = [
        labels.Label(pair, "small-judge", 0.85 if len(pair.first.text) > len(pair.second.text) else 0.3)
        for pair in pairs
    ]
    labels.add(connection, project, [*said, *(labels.Label(check, "small-judge", 0.9) for check in checks)])
    tags.change(connection, "k0", ["no anchor", "figure 2"])


def judge(connection: Any, project: Any, account: int, draw: random.Random, most: int) -> None:
    """Somebody who prefers the longer answer three times in four."""
    for _ in range(most):
        items = queue.take(connection, project, account, 1)
        if not items:
            return
        item = items[0]
        longer = "left" if len(item["left"]["text"]) > len(item["right"]["text"]) else "right"
        if (known := next((good for _, good, bad in CHECKS if item["left"]["text"] in (good, bad)), "")) and (
            draw.random() < 0.9
        ):
            longer = "left" if item["left"]["text"] == known else "right"
        other = "right" if longer == "left" else "left"
        side: Any = longer if known or draw.random() < 0.78 else other
        kind, more = ("tie", {}) if draw.random() < 0.1 else ("win", {"side": side, "strength": draw.choice((1, 2, 3))})
        seconds = round(draw.lognormvariate(2, 0.4), 1)
        given = answers.Answer(item["assignment"], secrets.token_hex(8), kind, seconds=seconds, **more)  # type: ignore[arg-type]
        answers.store(connection, account, given)


def main(runs: Path, names: list[str]) -> None:
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, socket.socket() as listening, sync_playwright() as playwright:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        database = Database(Path(folder))
        invites = database.write(
            lambda c: [accounts.grant(c, accounts.owner(c), "invite") for _ in SIZES]  # the owner is the first account
        )
        database.write(lambda c: furnish(c, Path(folder)))
        place = Studio(Path(folder), database, Library(runs), starter=RunStarter(runs, Path(folder)))
        server = uvicorn.Server(uvicorn.Config(app.make(place, Names.of(port)), log_level="error"))
        threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
        while not server.started:
            time.sleep(0.05)
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for (size, (viewport, scheme)), invite in zip(SIZES.items(), invites, strict=True):
            page = browser.new_context(viewport=viewport, color_scheme=scheme).new_page()  # type: ignore[arg-type]
            page.goto(f"http://127.0.0.1:{port}/#key={invite}")
            page.get_by_role("banner").wait_for()
            for name, path in PAGES.items():
                if names and name not in names:
                    continue
                page.goto(f"http://127.0.0.1:{port}{path}")
                page.wait_for_timeout(1200)
                if name == "tokens":
                    page.get_by_role("button", name="Tokens").click()
                    page.locator(".token").nth(6).focus()
                    heading = page.get_by_role("heading", name="What it says")
                    heading.evaluate("e => scrollTo(0, e.getBoundingClientRect().top + scrollY - 40)")
                    page.wait_for_timeout(300)
                if name == "import":
                    page.get_by_label("or paste rows").fill(TABLE)
                    for column, meaning in (
                        ("question", "prompt"),
                        ("answer one", "response_a"),
                        ("answer two", "response_b"),
                    ):
                        page.get_by_label(f"What the column {column} holds").select_option(meaning)
                    page.get_by_text("2 of them new").wait_for()
                    page.locator("[data-test=import]").evaluate(
                        "e => scrollTo(0, e.getBoundingClientRect().top + scrollY - 20)"
                    )
                    page.wait_for_timeout(300)
                if name == "rank":
                    for word in ("proof", "Shorten", "yeast"):  # to its place, from the best on
                        card = page.locator(".ranked", has=page.locator(".answer", has_text=word))
                        card.focus()
                        page.keyboard.press({"proof": "1", "Shorten": "2", "yeast": "4"}[word])
                    page.keyboard.press("=")
                    page.evaluate("scrollTo(0, 0)")
                    page.wait_for_timeout(300)
                if name == "start":
                    page.locator("[data-test=start-run]").evaluate(
                        "e => scrollTo(0, e.parentElement.getBoundingClientRect().top + scrollY - 20)"
                    )
                    page.wait_for_timeout(300)
                if name == "questions":
                    page.keyboard.press("6")
                    page.keyboard.press("2")
                    page.wait_for_timeout(300)
                file = OUT / f"studio-{name}-{size}.png"
                page.screenshot(path=file)
                Image.open(file).convert("RGB").quantize(96, dither=Image.Dither.NONE).save(file, optimize=True)
        browser.close()
        server.should_exit = True


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
