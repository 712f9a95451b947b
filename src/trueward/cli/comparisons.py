"""`trueward comparisons`: import, export and examine people's judgements. Loads no torch."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tomli_w
import typer

from trueward.cli import terminal
from trueward.console import as_json as as_json_text

if TYPE_CHECKING:
    from trueward.data.options import ReadOptions

app = typer.Typer(
    name="comparisons",
    help="Import, export and examine comparisons (docs/comparisons.md).",
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Format = Annotated[
    str,
    typer.Option(
        help="The form or kind of file, where it can't be recognised: trl, trl-implicit, hh, rankings, csv..."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the file that is there.")]
HUB = "hf:"


@app.command(name="import")
def import_(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE...", help="JSONL, CSV or Parquet; or hf:OWNER/NAME[:SPLIT].")
    ] = None,
    dataset: Annotated[str, typer.Option(help="A Hugging Face data set by its name, as hf:NAME.")] = "",
    format: Format = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; NAME.comparisons.jsonl if not given.")
    ] = None,
    ties: Annotated[bool, typer.Option("--ties/--no-ties", help="Whether ties are kept.")] = True,
    drop_repeated: Annotated[
        bool, typer.Option("--drop-repeated", help="Leave out repeated rows; without it each one is a vote.")
    ] = False,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            help="Which columns hold what, as prompt=question,chosen=answer_a; no other one is then the prompt."
        ),
    ] = None,
    roles: Annotated[
        list[str] | None, typer.Option(help="Which roles the speakers of messages are, as human=user,gpt=assistant.")
    ] = None,
    order: Annotated[str, typer.Option(help="What the order of a list without ranks or scores says: best-first.")] = "",
    contradictions: Annotated[
        str,
        typer.Option(help="What is done with rows that contradict themselves (chosen is scored lower): stop or drop."),
    ] = "stop",
    tolerate: Annotated[float, typer.Option(help="The share of rows that may be unusable.")] = 0.5,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Read comparisons in any form, check every line, and write them in trueward's own."""
    from trueward.data import feedback, importing
    from trueward.data.options import ReadOptions, pairs

    sources = [*(files or []), *([HUB + dataset.removeprefix(HUB)] if dataset else [])]
    if not sources:
        raise ValueError("comparisons import: expected a file, or --dataset NAME")
    options = ReadOptions(
        "", pairs(columns or [], "--columns"), pairs(roles or [], "--roles"), contradictions, order, tolerate
    )
    alone = not options.columns and all(feedback.is_feedback(source, format) for source in sources)
    target = out or Path(f"{_stem(sources[0])}.{'feedback' if alone else 'comparisons'}.jsonl")
    _free(target, sources, force)
    if alone:
        return _feedback(sources, format, options, target, as_json)
    imported = importing.gather(sources, format, ties=ties, repeated=not drop_repeated, options=options)
    importing.save(target, imported.rows)
    table = imported.table()
    if as_json:
        print(as_json_text({"file": str(target), **table}))
        return
    console = terminal.console()
    about = [f"{table['comparisons']:,} comparisons of {table['prompts']:,} prompts"]
    words = {"rankings": "ranking", "ties": "tie", "check_pairs": "check pair", "annotators": "annotator"}
    about += [f"{table[key]:,} {word}{'s' * (table[key] > 1)}" for key, word in words.items() if table[key]]
    _say(console, ", ".join(about) + f", in {target}")
    _counts(console, "left out", "rows", imported.left_out)
    _counts(console, "column that nobody reads", "rows", imported.ignored)
    if imported.repeated:
        _say(
            console,
            f"{imported.repeated:,} rows repeat an earlier one; each is a vote. --drop-repeated leaves them out.",
        )
    _say(console, "A recipe takes them with")
    recipe = {"comparisons": {"source": "file", "path": str(target)}}
    _say(console, "\n" + "".join(f"    {line}\n" for line in tomli_w.dumps(recipe).splitlines()))
    _say(console, f"and `trueward comparisons agree {shlex.quote(str(target))}` reports how far people agree.")


def _feedback(sources: list[str], format: str, options: ReadOptions, target: Path, as_json: bool) -> None:
    """Answers judged alone are kept as what they are, and what can use them is said."""
    from trueward.data import feedback

    loads = [feedback.read(source, format, options) for source in sources]
    rows = [row for loaded in loads for row in loaded.rows]
    left_out = sum((loaded.left_out for loaded in loads), Counter[str]())
    feedback.save(target, rows)
    up = sum(row.liked for row in rows)
    if as_json:
        table = {"feedback": len(rows), "up": up, "down": len(rows) - up, "left_out": dict(left_out)}
        print(as_json_text({"file": str(target), **table}))
        return
    console = terminal.console()
    _say(console, f"{len(rows):,} answers judged alone, {up:,} up and {len(rows) - up:,} down, in {target}")
    _counts(console, "left out", "rows", left_out)
    _say(console, "No comparisons: a thumb says nothing of another answer. Those that were liked are demonstrations:")
    recipe = {"data": {"demonstrations": str(target)}}
    _say(console, "\n" + "".join(f"    {line}\n" for line in tomli_w.dumps(recipe).splitlines()))


@app.command()
def agree(
    file: Annotated[str, typer.Argument(help="Comparisons in any form; or hf:OWNER/NAME[:SPLIT].")],
    format: Format = "",
    checks: Annotated[str, typer.Option(help="A file of pairs whose outcome is known, to examine annotators by.")] = "",
    as_json: Json = False,
) -> None:
    """Report how far annotators agree, how often they are right on check pairs, and where they contradict each other."""
    from trueward.data import comparisons
    from trueward.evaluation import annotators
    from trueward.reporting import annotators_table

    known = []
    for c in comparisons.read(checks).rows if checks else []:
        if c.probability == 0.5:
            raise ValueError(f"{checks}: a check pair has a winner, and the one to {str(c.prompt)[:60]!r} is a tie")
        known.append(c.model_copy(update={"check": "first" if c.probability > 0.5 else "second"}))
    figures = annotators.examine(comparisons.read(file, format).rows, known)
    if as_json:
        print(as_json_text(figures))
        return
    console = terminal.console()
    for table in annotators_table.tables(figures):
        console.print(table)
    for text in annotators_table.sentences(figures):
        _say(console, text)


@app.command()
def export(
    file: Annotated[str, typer.Argument(help="Comparisons in any form; or hf:OWNER/NAME[:SPLIT].")],
    format: Annotated[
        str,
        typer.Option(help="trl, trl-conversational, trl-implicit, hh, csv, parquet, rankings, or jsonl, our own."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; NAME.FORMAT.jsonl if not given.")
    ] = None,
    extra: Annotated[
        bool, typer.Option("--extra/--no-extra", help="Whether columns with votes, agreement and margin are added.")
    ] = True,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write comparisons in another form, and report what that form can't hold."""
    from trueward.data import comparisons

    form = "own" if format == "jsonl" else format
    ending = {"csv": "csv", "parquet": "parquet", "own": "own.jsonl"}.get(form, f"{form}.jsonl")
    target = out or Path(f"{_stem(file)}.{ending}")
    if form not in comparisons.FORMATS:
        known = ["jsonl", *comparisons.FORMATS[1:]]
        raise ValueError(f'--format: expected {", ".join(known[:-1])} or {known[-1]}, got "{format}"')
    _free(target, [file], force)
    rows = comparisons.read(file).rows
    lost = comparisons.write(target, rows, form, extra=extra)
    if as_json:
        print(as_json_text({"file": str(target), "comparisons": len(rows), "lost": dict(lost)}))
        return
    console = terminal.console()
    not_written = {reason: lost[reason] for reason in comparisons.WHOLE if lost[reason]}
    written = len(rows) - sum(not_written.values())
    _say(console, f"{written:,} of {len(rows):,} comparisons, as {format}, to {target}")
    _counts(console, "not written, for this form can't hold them", "rows", not_written)
    _counts(console, "lost of the rows written", "rows", {k: n for k, n in lost.items() if k not in not_written})
    if not lost:
        _say(console, "Reading it gives back all that was there.")


def _stem(source: str) -> str:
    """A source's name without its directory and endings."""
    name = source.removeprefix(HUB).partition(":")[0] if source.startswith(HUB) else source
    return Path(name).name.partition(".")[0] or "imported"


def _free(target: Path, sources: list[str], force: bool) -> None:
    if any(not s.startswith(HUB) and Path(s).exists() and target.resolve() == Path(s).resolve() for s in sources):
        raise ValueError(f"{target}: is read from, so it can't be written to; give another --out")
    if target.exists() and not force:
        raise ValueError(f"{target}: is there already; give another --out, or --force to replace it")


def _say(console: Any, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _counts(console: Any, what: str, unit: str, counts: Mapping[str, int]) -> None:
    from rich.table import Table

    if not counts:
        return
    table = Table(what, box=None, pad_edge=False)
    table.add_column(unit, justify="right")
    for reason, count in sorted(counts.items(), key=lambda row: (-row[1], row[0])):
        table.add_row(reason, f"{count:,}")
    console.print(table)
