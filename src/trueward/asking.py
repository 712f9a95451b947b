"""Answers for people to judge: a model, or two, answers prompts, and the pairs go to the studio's queue."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from trueward.data.snapshots import data_directory

BATCH = 64  # prompts that are answered and posted at a time


def make(
    model: Annotated[str, typer.Option(help="Who answers: RUN/STAGE, or a model's directory.")],
    project: Annotated[str, typer.Option(help="The studio's project; made if it isn't there.")],
    prompts: Annotated[str, typer.Option(help="JSONL or a data set; the run's own prompts if not given.")] = "",
    against: Annotated[str, typer.Option(help="Another model for the second answer; the same one if not given.")] = "",
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="At most so many prompts.")] = 100,
    overlap: Annotated[int, typer.Option(min=1, max=100, help="People who judge each pair, in a new project.")] = 1,
    instructions: Annotated[str, typer.Option(help="What people are told, in a new project.")] = "",
    temperature: Annotated[float, typer.Option(min=0.0, help="The sampler's.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The most tokens of an answer.")] = 48,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    data: Annotated[Path | None, typer.Option(help="The studio's directory.")] = None,
    database: Annotated[str, typer.Option(help="The studio's PostgreSQL, if it has one.")] = "",
) -> None:
    """Two answers to each prompt, put into the open round of a project of the studio."""
    if not against and temperature == 0:
        raise ValueError("--temperature 0: one model would answer twice the same; give --against or a higher one")
    asked = _prompts(model, prompts)[:count]
    from trueward.studio.command import require_extra

    require_extra()
    from trueward.studio.store import projects
    from trueward.studio.store.database import Database

    base = Database(data or data_directory(), database or os.environ.get("TRUEWARD_DATABASE", ""))
    with base.reading() as connection:
        known = projects.find(connection, project)
    if known is None:
        base.write(lambda c: projects.create(c, project, instructions=instructions, overlap=overlap))
    elif known.kind != "compare":
        raise ValueError(f"--project {project}: is one to write demonstrations in")
    networks = [_network(name, seed) for name in dict.fromkeys((model, against or model))]
    added = same = 0
    for start in range(0, len(asked), BATCH):
        batch = asked[start : start + BATCH]
        first = _answers(networks[0], batch, temperature, max_new_tokens, seed, start, "first")
        second = _answers(networks[-1], batch, temperature, max_new_tokens, seed, start, "second")
        pairs = []
        for prompt, one, two in zip(batch, first, second, strict=True):
            if (one.response, one.finished) == (two.response, two.finished):
                same += 1
                continue
            ended = (one.finished, two.finished)
            pairs.append(projects.pair(prompt, (one.response, two.response), (model, against or model), ended))

        def post(connection: Any, pairs: list[Any] = pairs) -> int:
            return projects.add_pairs(connection, projects.get(connection, project), pairs)

        added += base.write(post)
    base.close()
    equal = f"; {same} prompts got the same answer twice and were left out" if same else ""
    print(f"{project}: {added} pairs to judge from {len(asked)} prompts{equal}")


def _prompts(model: str, source: str) -> list[Any]:
    """The prompts that were named, or those that the run trains on."""
    from trueward.data import loading

    if not source:
        for path in (Path(model), Path("runs") / model):
            for folder in (path, *path.parents):
                if (folder / "prepare" / "prompts.jsonl").is_file():
                    from trueward.workflow.context import read_prompts

                    return list(read_prompts(folder / "prepare" / "prompts.jsonl"))
        raise ValueError(f"--prompts: {model} is no run that brings its own; give a JSONL file or a data set")
    return list(loading.prompts(source).rows)


def _network(name: str, seed: int) -> Any:
    from trueward.models import loading
    from trueward.models.places import place

    return loading.causal(place(name), seed, loading.pick_device("auto"))


def _answers(
    network: Any, prompts: list[Any], temperature: float, max_new_tokens: int, seed: int, start: int, what: str
) -> list[Any]:
    from trueward.engines.sampler import Sampling, sample
    from trueward.models.schedule import generator

    draw = generator(seed, "pairs to judge", what, start)
    return list(sample(network, prompts, Sampling(temperature, max_new_tokens), draw).completions)
