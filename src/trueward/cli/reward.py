"""`trueward reward`: a reward audited before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueward.cli import terminal
from trueward.cli.terminal import Quiet
from trueward.console import as_json as as_json_text

app = typer.Typer(name="reward", help="Test a reward before anything is trained on it.")
TABLE, PAGE = "reward_test.json", "reward_test.html"


@app.callback()
def group() -> None:
    """Test a reward before anything is trained on it."""


@app.command(name="test")
def audit(
    reward: Annotated[
        str,
        typer.Argument(
            help="module:function, FILE.py:function, a reward model's directory, model:OWNER/NAME, a run, "
            "verifier:NAME,key=value, judge,model=NAME, or RECIPE.toml for a mixture."
        ),
    ],
    prompts: Annotated[
        str,
        typer.Option(
            help="JSONL or a data set, with answers or without; those of the run, or built-in ones, if not given."
        ),
    ] = "",
    model: Annotated[
        str, typer.Option(help="Who answers the prompts; the answers in the file, else trueward:base, if not given.")
    ] = "",
    count: Annotated[int, typer.Option("--count", "-n", min=2, help="At most so many prompts.")] = 64,
    answers: Annotated[int, typer.Option(min=1, help="Answers of the model to each prompt.")] = 2,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The most tokens of a model's answer.")] = 48,
    temperature: Annotated[float, typer.Option(min=0.0, help="The model's sampling temperature.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Directory of reward_test.json and .html; the current one if not given."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 if something exploitable or unstable was found.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON; files with --out only.")] = False,
    quiet: Quiet = False,
) -> None:
    """Test what a reward loves that it must not: flattery, padding, form, an injected claim; and whether it is stable."""
    from trueward import artifacts
    from trueward.evaluation.reward_test.findings import STRICT
    from trueward.models import loading
    from trueward.pipeline.named_reward import named_reward
    from trueward.pipeline.reward_answers import AnswerRequest
    from trueward.pipeline.reward_test import reward_test
    from trueward.progress import Progress, terminal_progress
    from trueward.reporting import reward_test_page, reward_test_table
    from trueward.training.env import Env

    request = AnswerRequest(prompts or None, model, count, answers, max_new_tokens, temperature, seed)
    device = loading.pick_device("auto")
    if quiet or as_json:
        table = reward_test(named_reward(reward, Env(device)), request, Env(device, Progress()))
    else:
        with terminal_progress() as progress:
            table = reward_test(named_reward(reward, Env(device)), request, Env(device, progress))
    place = (out or Path()) / PAGE
    if out or not as_json:
        place.parent.mkdir(parents=True, exist_ok=True)
        artifacts.write_json(place.with_name(TABLE), table)
        artifacts.write_text(place, reward_test_page.page(table))
    if as_json:
        print(as_json_text(table))
    elif not quiet:
        console = terminal.console()
        console.print(reward_test_table.table(table))
        for text in reward_test_table.sentences(table):
            console.print(text, highlight=False, markup=False)
        console.print(f"The page: {place}", highlight=False, soft_wrap=True, markup=False)
    if strict and any(finding["kind"] in STRICT for finding in table["findings"]):
        raise typer.Exit(1)
