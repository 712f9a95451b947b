"""`trueward audit`: is a run's reward earned? For runs of any tool, from its checkpoints or the answers that it wrote down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from trueward.cli import terminal
from trueward.cli.terminal import Quiet, Verbose
from trueward.console import as_json as as_json_text


def audit(
    checkpoints: Annotated[
        list[str] | None,
        typer.Argument(help="Models or adapters, a pattern such as 'out/checkpoint-*'; else --samples."),
    ] = None,
    samples: Annotated[
        list[str] | None,
        typer.Option("--samples", help="Files with a run's answers (a pattern, or a folder); may be repeated."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference", help="The model that training began from; or a file with its answers (else: the first look)."
        ),
    ] = None,
    truth: Annotated[
        list[str] | None,
        typer.Option(
            help="What training did not see: verifier:NAME, module:function, file.py:function, model:DIR, a column."
        ),
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option(help="What training pushed up, in the same forms; the files' reward column if not given."),
    ] = None,
    prompts: Annotated[
        str, typer.Option(help="Prompts for checkpoints to answer: JSONL or a data set, held out.")
    ] = "",
    count: Annotated[int, typer.Option("--count", "-n", min=2, help="At most so many prompts.")] = 512,
    temperature: Annotated[float | None, typer.Option(min=0.0, help="1 if not given, or the run's.")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="48 if not given (256 at a service), or the run's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="0 if not given, or the run's.")] = None,
    endpoint: Annotated[
        str, typer.Option(help="Ask for answers at a service with OpenAI's interface, /v1 included, and load no model.")
    ] = "",
    model: Annotated[
        list[str] | None, typer.Option(help="With --endpoint: a model's name there, with its step; may be repeated.")
    ] = None,
    key: Annotated[str, typer.Option(help="With --endpoint: the environment variable that holds its key.")] = "",
    out: Annotated[Path, typer.Option("--out", "--output-dir", help="Where all of it goes.")] = Path("audit"),
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for more, and look again, until the run stops.")
    ] = False,
    idle: Annotated[
        float, typer.Option("--idle", min=0.0, help="Minutes without anything new after which a run has stopped.")
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Audit a run of any tool: proxy and truth of its answers, beside the reference's answers to the same prompts."""
    from trueward.pipeline.audit import AuditRequest, tables

    request = AuditRequest(
        checkpoints=tuple(checkpoints or ()),
        samples=tuple(samples or ()),
        reference=reference,
        truths=tuple(truth or ()),
        proxy=proxy,
        prompts=prompts,
        count=count,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        seed=seed,
        endpoint=endpoint,
        models=tuple(model or ()),
        key=key,
        out=out,
        follow=follow,
        idle=60 * idle,
    )
    from trueward.progress import Progress, terminal_progress

    if as_json or quiet:
        for table in tables(request, Progress()):
            last = table
        if as_json:
            print(as_json_text(last))
        return
    with terminal_progress() as progress:
        for table in tables(request, progress):
            last = table
            if follow:
                word = (table["verdict"] or {}).get("word", "")
                progress.tell(
                    f"{len(table['history']) - 1} looks, the last of step {table['history'][-1]['step']}: {word}"
                )
    show(last, out / "audit.html", verbose)


def show(table: dict[str, Any], page: Path, verbose: bool) -> None:
    """Print an audit's table and the lines below it, and where its page is."""
    from trueward.reporting import audit_text

    console = terminal.console()
    console.print(audit_text.audit_terminal_table(table))
    for line in audit_text.audit_sentences(table, verbose):
        console.print(line, highlight=False, markup=False)
    console.print(f"The whole audit: {page}", highlight=False, markup=False, soft_wrap=True)
