"""An audit's page and terminal lines: texts from other tools are data, figures that are missing are dashes."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from trueward.evaluation.verdict import RunVerdict
from trueward.pipeline.audit_table import audit_table
from trueward.reporting import audit_page, audit_text

ATTACK = "\"'><img src=x onerror=alert(1)></title><script>alert(1)</script>{{7*7}}\x1b[2J[/red]"


def table_of(text: str = "plain", **changes: Any) -> dict[str, Any]:
    row = {"truth": 0.5, "truth_se": 0.1, "proxy": 1.0, "truths": {"t": 0.5, text: 0.1}, "prompts": 40, "length": 7.0}
    rows = [{"step": step, **row, "rule": "the truth is above SFT’s", "verdict": text} for step in (0, 10, 20)]
    sample = {"prompt": text, "response": text, "reference": text, "proxy": 1.0, "truth": None}
    shift = {
        "feature": text,
        "kind": "phrase",
        "before": 0.1,
        "after": 0.9,
        "hacked": True,
        "proxy": 1.0,
        "truth": -1.0,
    }
    given: dict[str, Any] = {
        "kind": "samples", "sources": [text], "reference": text, "baseline_step": 0, "truths": ["t", text], "proxy": text,
        "units": {}, "seed": 0, "rows": rows, "verdict": RunVerdict("hacking", text, {"truth_gain": 0.5}, 10),
        "policies": {"reference": row, "last": row, "best": row}, "feature_shift": [shift], "samples": [sample],
        "notes": [text], "length_unit": "words",
    }  # fmt: skip
    return audit_table(**{**given, **changes})


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_texts_are_data() -> None:
    plain, attacked = (Tags(audit_page.page(table_of(text))) for text in ("plain", ATTACK))
    assert attacked.tags == plain.tags
    assert "onerror" not in attacked.attributes
    assert "\x1b" not in audit_page.page(table_of(ATTACK)) + "".join(audit_text.audit_sentences(table_of(ATTACK)))


def test_the_baseline_need_not_be_an_sft_policy() -> None:
    table = table_of(verdict=RunVerdict("learning", "the truth is above SFT’s, and not below its own peak", {}, 10))
    assert table["verdict"]["rule"] == "the truth is above the reference’s, and not below its own peak"
    assert all("SFT" not in row["rule"] for row in table["history"])


def test_what_was_not_measured_is_a_dash() -> None:
    empty = {"truth": None, "proxy": None, "prompts": 40, "truths": {}}
    table = table_of(
        rows=[{"step": 0, **empty}, {"step": 5, **empty}], policies={"reference": empty, "last": empty}, verdict=None
    )
    assert "–" in audit_page.page(table)
    assert audit_text.best_line(table) == ""


def test_the_best_look_is_named_with_its_place() -> None:
    table = table_of(rows=[{"step": s, "truth": t} for s, t in ((0, 0.0), (10, 0.8), (20, 0.3))])
    table["places"] = {"10": "out/checkpoint-10"}
    line = audit_text.best_line(table).replace("\u00a0", " ")
    assert line == "The truth is highest at step 10 (out/checkpoint-10): +0.80 SD, against +0.30 at the last look."
