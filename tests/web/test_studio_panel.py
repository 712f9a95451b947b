"""A link for a panel, in a browser: an admin makes it, a stranger opens it, judges by keys and reads the completion code."""

from __future__ import annotations

from typing import Any

from trueward.studio import demonstration

PROLIFIC = {"{{%PROLIFIC_PID%}}": "5f1a", "{{%STUDY_ID%}}": "s1", "{{%SESSION_ID%}}": "t1"}


def link_of(served: Any, pairs: int) -> str:
    """Made on the project's page; with Prolific's placeholders filled in, as Prolific does."""
    served.studio.database.write(demonstration.make)
    boss = served.enter("boss", "admin", "/projects/demonstration", viewport={"width": 1280, "height": 900})
    card = boss.locator("[data-test=panels]")
    card.get_by_label("Pairs for each person").fill(str(pairs))
    card.get_by_label("Completion code").fill("C1234")
    card.get_by_label("or address at the end").fill("https://app.prolific.com/submissions/complete?cc=C1234")
    card.get_by_role("button", name="Make the link").click()
    link = str(boss.locator("[data-test=panel-link]").inner_text())
    boss.locator("td", has_text="0 of 50").wait_for()
    for placeholder, value in PROLIFIC.items():
        assert placeholder in link
        link = link.replace(placeholder, value)
    return link


def stranger(served: Any, link: str, width: int = 390) -> Any:
    context = served.browser.new_context(viewport={"width": width, "height": 800}, bypass_csp=True)
    context.set_default_timeout(20_000)
    served.contexts.append(context)
    page = context.new_page()
    served.watch(page)
    page.goto(link)
    return page


def test_from_the_link_to_the_code(served: Any, check_page: Any) -> None:
    page = stranger(served, link_of(served, 2))
    for k in range(2):
        page.locator(".answer").first.wait_for()
        assert page.locator("nav").count() == 0, "one project and no way to anything else"
        served.until(lambda k=k: page.locator("[data-test=progress]").inner_text() == f"{k} done · {2 - k} left")
        page.keyboard.press("1")
    page.locator("[data-test=code]", has_text="C1234").wait_for()
    assert page.get_by_role("link", name="Complete the study").get_attribute("href").endswith("?cc=C1234")
    check_page(page, "completed")
    assert len(served.votes("demonstration")) == 2
    page.reload()
    page.locator("[data-test=code]").wait_for()
    page.keyboard.press("u")
    page.locator(".answer").first.wait_for()
    page.keyboard.press("4")
    page.locator("[data-test=code]").wait_for()


def test_a_link_that_does_not_open(served: Any) -> None:
    link = link_of(served, 2)
    page = stranger(served, link.replace("/panel/", "/panel/x"))
    page.get_by_role("alert", name="").get_by_text("there is no such study").wait_for()
    assert page.get_by_text("Sign in").count() == 0
    assert all("404" in text or "401" in text for text in served.said)
    served.said.clear()
