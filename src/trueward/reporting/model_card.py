"""A model card: what a model was made from and how, its measurements, and its limits.

Markdown with YAML at the top.
Source of the YAML fields: the hub's documentation of model cards (library_name, pipeline_tag, base_model, license, datasets).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueward.artifacts import home
from trueward.evaluation.printable import printable
from trueward.reporting import report_rows, report_text, verdict_text
from trueward.reporting.formatting import MISSING, SPACE, between, percent, plain, signed, within
from trueward.reporting.template import template

Report = dict[str, Any]
DATA_SET = re.compile(
    r"([A-Za-z0-9][\w.-]*/[\w.-]+)(?::[\w.+-]+){0,2}"
)  # a hub data set, as data.demonstrations names it
FILES = (".jsonl", ".json", ".csv", ".parquet", ".arrow", ".txt", ".gz")
COLUMNS = ("", "proxy", "truth", "preferred to SFT’s", "KL", "length")


@dataclass(frozen=True)
class CardFacts:
    """Facts of a card that are not in the run's report."""

    repo: str
    """owner/name on the hub."""
    which: str
    """Which model of the run: `policy`, `best` or `sft`."""
    dtype: str
    """Precision of the weights."""
    base: str
    """The base model's name on the hub; empty if it is not there."""
    licence: str
    """Identifier as the hub spells it, or `unknown`."""
    licence_source: str
    """The source of the licence, as the end of a sentence."""
    versions: dict[str, str]
    """Of the libraries that wrote the weights."""


def card(report: Report, recipe: str, facts: CardFacts) -> str:
    """The card's text. recipe: the resolved recipe as TOML."""
    report = printable(report)
    verdict = report.get("verdict") or {}
    word = str(verdict.get("word") or "")
    body = template("model_card.md.jinja").render(
        front=front_matter(report, facts),
        facts=facts,
        report=report,
        word=word,
        rule=verdict.get("rule") or "",
        meaning=verdict_text.MEANING.get(word, ""),
        tone=verdict_text.TONE.get(word, "unsure"),
        headline=report_text.headline(report),
        hacked=report_text.hacked_line(report),
        earlier=facts.which == "policy"
        and word in ("over-optimised", "hacking")
        and report_rows.policy(report, "best"),
        untrained=report_rows.is_best_of_n(report),
        data=data_lines(report),
        table=table(report, facts.which),
        recipe=printable(shareable(recipe)).strip(),
        fence=fence(recipe),
    )
    return re.sub(r"\n{3,}", "\n\n", body.replace(SPACE, " ")).strip() + "\n"


def front_matter(report: Report, facts: CardFacts) -> list[tuple[str, str]]:
    """The YAML fields, with values as JSON, which YAML reads."""
    kind = str((report.get("optimiser") or {}).get("kind") or "")
    values: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    values["license"] = facts.licence
    if facts.base:
        values |= {"base_model": facts.base, "base_model_relation": "finetune"}
    if data := data_sets(report):
        values["datasets"] = data
    values["tags"] = ["trueward", *(["sft"] if facts.which == "sft" else ["rlhf", *([kind] if kind else [])])]
    return [(key, json.dumps(value, ensure_ascii=False)) for key, value in values.items()]


def data_sets(report: Report) -> list[str]:
    """Names of the hub's data sets in the recipe; files and data that ship with trueward are left out."""
    recipe = report.get("recipe") or {}
    data, compared = recipe.get("data") or {}, recipe.get("comparisons") or {}
    sources = [str(data.get("demonstrations") or ""), str(data.get("prompts") or ""), str(compared.get("path") or "")]
    names = [
        m[1] for s in sources if (m := DATA_SET.fullmatch(s)) and not m[1].endswith(FILES) and not Path(s).exists()
    ]
    return list(dict.fromkeys(names))


def data_lines(report: Report) -> list[str]:
    """The training data, in a sentence each."""
    recipe = report.get("recipe") or {}
    data, sft, model = recipe.get("data") or {}, report.get("sft") or {}, report.get("reward_model") or {}
    lines = []
    if sft.get("demonstrations"):
        lines.append(
            f"{sft['demonstrations']:,} demonstrations from {code(shareable(str(data.get('demonstrations'))))}."
        )
    elif (recipe.get("sft") or {}).get("model"):
        lines.append(
            f"No demonstrations: the SFT policy is {code(shareable(str(recipe['sft']['model'])))} as it stands."
        )
    if prompts := data.get("prompts") or data.get("demonstrations"):
        lines.append(f"Prompts from {code(shareable(str(prompts)))}.")
    if model.get("comparisons"):
        lines.append(f"{model['comparisons']:,} comparisons, and {model.get('held_out') or 0:,} held out from the fit.")
    if description := (report.get("annotators") or {}).get("description"):
        lines.append(f"Who chose: {description}.")
    if model.get("accuracy") is not None:
        interval = between(model.get("accuracy_low"), model.get("accuracy_high"), 1)
        lines.append(
            f"The reward model picks the annotator’s choice in {percent(model['accuracy'], 1)} of held-out comparisons"
            + (f" (95 %: {interval})." if interval else ".")
        )
    return [" ".join(line.split()) for line in lines]


def table(report: Report, which: str) -> str:
    """The final evaluation as a Markdown table, with this model's row in bold."""
    rows = []
    for key, name in report_rows.POLICIES.items():
        if not (row := report_rows.policy(report, key)):
            continue
        cells = [
            name,
            f"{signed(row.get('proxy'))} {within(row.get('proxy_se'))}",
            f"{signed(row.get('truth'))} {within(row.get('truth_se'))}",
            MISSING if key == "sft" else _preferred(row),
            f"{plain(row.get('kl'), 1)} {within(row.get('kl_se'), 1)}",
            plain(row.get("length"), 1),
        ]
        cells = [cell.strip() for cell in cells]
        rows.append([f"**{cell}**" for cell in cells] if key == which else cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in (COLUMNS, ("---", *["---:"] * 5), *rows))


def _preferred(row: Report) -> str:
    interval = between(row.get("win_rate_low"), row.get("win_rate_high"))
    return percent(row.get("win_rate")) + (f" ({interval})" if interval else "")


def code(text: object) -> str:
    """Text as inline code of Markdown, whatever it contains."""
    return "`" + str(text).replace("`", "'").replace("\n", " ") + "`"


def fence(text: str) -> str:
    """A fence with more backticks than any line of the text has, so that none closes the block."""
    return "`" * (max((len(m) for m in re.findall(r"`{3,}", text)), default=2) + 1)


def shareable(text: str) -> str:
    """Text with the path of this account's home directory replaced by ~."""
    place = home()
    return text if place is None or place == Path("/") else text.replace(str(place), "~")
