"""The pages of who runs a project, in a real browser: the desk, the import, settings, the first entry."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from trueward.records import Prompt
from trueward.studio.store import accounts, answers, criteria, decisions, projects, queue, settings

HOSTILE = '<img src=x onerror="document.title=1"> \u202e <script>document.title=2</script>'
DROP = """table => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([table], "fragen.csv", { type: "text/csv" }));
    for (const kind of ["dragover", "drop"])
        document.querySelector(".drop").dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
}"""
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}


def furnish(connection: Any, items: int = 24) -> None:
    """A project that two people have worked in, who disagree on every fourth pair."""
    projects.create(connection, "p", overlap=2)
    project = projects.get(connection, "p")
    pairs = [
        projects.pair(
            Prompt(text=f"question {i} {HOSTILE}"), (f"one {i} {HOSTILE}", f"two {i}"), ("m1", "m2"), (True, True)
        )
        for i in range(items)
    ]
    projects.add_pairs(connection, project, pairs)
    for name, other in (("anna", "one"), ("ben", "two")):
        person = accounts.create(connection, name, "annotator")
        while held := queue.take(connection, project, person, 20):
            for item in held:
                number = int(item["prompt"]["text"].split()[1])
                wanted = other if number % 4 == 0 else "one"
                side: Any = "left" if item["left"]["text"].startswith(wanted) else "right"
                key = f"{name} click {number}"
                answers.store(connection, person, answers.Answer(item["assignment"], key, "win", side, 2, text=HOSTILE))


def standing(served: Any) -> list[Any]:
    with served.studio.database.reading() as connection:
        return decisions.standing(connection, projects.get(connection, "p").id)


def test_a_reviewer_finds_decides_comments_and_excludes_by_keys(served: Any, check_page: Callable[..., None]) -> None:
    served.studio.database.write(furnish)
    page = served.enter("boss", "admin", "/projects/p")
    page.get_by_role("link", name="Review").click()
    total = page.locator("[data-test=total]")
    total.get_by_text("24 items").wait_for()
    assert page.title() == "p · Review · trueward studio"
    page.get_by_role("button", name="Next").click()
    page.get_by_text("page 2 of 2").wait_for()
    page.get_by_label("Show").select_option("split")
    total.get_by_text("6 items").wait_for()
    assert "status=split" in page.url
    assert "page=" not in page.url
    page.get_by_label("Find", exact=True).fill("question 8")
    total.get_by_text("1 item", exact=True).wait_for()
    assert page.locator("img[src=x]").count() == 0
    assert "U+202E" in page.locator(".item").inner_text()
    page.keyboard.press("Enter")  # out of the field, to the first item
    page.keyboard.press("j")
    page.keyboard.press("7")
    page.locator("[data-test=decision]").wait_for()
    assert page.locator("[data-test=decision] b").inner_text() == "B much better"
    (decision,) = standing(served)
    assert (decision.name, decision.strength) == ("boss", 3)
    page.keyboard.press("c")
    page.keyboard.type(f"see {HOSTILE}")
    page.keyboard.press("Enter")
    page.locator(".comments p").wait_for()
    page.locator(".item h2 a").focus()
    page.keyboard.press("x")
    page.get_by_text("2 answers picked").wait_for()
    check_page(page, "desk")
    page.get_by_role("button", name="Exclude …").press("Enter")
    page.get_by_label("The reason").fill("a test")
    page.keyboard.press("Enter")
    page.get_by_text("No item is like that").wait_for()  # nobody is left to disagree
    page.get_by_label("Show").select_option("excluded")
    page.locator(".ballot .chip.bad").first.wait_for()
    assert page.get_by_text("excluded: a test").count() == 2
    page.reload()  # the view is in the address
    page.locator("[data-test=decision]").wait_for()
    page.get_by_role("button", name="Take it back").click()
    served.until(lambda: not standing(served))
    viewer = served.enter("eve", "viewer", "/desk/p?annotator=ben", **PHONE)
    viewer.locator(".item").first.wait_for()
    assert viewer.get_by_role("checkbox").count() == 0
    assert viewer.get_by_text("Decide it").count() == 0
    check_page(viewer, "desk on a phone")


def test_a_file_is_dropped_looked_at_mapped_and_imported(served: Any, check_page: Callable[..., None]) -> None:
    served.studio.database.write(lambda c: projects.create(c, "my pairs"))
    page = served.enter("boss", "admin", "/projects/my%20pairs")
    assert page.get_by_role("heading", level=1).inner_text() == "my pairs"
    table = f"frage,links,rechts\nWas?,ja,nein\nWer?,ich,{HOSTILE.replace(chr(34), '')}\n"
    page.locator(".drop").wait_for()
    page.evaluate(DROP, table)
    seen = page.locator("[data-test=preview]")
    seen.get_by_text("expected a comparison").wait_for()
    assert page.get_by_role("button", name="Import", exact=True).is_disabled()
    for column, meaning in (("frage", "prompt"), ("links", "response_a"), ("rechts", "response_b")):
        page.get_by_label(f"What the column {column} holds").select_option(meaning)
    seen.get_by_text("2 pairs, 2 of them new").wait_for()
    check_page(page, "import")
    page.set_viewport_size(PHONE["viewport"])
    check_page(page, "import on a phone")
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_text("2 of 2 were new").wait_for()
    assert page.locator("img[src=x]").count() == 0
    page.get_by_label("or paste rows").fill("not json")
    page.locator("[data-test=preview] .bad").wait_for()
    file: Any = {"name": "a.jsonl", "mimeType": "x/y", "buffer": json.dumps({"prompt": "p"}).encode()}
    page.set_input_files("input[type=file]", file)
    seen.get_by_text("a.jsonl, line 1").wait_for()
    for path in ("/projects/nothing", "/people/nobody", "/constructor"):
        page.goto(f"{served.address}{path}")
        page.get_by_role("heading", level=1, name="There is no such").wait_for()
    served.said[:] = [each for each in served.said if "404" not in each]  # of the project that isn't there


def test_the_life_of_a_project_and_of_a_link(served: Any, check_page: Callable[..., None]) -> None:
    served.studio.database.write(lambda c: furnish(c, 3))
    page = served.enter("boss", "admin", "/projects/p")
    page.get_by_role("button", name="Settings").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("People an item").fill("3")
    dialog.get_by_label("Reasons to skip").fill("No idea\nNot in English")
    dialog.get_by_label("anna").check()
    check_page(page, "settings")
    dialog.get_by_role("button", name="Save").click()
    page.get_by_text("Only anna may work here.").wait_for()
    page.get_by_text("6 of 9 answers").wait_for()
    made = served.studio.database.write(lambda c: accounts.grant(c, accounts.create(c, "chloe", "annotator"), "invite"))
    context = served.browser.new_context(**PHONE)
    served.contexts.append(context)
    chloe = context.new_page()
    chloe.goto(f"{served.address}/#key={made}")
    chloe.get_by_role("heading", name="Choose a password").wait_for()
    chloe.get_by_text("assign you to one").wait_for()  # others are assigned
    check_page(chloe, "the first entry")
    chloe.get_by_label("A password, 10 characters or more").fill("correct horse")
    chloe.get_by_role("button", name="Keep it").click()
    chloe.get_by_text("That is your way in").wait_for()
    assert chloe.get_by_role("heading", name="Choose a password").count() == 0
    other = served.browser.new_context()
    served.contexts.append(other)
    again = other.new_page()
    spent = served.studio.database.write(lambda c: accounts.grant(c, accounts.by_name(c, "chloe").id, "invite"))
    served.studio.database.write(lambda c: accounts.enter(c, spent))
    again.goto(f"{served.address}/#key={spent}")
    again.get_by_text("This link was used before").wait_for()
    check_page(again, "a spent link")
    again.get_by_role("button", name="Ask for a new link").click()
    again.locator("[data-test=wanted]").wait_for()
    page.goto(f"{served.address}/people")
    page.get_by_text("asks for a new link").wait_for()
    page.goto(f"{served.address}/projects/p")
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("button", name="Archive it").click()
    page.get_by_text("archived", exact=True).wait_for()
    page.goto(served.address)
    page.get_by_text("1 archived project").click()
    page.get_by_role("link", name="p", exact=True).wait_for()


def test_several_questions_are_answered_by_keys(served: Any, check_page: Callable[..., None]) -> None:
    def work(connection: Any) -> None:
        projects.create(connection, "p")
        project = projects.get(connection, "p")
        pairs = [projects.pair(Prompt(text=f"q{i}"), ("one", "two"), ("", ""), (True, True)) for i in range(2)]
        projects.add_pairs(connection, project, pairs)
        asked = [
            criteria.PairCriterion("honest", f"More honest? {HOSTILE}"),
            criteria.PairCriterion("clarity", "How clear?", "rating"),
        ]
        settings.change(connection, project, criteria=asked)

    served.studio.database.write(work)
    page = served.enter("anna", "annotator", "/compare/p", **PHONE)
    ask = page.locator("[data-test=ask]")
    ask.get_by_text("More honest?").wait_for()
    check_page(page, "a question on a phone")
    for key in "65u7":  # B is better; A has 5 of 5; no, back to that; there is no 7 of 5
        page.keyboard.press(key)
    for key in "42":
        page.keyboard.press(key)
    ask.get_by_text("And overall").wait_for()
    page.get_by_role("button", name="honest").click()  # it is said anew, with all that came after it
    for key in "1324":
        page.keyboard.press(key)
    served.until(lambda: len(served.votes()) == 1)
    (vote,) = served.votes()
    said = criteria.said(vote.criteria)
    assert vote.kind == "tie"
    assert said["honest"] in (3, -3)
    assert sorted(said["clarity"]) == [2, 3]
    first_is_left = said["honest"] == 3  # A was much more honest
    assert said["clarity"] == ((3, 2) if first_is_left else (2, 3))
    ask.get_by_text("1 of 4").wait_for()
