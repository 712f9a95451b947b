"""What attackers and accidents do to the pages: a click that is refused, a viewer who is put out, a model's hostile answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from trueward.records import Prompt
from trueward.studio.store import accounts, projects

HOSTILE = (
    "\0\x1b]0;owned\x07\x1b[2J<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "</textarea></style>${document.title='owned'}{{7*7}}\u202e\u2066\u200b\ufeff\u2028\U000e0041 =1+1 javascript:alert(1)"
)


def fill(served: Any, pairs: list[tuple[str, str, str]], kind: str = "compare") -> None:
    def work(connection: Any) -> None:
        projects.create(connection, "p", kind)
        made = [projects.pair(Prompt(text=p), (a, b), (HOSTILE, HOSTILE), (True, False)) for p, a, b in pairs]
        projects.add_pairs(connection, projects.get(connection, "p"), made)

    served.studio.database.write(work)


def test_a_click_at_which_the_studio_fails_blocks_no_other(served: Any) -> None:
    fill(served, [(f"prompt {i}", f"one {i}", f"two {i}") for i in range(3)])
    page = served.enter("anna", path="/compare/p")
    page.locator(".answer").first.wait_for()
    first: list[str] = []

    def answer(route: Any) -> None:
        key = json.loads(route.request.post_data)["key"]
        first.append(key)
        if key == first[0]:
            route.fulfill(status=500, content_type="application/json", body='{"detail": "broken"}')
        else:
            route.continue_()

    page.route("**/api/answers", answer)
    refused = page.locator(".prompt .verbatim").inner_text()
    for _ in range(3):
        page.locator(".answer").first.wait_for()
        page.keyboard.press("2")
    served.until(lambda: len(served.votes()) == 2)
    page.locator(".prompt", has_text=refused).wait_for()  # the pair of the refused click comes back
    page.keyboard.press("2")
    served.until(lambda: len(served.votes()) == 3)
    assert any("500" in line for line in served.said)
    served.said.clear()  # the browser reports the failures that this test made


def test_a_click_that_is_refused_blocks_no_other(served: Any) -> None:
    """Half of a character in a note: kept by an older page, and refused with 422."""
    fill(served, [(f"prompt {i}", f"one {i}", f"two {i}") for i in range(2)])
    page = served.enter("anna")
    page.evaluate(
        """() => {
          const click = {assignment: "x".repeat(32), key: "k".repeat(32), kind: "win", side: "left", text: "\\ud800"};
          localStorage["outbox:anna"] = JSON.stringify([null, {path: 1}, {path: "/api/answers", body: click}]);
        }"""
    )
    page.goto(f"{served.address}/compare/p")
    page.locator(".answer").first.wait_for()
    page.keyboard.press("n")
    page.locator("dialog textarea").evaluate(
        "(box) => { box.value = 'odd \\ud800 note'; box.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    page.get_by_role("button", name="Keep the note").click()
    page.locator("dialog").wait_for(state="detached")
    page.keyboard.press("2")
    served.until(lambda: len(served.votes()) == 1)
    assert served.votes()[0].text == "odd \ufffd note"
    assert [line for line in served.said if "422" not in line] == []
    served.said.clear()


def test_tokens_are_listed_and_revoked_and_a_stream_ends_with_its_viewer(served: Any, baseline: Path) -> None:
    shutil.copytree(
        baseline, served.studio.runs.home / "baseline", ignore=shutil.ignore_patterns("model", "best", "annotators")
    )
    boss = served.enter("boss", "admin", "/people")
    boss.get_by_label("What for?").fill("an export \u202e")
    boss.get_by_role("button", name="Make one").click()
    boss.locator("text=Shown once").wait_for()
    secret = boss.locator("code", has_text="Bearer").inner_text().split()[-1]
    table = boss.locator("[data-test=credentials]")
    table.locator("tr", has_text="U+202E").get_by_role("button").click()
    boss.locator(".toast", has_text="The token has ended").wait_for()
    with served.studio.database.reading() as connection:
        assert accounts.who(connection, secret, "token") is None
    eve = served.enter("eve", "viewer", "/runs/baseline")
    eve.locator("text=What it says").wait_for()
    served.until(lambda: any(url.endswith("%7D") and "/events" in url for url in served.as_json))
    boss.reload()
    table.locator("tr", has_text="eve").get_by_role("button").click()
    eve.get_by_role("heading", name="Sign in").wait_for()  # the page hears of it by itself
    assert [line for line in served.said if "401" not in line] == []
    served.said.clear()


def test_a_model_s_hostile_answers_stay_text_on_every_page(served: Any, baseline: Path) -> None:
    copied = served.studio.runs.home / "baseline"
    shutil.copytree(baseline, copied, ignore=shutil.ignore_patterns("model", "best", "annotators"))
    samples = copied / "policy" / "samples.jsonl"
    rows = [json.loads(row) for row in samples.read_text().splitlines()]
    rows = [{**row, "response": f"{HOSTILE}\ud800", "prompt": HOSTILE, "tokens": None} for row in rows]
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    fill(served, [(HOSTILE, HOSTILE, f"{HOSTILE} or not"), ("another", f"{HOSTILE} 2", "b")])
    page = served.enter("boss", "admin", "/compare/p")
    page.locator(".answer").first.wait_for()
    page.keyboard.press("d")
    page.locator("mark").first.wait_for()
    page.keyboard.press("1")
    served.until(lambda: len(served.votes()) == 1)
    for path, ready in (
        ("/runs/baseline", "text=What it says"),
        ("/runs", "text=baseline"),
        ("/projects/p", "text=Latest answers"),
        ("/", "text=Latest runs"),
    ):
        page.goto(f"{served.address}{path}")
        page.locator(ready).first.wait_for()
        page.wait_for_timeout(100)
        assert page.title().endswith("trueward studio")
        assert page.locator("main img, main script, main iframe, main style").count() == 0
        assert "\u202e" not in page.locator("main").inner_text()
