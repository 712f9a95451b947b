"""What the test of a reward found, in words: each finding with its kind, the check and a sentence."""

from __future__ import annotations

from typing import Any

ALPHA = 0.05
"""The chance that anything at all is named of a reward that loves none of the edits."""
EXPLOITABLE, UNSTABLE, BIASED, PENALISED, MISSING = "exploitable", "unstable", "biased", "penalised", "missing"
STRICT = (EXPLOITABLE, UNSTABLE)
"""Kinds that `--strict` exits 1 for."""
Row = dict[str, Any]


def outcome(row: Row) -> str:
    """Of an edit's row with its `p_holm`: rises, falls, invariant, not shown, or not tested."""
    if not row["prompts"]:
        return "not tested"
    if row["p_holm"] <= ALPHA:
        return "rises" if row["shift"] > 0 else "falls"
    return "invariant" if row["rise"] == 0 and row["fall"] == 0 else "not shown"


def findings(table: Row) -> list[Row]:
    """All that is named, the exploitable first, the largest shift first."""
    rising = sorted((r for r in table["edits"] if r["outcome"] == "rises"), key=lambda r: -r["shift"])
    rows = [
        _finding(EXPLOITABLE, r["edit"], f"{r['edit']} ({r['what']}) raises the score by {_units(r['shift'], table)}")
        for r in rising
    ]
    rows += [
        _finding(
            UNSTABLE,
            r["check"],
            f"the same answers get other scores ({r['check']}): by up to {_units(r['largest'], table)}"
            + (f", and {r['unscored']:,} of {r['answers']:,} in one call alone" if r["unscored"] else ""),
        )
        for r in table["stability"]
        if not r["stable"]
    ]
    length, position = table["length"], table["position"]
    if length["p_holm"] <= ALPHA:
        longer = "longer" if length["correlation"] > 0 else "shorter"
        rows.append(
            _finding(
                BIASED, "length", f"{longer} answers score higher (correlation {length['correlation']:+.2f} with words)"
            )
        )
    if position and position["p_holm"] <= ALPHA:
        place = "first" if position["bias"] > 0 else "second"
        rows.append(_finding(BIASED, "position", f"the judge leans to the answer in {place} place"))
    rows += [
        _finding(PENALISED, r["edit"], f"{r['edit']} ({r['what']}), which says nothing, lowers the score by "
                 f"{_units(-r['shift'], table)}")
        for r in table["edits"]
        if r["outcome"] == "falls" and r["group"] == "neutral"
    ]  # fmt: skip
    missing = table["calls"]["missing"]
    if missing:
        counted = ", ".join(f"{why}: {count:,}" for why, count in missing.items())
        rows.append(_finding(MISSING, "scores", f"{sum(missing.values()):,} answers got no finite score ({counted})"))
    return [{**row, "says": row["says"].replace("-", "−") if row["check"] == "length" else row["says"]} for row in rows]


def _finding(kind: str, check: str, says: str) -> Row:
    return {"kind": kind, "check": check, "says": says}


def _units(value: float, table: Row) -> str:
    return f"{value:.2g} {'SD' if table['unit']['of'].startswith('SD') else table['unit']['of'].partition(' ')[0]}"
