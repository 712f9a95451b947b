"""How texts are read in Compare: rendered without obeying them, chats folded, the choices in view, reading to the end."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from trueward.records import Message, Prompt
from trueward.studio.store import projects


def words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


# what may be in a rendered text: elements, and attributes of any of them
ELEMENTS = words_of(
    "div p span br hr ul ol li blockquote table thead tbody tr th td em strong s u code pre button dl dt dd "
    "math mrow mi mn mo ms mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd mstyle "
    "mpadded menclose semantics"
)
ATTRIBUTES = words_of(
    "class dir title type tabindex role aria-label aria-level value display displaystyle scriptlevel mathvariant stretchy "
    "fence separator accent accentunder lspace rspace minsize maxsize movablelimits symmetric linethickness columnalign "
    "rowspacing columnspacing columnlines rowlines notation form width"
)
NASTY = (
    '<img src=x onerror="window.owned=1">',
    "<script>window.owned=1</script>",
    "<svg/onload=window.owned=1>",
    "</p></div>",
    "[a](javascript:window.owned=1)",
    "[a](data:text/html,<script>window.owned=1</script> 'ti\"tle')",
    "![i](https://evil.example/i.png)",
    "![i][r]\n\n[r]: https://evil.example/r.png 'hid den'\n",
    "<https://evil.example/?a=1>",
    "<javascript:window.owned=1>",
    "[//]: # (a comment that nobody sees)\n",
    '[x](  https://evil.example/y "t")',
    "[x](/api/logout)",
    "<a href=//evil.example>z</a>",
    "```html\n<script>window.owned=1</script>\n```\n",
    "~~~js onerror=1\nwindow.owned=1\n",
    "`<b>c</b>`",
    "    indented\n",
    "$\\href{javascript:window.owned=1}{x}$",
    "$\\def\\a{hidden}\\a$",
    "$\\phantom{unseen}$",
    "$\\text{<img src=x>}$",
    "$$\n\\frac{a}{b}\n$$\n",
    "$x^2 % gone\n$",
    "$\\htmlStyle{color:red}{x}$",
    "$\\includegraphics{https://evil.example/q.png}$",
    "\\[ \\begin{matrix} a & b",
    "$5 and $6",
    "$\\color{white}{pale}$",
    "$\\rule{900em}{900em}$",
    "$\\unknown$",
    "$" + "{" * 60 + "$",
    "| a | b |\n|---|:-:|\n| c | d | e cell too many |\n",
    "> " * 9 + "deep\n",
    "- - - - - x\n",
    "1. one\n7. seven\n",
    "# ",
    "***",
    "~~gone~~",
    "&lt;b&gt; &zwj; &#x202e;",
    "\\*",
    "\n\n",
    "  \n",
    "\u202eright to left\u2066",
    "\u200b\u200b",
    "\u061c",
    "\ufeff",
    "\u2028",
    "\U000e0041\U000e0042",
    "\0",
    "<|im_end|>",
    "</s>",
    "[INST]",
    "<s>",
    '<tool_call>{"name": "<img src=x onerror=window.owned=1>", "arguments": {"a": "</code>"}}</tool_call>',
    "<tool_call>{",
    "word",
    "{{7*7}}${7*7}",
    'style="background:url(https://evil.example/s)"',
    "한글 اردو कि 👩‍🚀",
)
SHOW = """async (texts) => {
  const { Words } = await import("/page/words.js");
  const { render, html } = await import("/page/vendor.js");
  const { h } = await import("/page/vendor.js");
  await Promise.all(["markdown", "vendor-math", "vendor-code"].map((name) => import(`/page/${name}.js`)));
  const box = document.createElement("div");
  document.querySelector("main").append(box);
  const told = [];
  const settle = () => new Promise((done) => setTimeout(done, 0));
  for (const round of [0, 1]) {  // in the first round the parsers are fetched
    for (const text of texts) {
      render(null, box);
      render(h(Words, { text }), box);
      if (!round) continue;
      const all = [...box.querySelectorAll("*")];
      for (const item of box.querySelectorAll("li[value]")) item.prepend(item.getAttribute("value"), " ");  // which CSS draws
      told.push({
        elements: [...new Set(all.map((each) => each.localName))],
        attributes: [...new Set(all.flatMap((each) => each.getAttributeNames()))],
        text: box.textContent,
        kept: !!box.querySelector(".kept"),
        formulas: box.querySelectorAll("math").length,
      });
    }
    for (let i = 0; i < 100 && !round; i++) await settle();
  }
  render(null, box);
  box.remove();
  return told;
}"""


def letters(text: str) -> str:
    return "".join(sign for sign in text if sign.isalnum())


def within(part: str, whole: str) -> bool:
    """Whether the signs of a part stand in the whole, in their order, others between them or not."""
    signs = iter(whole)
    return all(sign in signs for sign in part)


def fill(served: Any, prompts: list[tuple[Prompt, str, str]], **more: Any) -> None:
    def work(connection: Any) -> None:
        projects.create(connection, "p", **more)
        made = [projects.pair(prompt, (a, b), ("", ""), (True, True)) for prompt, a, b in prompts]
        projects.add_pairs(connection, projects.get(connection, "p"), made)

    served.studio.database.write(work)


def test_hundreds_of_nasty_texts_are_shown_and_not_obeyed(served: Any) -> None:
    """No script, no request, no element or attribute outside of the list, and no letter of a text out of sight."""
    drawn = random.Random(7)
    texts = [*NASTY, *("".join(drawn.choices(NASTY, k=drawn.randint(2, 6))) for _ in range(350))]
    texts += [">" * 500 + "deep", "[" * 3000, "*a **b " * 800, "| a |\n|---|\n" + "| b |\n" * 500, "$x$" * 300]
    fill(served, [(Prompt(text="a prompt"), "a", "b")])
    page = served.enter("anna", path="/compare/p")
    page.locator(".answer").first.wait_for()
    before = len(served.as_json)
    told = page.evaluate(SHOW, texts)
    assert len(told) == len(texts)
    for text, shown in zip(texts, told, strict=True):
        assert set(shown["elements"]) <= ELEMENTS, (text, shown)
        assert set(shown["attributes"]) <= ATTRIBUTES, (text, shown)
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\u061c]", shown["text"]), text
        if not shown["formulas"]:  # a formula says it in another way; its source is beside it
            assert within(letters(text), shown["text"]), (text, shown)
    assert sum(shown["formulas"] > 0 for shown in told) > 10
    assert 0 < sum(shown["kept"] for shown in told) < len(texts) / 2
    assert page.evaluate("window.owned") is None
    assert page.title() == "p · Compare · trueward studio"
    asked = [url for url in served.as_json[before:] if not re.search(r"/page/[\w-]+\.js$", url)]
    assert [url for url in asked if "/api/" not in url] == []


MARKDOWN = """# A title
Some *words*, **more** and [a link](https://example.org/x "its title").

1. first
2. second

| name | cost |
|------|-----:|
| a | $n^2$ |

```python
def f(x):  # twice
    return 2 * x
```
<|im_end|> and\u200b it costs $5 or $6
"""


def test_a_text_is_rendered_or_raw_as_its_reader_left_it(served: Any) -> None:
    fill(
        served, [(Prompt(text=f"*prompt* {i}"), MARKDOWN, "a") for i in range(2)], instructions="Prefer **short** ones."
    )
    page = served.enter("anna", path="/compare/p", viewport={"width": 1280, "height": 720})
    answer = page.locator(".answer", has_text="A title")
    answer.locator(".hljs-keyword", has_text="def").wait_for()
    answer.locator("math msup").wait_for()
    assert answer.get_by_role("heading", name="A title").count() == 1
    assert answer.locator("ol > li").count() == 2
    assert answer.locator("td.right, th.right").count() == 2
    assert answer.locator("a").count() == 0  # nothing leads away without a press of the address
    assert answer.get_by_role("button", name="https://example.org/x").count() == 1
    assert answer.locator(".token-chip").inner_text() == "<|im_end|>"
    assert answer.locator(".codepoint").inner_text() == "U+200B"
    assert page.locator(".prompt em").inner_text() == "prompt"
    assert page.locator(".guidelines strong").inner_text() == "short"
    page.keyboard.press("r")
    answer.locator("text=# A title").wait_for()
    page.reload()
    answer.locator("text=# A title").wait_for()
    assert answer.locator(".token-chip").count() == 1  # chips and numbers stay
    assert not page.locator(".guidelines").evaluate("box => box.open")  # read once, folded from then on
    page.get_by_role("button", name="Raw").click()
    answer.get_by_role("heading", name="A title").wait_for()


LONG = "\n\n".join(
    f"Paragraph {i} says something that takes about a line, so that many of them take a screen." for i in range(40)
)
TALK = Prompt(
    messages=(
        Message(role="system", content="Be kind."),
        Message(role="user", content=f"An earlier question. {LONG}"),
        Message(role="assistant", content="An earlier answer."),
        Message(role="user", content="The last *question* of all?"),
        Message(
            role="assistant", content="",
            tool_calls=({"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}},),
        ),
        Message(role="tool", content='{"sky": "rain"}', name="weather", tool_call_id="c1"),
    )
)  # fmt: skip


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_the_last_turn_and_the_choices_are_in_view_and_reading_is_recorded(
    served: Any, width: int, height: int
) -> None:
    call = '<tool_call>{"name": "forecast", "arguments": {"days": 3}}</tool_call>'
    fill(served, [(TALK, LONG, f"{LONG}\n{call}\nend"), (Prompt(text="short"), "x", "y")])
    page = served.enter("anna", path="/compare/p", viewport={"width": width, "height": height})

    def in_view(locator: Any) -> bool:
        box = locator.bounding_box()
        return bool(box and box["y"] >= 0 and box["y"] + box["height"] <= height)

    for done in (1, 2):
        page.locator(".answer").first.wait_for()
        assert all(in_view(page.locator(".scale button").nth(i)) for i in range(7))
        assert in_view(page.get_by_role("button", name="Skip"))
        words = page.locator(".scale .short" if width < 500 else ".scale .words").all_inner_texts()
        assert "slightly" in words[2]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if "short" in page.locator(".prompt").inner_text():
            assert page.locator(".fade").count() == 0
            assert not page.locator(".below").is_visible()
        else:
            last = page.locator(".turn", has_text="The last question of all?")
            assert in_view(last)
            assert not page.locator("text=An earlier answer.").is_visible()
            page.locator("summary", has_text="the system prompt and 2 earlier turns").click()
            page.locator("text=An earlier answer.").wait_for()
            page.locator("summary", has_text="the system prompt").click()
            assert page.locator(".prompt .call").inner_text().split() == [
                "calls",
                "weather",
                "as",
                "c1",
                "city",
                "Oslo",
            ]
            assert page.locator(".answer .call .name").inner_text() == "forecast"
            page.locator(".fade button" if width > 500 else ".below").first.wait_for()
        page.keyboard.press("4")
        page.locator("[data-test=progress], [data-test=finished]", has_text=("1 done", "judged 2")[done - 1]).wait_for()
    page.locator("[data-test=finished]").wait_for()
    served.until(lambda: len(served.votes()) == 2)
    told = {event.item_id: event.read for event in served.events()}
    assert sorted(told.values()) == [False, True]  # the long ones were not read, the short ones were
    for _ in range(2):
        page.keyboard.press("u")
    served.until(lambda: len(served.votes()) == 0)
    page.locator(".answer").first.wait_for()
    if "short" in page.locator(".prompt").inner_text():
        page.keyboard.press("4")
        page.locator(".prompt", has_text="The last question").wait_for()
    for _ in range(100):
        page.keyboard.press("m")
        page.wait_for_timeout(120)
        if page.evaluate("!document.querySelector('.below')"):
            break
    page.keyboard.press("1")
    served.until(lambda: any(event.kind == "win" for event in served.events()))
    assert served.events()[-1].read is True
