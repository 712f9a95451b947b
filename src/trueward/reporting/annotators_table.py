"""The figures of `annotators.examine` as tables and sentences for a terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

Row = dict[str, Any]
MOST = 30  # annotators, or pairs of them, in a terminal's table; --json has all


def tables(examined: Row) -> list[Table]:
    """Tables of the annotators, and of every two of them. examined: the figures of `annotators.examine`."""
    out = []
    if examined["annotators"]:
        table = Table("annotator", box=None, pad_edge=False)
        for name in ("votes", "ties", "agree with others", "check pairs", "right on them", "chose the first shown"):
            table.add_column(name, justify="right")
        for row in examined["annotators"][:MOST]:
            table.add_row(
                row["annotator"],
                f"{row['votes']:,}",
                f"{row['ties']:,}",
                _percent(row["agreement"]),
                f"{row['check_pairs']:,}",
                _range(row, "accuracy"),
                _range(row, "first"),
            )
        out.append(table)
    if len(examined["between"]) > 1:
        table = Table("two annotators", box=None, pad_edge=False)
        for name in ("pairs", "agree", "Cohen's kappa"):
            table.add_column(name, justify="right")
        for row in examined["between"][:MOST]:
            kappa = "–" if row["kappa"] is None else f"{row['kappa']:.2f}"
            table.add_row(f"{row['first']}, {row['second']}", f"{row['pairs']:,}", _percent(row["agreement"]), kappa)
        out.append(table)
    return out


def sentences(examined: Row) -> list[str]:
    """The figures in sentences, one a line."""
    out = [f"{examined['comparisons']:,} votes on {examined['pairs']:,} pairs of {examined['prompts']:,} prompts."]
    out += _agreement(examined)
    seat = examined["position"]
    if seat["first"] is not None:
        fair = seat["first_low"] <= 0.5 <= seat["first_high"]
        bias = "no position bias can be seen" if fair else "the order in which they are shown matters"
        out.append(
            f"The response shown first was chosen in {_range(seat, 'first')} of {seat['decided']:,} votes: {bias}."
        )
    elif seat["decided"]:
        out.append("The chosen response always comes first here, so the file doesn't say which one was shown first.")
    if examined["check_pairs"]["votes"]:
        checked = examined["check_pairs"]
        out.append(f"On check pairs {_range(checked, 'accuracy')} of {checked['votes']:,} votes were right.")
    both = examined["contradictions"]
    if examined["repeated"]:
        out.append(f"{examined['repeated']:,} times an annotator said the same of the same pair again.")
    if both["of_one_annotator"]:
        out.append(f"{both['of_one_annotator']:,} times an annotator said both A over B and B over A.")
    if both["between_annotators"]:
        out.append(f"Pairs that different votes decided both ways: {both['between_annotators']:,}.")
    if examined["cycles"]["prompts"]:
        circular, of = examined["cycles"]["circular_triples"], examined["cycles"]["triples"]
        out.append(
            f"Prompts on which the choices go round in a circle: {examined['cycles']['prompts']:,} "
            f"({circular:,} of {of:,} triples), such as {examined['cycles']['examples'][0]!r}."
        )
    if examined["soft_labels"]:
        out.append(f"Soft labels, counted as the choice that they lean to: {examined['soft_labels']:,}.")
    return out


def _agreement(examined: Row) -> list[str]:
    if examined["agreement"] is None:
        return [
            "No pair was judged twice, so nothing can be said of agreement: let some pairs be judged by two people."
        ]
    out = [
        f"Two votes on a pair agree in {_range(examined, 'agreement')} ({examined['pairs_judged_twice']:,} pairs judged twice)."
    ]
    if examined["ties"]:
        out.append(f"With a tie as half a vote for either that is {_percent(examined['agreement_ties_half'])}.")
    if examined["kappa"] is not None and examined["alpha"] is not None:
        out.append(
            f"{examined['kappa_of']}'{'' if examined['kappa_of'].endswith('s') else 's'} kappa {examined['kappa']:.2f}, "
            f"Krippendorff's alpha {examined['alpha']:.2f}"
            + (
                f" ({examined['alpha_low']:.2f} to {examined['alpha_high']:.2f})"
                if examined["alpha_low"] is not None
                else ""
            )
            + "."
        )
        out.append(
            "Chance alone agrees on about half of all pairs. Preferences with 73 % raw agreement have a kappa of about .45, "
            "and this is normal: people differ in what they like, not only in how careful they are."
        )
    return out


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _range(row: Row, name: str) -> str:
    if row[name] is None:
        return "–"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{100 * row[name]:.0f} %" + (f" ({100 * low:.0f}–{100 * high:.0f} %)" if low is not None else "")
