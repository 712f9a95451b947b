"""`trueward evaluate`: two checkpoints side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from trueward.cli import terminal
from trueward.cli.terminal import run_directory
from trueward.console import as_json as as_json_text


def evaluate(
    model: Annotated[str, typer.Argument(help="A run's name, RUN/STAGE, or a model's directory.")],
    against: Annotated[
        str | None, typer.Option(help="The model to compare with; the run's SFT policy if not given.")
    ] = None,
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            help="proxy, a truth of the run, model:DIRECTORY, verifier:NAME,key=value, judge,model=NAME, a file of these; "
            "the run's own if not given."
        ),
    ] = None,
    prompts: Annotated[str, typer.Option(help="JSONL or a data set; the run's held-out prompts if not given.")] = "",
    count: Annotated[int, typer.Option("--count", "-n", min=2, help="At most so many prompts.")] = 512,
    temperature: Annotated[float | None, typer.Option(min=0.0, help="The run's if not given.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="The run's if not given.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    people: Annotated[
        str, typer.Option(help="A studio's project in which people compare a run's answers with its SFT policy's.")
    ] = "",
    judge: Annotated[
        str,
        typer.Option(
            help="With --people: who judges all pairs of the evaluation beside them: proxy, its first truth, one of its "
            "[[evaluation.judge]] by name (or RECIPE.toml:NAME), a file of judged pairs, or a .toml file with [judge]."
        ),
    ] = "",
    within: Annotated[
        float,
        typer.Option(min=0.1, max=50, help="With --judge: percentage points ± that people's clicks are planned for."),
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Compare two checkpoints on the same prompts: by any scorer (blind, in both orders), or by people."""
    if people:
        if against or scorer or prompts:
            raise ValueError("--people: they compare the answers of the run's own evaluation; give nothing but the run")
        from trueward.cli import human_eval

        human_eval.evaluate(run_directory(model), people, count, judge, within, as_json)
        return
    if judge:
        raise ValueError("--judge: stands beside people who judge some of the pairs; give --people PROJECT, too")

    from trueward.pipeline import head_to_head
    from trueward.progress import Progress, terminal_progress
    from trueward.reporting import head_to_head_table

    request = head_to_head.EvalRequest(
        model, against, tuple(scorer or ()), prompts, count, temperature, max_new_tokens, seed
    )
    if as_json:
        print(as_json_text(head_to_head.evaluate(request, Progress())))
        return
    with terminal_progress() as progress:
        result = head_to_head.evaluate(request, progress)
    console = terminal.console()
    console.print(head_to_head_table.table(result))
    for text in head_to_head_table.sentences(result):
        console.print(text, highlight=False, markup=False)
