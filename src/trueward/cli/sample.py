"""`trueward sample`: print answers of one model, or of two side by side."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trueward.records import Completion


def sample(
    model: Annotated[str, typer.Argument(help="A run's name, RUN/STAGE, or a model's directory.")],
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", "-p", help="A prompt to answer; may be repeated.")
    ] = None,
    compare: Annotated[str | None, typer.Option("--compare", help="A second model, printed side by side.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Answers to each prompt.")] = 1,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Sampling temperature; 0: always the likeliest token.")
    ] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The most tokens of an answer.")] = 48,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
) -> None:
    """Print a model's answers to prompts (from standard input, one a line, if none is given)."""
    prompts = list(prompt or []) or [text for text in (row.strip() for row in sys.stdin) if text]
    if not prompts or not all(p.strip() for p in prompts):
        raise ValueError("sample: expected a prompt that isn't empty")
    show([model, *([compare] if compare else [])], prompts, count, temperature, max_new_tokens, seed)


def as_text(completion: Completion) -> str:
    """The answer as it is printed; an empty one is marked as such."""
    return (completion.response.strip() or "(an empty answer)") + ("" if completion.finished else " … (cut)")


def show(models: list[str], prompts: list[str], count: int, temperature: float, max_new_tokens: int, seed: int) -> None:
    """Print `count` answers of each model to each prompt."""
    from rich.table import Table
    from rich.text import Text

    from trueward.console import ScreenConsole
    from trueward.models import loading
    from trueward.models.run_paths import model_path
    from trueward.records import Prompt
    from trueward.sampling.draws import Draws
    from trueward.sampling.sampler import SamplingParams
    from trueward.sampling.sampler import sample as draw

    repeated = [Prompt(text=p) for p in prompts for _ in range(count)]
    device = loading.pick_device("auto")
    columns = []
    for model in models:
        network = loading.causal(model_path(model), seed, device)
        rollout = draw(network, repeated, SamplingParams(temperature, max_new_tokens), Draws.purpose(seed, "sample"))
        columns.append(rollout.completions)
    table = Table(show_lines=True)
    table.add_column("prompt", ratio=1)
    for model in models:
        table.add_column(model, ratio=2)
    for i, prompt in enumerate(repeated):
        cells = [Text(as_text(c[i])) for c in columns]
        table.add_row(Text(str(prompt)), *cells)
    ScreenConsole().print(table)
