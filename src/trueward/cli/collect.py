"""`trueward comparisons make`: one model or two answer prompts, and the pairs go to the studio's queue for people to judge."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from trueward.data.snapshots import data_directory

BATCH = 64  # prompts in a batch


def make(
    model: Annotated[str, typer.Option(help="The model that answers: RUN/STAGE, or a model's directory.")],
    project: Annotated[str, typer.Option(help="The studio's project; made if it isn't there.")],
    prompts: Annotated[str, typer.Option(help="JSONL or a data set; the run's own prompts if not given.")] = "",
    against: Annotated[str, typer.Option(help="Another model for the second answer; the same one if not given.")] = "",
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="At most so many prompts.")] = 100,
    overlap: Annotated[int, typer.Option(min=1, max=100, help="People who judge each pair, in a new project.")] = 1,
    instructions: Annotated[str, typer.Option(help="The instructions that people read, in a new project.")] = "",
    temperature: Annotated[float, typer.Option(min=0.0, help="Sampling temperature.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The most tokens of an answer.")] = 48,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    select: Annotated[
        str, typer.Option(help="Which pairs: random, d-optimal or gap; the latter two need --reward.")
    ] = "random",
    reward: Annotated[str, typer.Option(help="A reward model by which to select: a run, or a directory.")] = "",
    candidates: Annotated[
        int, typer.Option(min=2, help="Pairs sampled for each one that is kept, when selecting.")
    ] = 4,
    random_share: Annotated[float, typer.Option(min=0.2, max=1.0, help="Share of the pairs drawn at random.")] = 0.2,
    data: Annotated[Path | None, typer.Option(help="The studio's directory.")] = None,
    database: Annotated[str, typer.Option(help="The studio's PostgreSQL, if it has one.")] = "",
) -> None:
    """Sample two answers to each prompt and send the pairs to a project of the studio, for people to compare."""
    if not against and temperature == 0:
        raise ValueError("--temperature 0: one model would answer twice the same; give --against or a higher one")
    if select not in ("random", "d-optimal", "gap"):
        raise ValueError(f"--select {select}: expected random, d-optimal or gap")
    if (select == "random") == bool(reward):
        raise ValueError(f"--select {select}: d-optimal and gap use a reward model, so --reward belongs to them alone")
    rows = _prompts(model, prompts)[: count * (candidates if reward else 1)]
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
        raise ValueError(f"--project {project}: is one to {projects.KINDS[known.kind]} in")
    networks = [_network(name, seed) for name in dict.fromkeys((model, against or model))]
    drawn: list[projects.Pair] = []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        first = _answers(networks[0], batch, temperature, max_new_tokens, seed, start, "first")
        second = _answers(networks[-1], batch, temperature, max_new_tokens, seed, start, "second")
        for prompt, one, two in zip(batch, first, second, strict=True):
            if (one.response, one.finished) != (two.response, two.finished):
                ended = (one.finished, two.finished)
                drawn.append(projects.pair(prompt, (one.response, two.response), (model, against or model), ended))
    same = len(rows) - len(drawn)
    if reward:
        drawn = _selected(drawn, reward, select, count, random_share, seed)
    added = base.write(lambda c: projects.add_pairs(c, projects.get(c, project), drawn))
    base.close()
    equal = f"; {same} prompts got the same answer twice and were left out" if same else ""
    print(f"{project}: {added} pairs to judge from {len(rows)} prompts{equal}")


def _selected(drawn: list[Any], reward: str, select: Any, count: int, random_share: float, seed: int) -> list[Any]:
    """The pairs that a strategy selects, each with its strategy and propensity."""
    from dataclasses import replace

    from trueward.evaluation import selection
    from trueward.models import loading
    from trueward.models.run_paths import is_model
    from trueward.records import Completion
    from trueward.scorers import reward_model
    from trueward.seeds import seed_for

    folder = next((f for f in (Path("runs") / reward, Path(reward)) if (f / "reward_model" / "model").is_dir()), None)
    place = folder / "reward_model" / "model" if folder else Path(reward)
    if not is_model(place):
        raise ValueError(
            f"--reward {reward}: there is no reward model (neither a run with one nor a model's directory)"
        )
    scorer = reward_model.load(place, loading.pick_device("auto"))
    read = [
        scorer.judge_with_states(
            [
                Completion(prompt=p.prompt, response=r.text, finished=r.finished)
                for p in drawn
                for r in (getattr(p, side),)
            ]
        )
        for side in ("first", "second")
    ]
    margins = (read[0][0].score - read[1][0].score) * scorer.scale.sd  # in log-odds, as the model was fitted
    chosen = selection.choose(
        select, read[0][1] - read[1][1], margins, count, random_share, seed_for(seed, "pairs at random")
    )
    return [replace(drawn[c.index], strategy=c.strategy, propensity=c.propensity) for c in chosen]


def _prompts(model: str, source: str) -> list[Any]:
    """The prompts of the source, or those that the run trains on."""
    from trueward.data import loading

    if not source:
        for path in (Path(model), Path("runs") / model):
            for folder in (path, *path.parents):
                if (folder / "prepare" / "prompts.jsonl").is_file():
                    from trueward.pipeline.records import read_prompts

                    return list(read_prompts(folder / "prepare" / "prompts.jsonl"))
        raise ValueError(f"--prompts: {model} is no run that brings its own; give a JSONL file or a data set")
    return list(loading.prompts(source).rows)


def _network(name: str, seed: int) -> Any:
    from trueward.models import loading
    from trueward.models.run_paths import model_path

    return loading.causal(model_path(name), seed, loading.pick_device("auto"))


def _answers(
    network: Any, prompts: list[Any], temperature: float, max_new_tokens: int, seed: int, start: int, what: str
) -> list[Any]:
    from trueward.sampling.draws import Draws
    from trueward.sampling.sampler import SamplingParams, sample

    draw = Draws.purpose(seed, "pairs to judge", what, start)
    return list(sample(network, prompts, SamplingParams(temperature, max_new_tokens), draw).completions)
