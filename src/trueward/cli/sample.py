"""`trueward sample`: print answers of one model, or of two side by side."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from trueward.records import Completion, Prompt


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
    system: Annotated[str, typer.Option("--system", help="A system message; needs a chat template.")] = "",
    plain: Annotated[
        bool, typer.Option("--plain", help="Let the model go on with the text, without its chat template.")
    ] = False,
) -> None:
    """Print a model's answers to prompts (from standard input, one a line, if none is given).

    A prompt is the user's message where the model has a chat template. A line on standard input may be messages, as JSON.
    """
    from trueward.models.run_paths import model_path
    from trueward.records import Prompt

    models = [model, *([compare] if compare else [])]
    for name in models:
        model_path(name)  # a name that is none is answered before anything is read from standard input
    prompts = [Prompt(text=text) for text in prompt if text.strip()] if prompt else typed("".join(sys.stdin), plain)
    if not prompts or len(prompts) < len(prompt or []):
        raise ValueError("sample: expected a prompt that isn't empty: --prompt TEXT, or one a line on standard input")
    show(models, prompts, count, temperature, max_new_tokens, seed, system, plain)


def typed(text: str, plain: bool = False) -> list[Prompt]:
    """The prompts on standard input: a line each, text or messages as JSON; or messages over several lines. plain: lines
    of text."""
    from trueward.data import given
    from trueward.records import Prompt

    rows = [row.strip() for row in text.splitlines() if row.strip()]
    if plain:
        return [Prompt(text=row) for row in rows]
    if (whole := _messages(text)) is not None:
        rows = [text]
    prompts: list[Prompt] = []
    for number, row in enumerate(rows, 1):
        messages = whole or _messages(row)
        place = f"standard input, line {number}" if whole is None else "standard input"
        if messages is None:
            prompts.append(Prompt(text=row))
        else:  # no scorer reads what stands beside them
            prompts += [p.model_copy(update={"columns": {}}) for p in given.prompts([messages], place).rows]
    return prompts


def _messages(text: str) -> dict[str, Any] | None:
    """A row with the messages, and whatever stands beside them, that a text is as JSON."""
    from trueward.data import cells

    value = cells.decoded(text)
    if isinstance(value, list):
        return {"messages": value}
    if isinstance(value, dict):
        return {"messages": [value]}
    if text.lstrip().startswith("{"):
        with contextlib.suppress(json.JSONDecodeError, RecursionError):
            value = json.loads(text)
    return value if isinstance(value, dict) and "messages" in value else None


def as_text(completion: Completion) -> str:
    """The answer as it is printed; an empty one is marked as such."""
    return (completion.response.strip() or "(an empty answer)") + ("" if completion.finished else " … (cut)")


def show(
    models: list[str],
    prompts: list[Prompt],
    count: int,
    temperature: float,
    max_new_tokens: int,
    seed: int,
    system: str = "",
    plain: bool = False,
) -> None:
    """Print `count` answers of each model to each prompt."""
    from jinja2 import TemplateError
    from rich.table import Table
    from rich.text import Text

    from trueward.console import ScreenConsole
    from trueward.data.asked import asked
    from trueward.models import conventions, loading
    from trueward.models.run_paths import model_path
    from trueward.sampling.draws import Draws
    from trueward.sampling.sampler import SamplingParams
    from trueward.sampling.sampler import sample as draw

    repeated = [p for p in prompts for _ in range(count)]
    params, draws = SamplingParams(temperature, max_new_tokens), Draws.purpose(seed, "sample")
    device = loading.pick_device("auto")
    columns = []
    for model in models:
        network = loading.causal(model_path(model), seed, device)
        if aside := conventions.note(model_path(model)):
            print(f"trueward: note: {aside}", file=sys.stderr)
        try:
            given_to_it = [asked(p, network.tokenizer, system, plain) for p in repeated]
            columns.append(draw(network, given_to_it, params, draws).completions)
        except TemplateError as error:
            raise ValueError(f"{model}: the model's chat template refuses this conversation: {error}") from None
        except ValueError as error:
            raise ValueError(f"{model}: {error}") from None
    table = Table(show_lines=True)
    table.add_column("prompt", ratio=1)
    for model in models:
        table.add_column(model, ratio=2)
    for i, prompt in enumerate(repeated):
        cells = [Text(as_text(c[i])) for c in columns]
        table.add_row(Text(str(prompt)), *cells)
    ScreenConsole().print(table)
