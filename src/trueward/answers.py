"""Answers on the terminal: one or two models, side by side (`trueward sample`)."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trueward.engines.sampler import Sampling
from trueward.engines.sampler import sample as draw
from trueward.models import loading
from trueward.models.places import place
from trueward.models.schedule import generator
from trueward.records import Completion, Prompt


def as_shown(completion: Completion) -> str:
    """The answer as a person reads it; an empty one says so."""
    return (completion.response.strip() or "(an empty answer)") + ("" if completion.finished else " … (cut)")


def show(models: list[str], prompts: list[str], count: int, temperature: float, max_new_tokens: int, seed: int) -> None:
    """Print `count` answers of each model to each prompt."""
    asked = [Prompt(text=p) for p in prompts for _ in range(count)]
    device = loading.pick_device("auto")
    columns = []
    for model in models:
        network = loading.causal(place(model), seed, device)
        rollout = draw(network, asked, Sampling(temperature, max_new_tokens), generator(seed, "sample"))
        columns.append(rollout.completions)
    table = Table(show_lines=True)
    table.add_column("prompt", ratio=1)
    for model in models:
        table.add_column(model, ratio=2)
    for i, prompt in enumerate(asked):
        cells = [Text(as_shown(c[i])) for c in columns]
        table.add_row(Text(str(prompt)), *cells)
    Console().print(table)
