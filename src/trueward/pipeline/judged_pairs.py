"""A judge beside people: what it says of all pairs of a run's final evaluation, of which people judge some.

The judge is a score that the run has of both answers, a file of judged pairs, or a language model that is asked now. What it
said is kept in `people/judged.jsonl`; `evaluation.prediction_powered` makes people's win rate of both.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trueward import config
from trueward.config.evaluation_judge import PREFIX
from trueward.config.reading import resolve
from trueward.data import comparisons as compared
from trueward.data import jsonl, questions
from trueward.data.questions import PeoplePair
from trueward.evaluation.prediction_powered import PoweredMean, powered_mean
from trueward.models import loading, precision
from trueward.pipeline import named_judge
from trueward.pipeline.judge_labels import build_judge
from trueward.pipeline.records import read_prompts
from trueward.pipeline.surroundings import token_budget
from trueward.progress import Progress
from trueward.records import Comparison, Completion, line
from trueward.scorers.judge.call_limit import CallLimit
from trueward.training.env import Env
from trueward.training.journal import read_log

FOLDER, JUDGED = "people", "judged.jsonl"
POINTS = 5.0  # half a width that is worth planning for
SECTIONS = {"judge", "runtime"}
Row = dict[str, Any]


@dataclass(frozen=True)
class JudgedRun:
    """What a judge said of a run's pairs. name: who it is, for the report."""

    name: str
    pairs: list[PeoplePair]
    votes: list[Comparison]


def evaluation_pairs(run: Path, most: int | None = None) -> list[PeoplePair]:
    """The answers of the run's final evaluation beside SFT's: the first `most`, or all.

    The prompts are in the order of the run's seed, so the first ones are a random part. `ValueError` without an evaluation.
    """
    return [pair for pair, _ in _rows(run)[:most]]


def judge_run(run: Path, judge: str, progress: Progress, say: Callable[[str], None]) -> JudgedRun:
    """What this judge says of all pairs of the run's final evaluation; kept in its directory.

    judge: `proxy` or the name of the run's first truth, whose scores are known; a file of comparisons; or who is asked now, and
    never twice (`runtime.judge.cache`): a judge of the run's [[evaluation.judge]] by its name, of a recipe's
    (`RECIPE.toml:NAME`), or a TOML file with a section [judge]. say: is told what that takes before the first request.
    `ValueError` in one line for another judge, or one that judged none of the pairs.
    """
    rows = _rows(run)
    pairs = [pair for pair, _ in rows]
    recipe = config.read(str(run / "recipe.toml"))
    truth = next((name for name in recipe.evaluation.truths if not name.startswith(questions.PREFIX)), "")
    own = [one.name for one in recipe.evaluation.judge]
    if judge in {"proxy", truth, truth.removeprefix(PREFIX)}:
        votes = _by_score(rows, "proxy" if judge == "proxy" else "truth", judge)
    elif named_judge.is_named(judge) or named_judge.TOML + ":" in judge or judge in own:
        found, calls = named_judge.find(judge, recipe.evaluation.judge, recipe.runtime.judge, f"--judge {judge}")
        settings = recipe.model_copy(
            update={"judge": found.settings(), "runtime": recipe.runtime.model_copy(update={"judge": calls})}
        )
        votes = _by_model(pairs, settings, found.name, progress, say, found.cap)
    elif Path(judge).suffix == ".toml":
        settings = _settings(judge)
        votes = _by_model(pairs, settings.model_copy(update={"seed": recipe.seed}), settings.judge.model, progress, say)
    elif Path(judge).is_file():
        votes = questions.matching(pairs, compared.read(judge).rows)
    else:
        scores = "proxy" + (f", {truth}" if truth else "")
        judges = f"{', '.join(own)} (of its [[evaluation.judge]]), " if own else ""
        raise ValueError(
            f"--judge {judge}: expected {scores} (a score that the run has), {judges}a file of judged pairs, or a .toml file "
            "with a section [judge]; RECIPE.toml:NAME is one of a recipe's [[evaluation.judge]]"
        )
    if not votes:
        raise ValueError(f"--judge {judge}: judged none of the {len(pairs)} pairs of {run}'s final evaluation")
    name = votes[0].annotator or votes[0].source
    votes = [vote.model_copy(update={"annotator": name}) for vote in votes]
    (run / FOLDER).mkdir(exist_ok=True)
    jsonl.write(run / FOLDER / JUDGED, [line(vote) for vote in votes])
    return JudgedRun(name, pairs, votes)


def read(run: Path) -> JudgedRun | None:
    """What `judge_run` kept; None if no judge was asked."""
    path = run / FOLDER / JUDGED
    if not path.is_file():
        return None
    votes = [Comparison.model_validate(row) for _, row in jsonl.read(path)]
    return JudgedRun(votes[0].annotator or "", evaluation_pairs(run), votes)


def powered(judged: JudgedRun, votes: Sequence[Comparison], points: float = POINTS) -> Row:
    """People's win rate over all pairs of the evaluation, with the judge's help: `powered` in the report.

    Two equal answers count half. A pair that the judge left out counts as a tie of its: any value is valid there. points: half
    the width that `needed` is about, in percentage points.
    """
    different = [pair for pair in judged.pairs if pair.differs]
    people = questions.preferences(different, votes)
    theirs = questions.preferences(different, judged.votes)
    silent = sum(v is None for v in theirs)
    known = np.array([np.nan if v is None else v for v in people])
    row: Row = {
        "judge": judged.name,
        "pairs": len(different),
        "same": len(judged.pairs) - len(different),
        "judged": int(np.isfinite(known).sum()),
        "unjudged": silent,
        "points": points,
    }
    if not row["judged"]:
        return row | dict.fromkeys(FIGURES)
    machine = np.array([0.5 if v is None else v for v in theirs])
    result = powered_mean(known, machine, [pair.prompt.id for pair in different])
    return row | _figures(result, row["same"] / len(judged.pairs), points)


FIGURES = (
    "win_rate", "win_rate_low", "win_rate_high", "any_time_low", "any_time_high", "alone_low", "alone_high",
    "weight", "correlation", "needed",
)  # fmt: skip


def _figures(result: PoweredMean, equal: float, points: float) -> Row:
    shares = {
        "win_rate": result.estimate,
        "win_rate_low": result.low,
        "win_rate_high": result.high,
        "any_time_low": result.any_time_low,
        "any_time_high": result.any_time_high,
        "alone_low": result.alone_low,
        "alone_high": result.alone_high,
    }
    return {
        **{key: None if x is None else round((1 - equal) * x + equal / 2, 5) for key, x in shares.items()},
        "weight": round(result.weight, 5),
        "correlation": round(result.correlation, 5),
        "needed": result.needed(points / 100 / (1 - equal)),
    }


def _rows(run: Path) -> list[tuple[PeoplePair, Row]]:
    path = run / "evaluation" / "policy.jsonl"
    if not path.is_file():
        raise ValueError(f"{run}: has no evaluation yet, and people judge its answers; `trueward run` makes one")
    known = {str(p): p for p in read_prompts(run / "prepare" / "prompts_held_out.jsonl")}
    return [
        (
            questions.people_pair(
                known[row["prompt"]],
                (row["response"], row["finished"]),
                (row["reference"], row["reference_finished"]),
            ),
            row,
        )
        for row in read_log(path)
    ]


def _by_score(rows: Sequence[tuple[PeoplePair, Row]], score: str, name: str) -> list[Comparison]:
    votes = []
    for pair, row in rows:
        ours, theirs = row[score], row[f"reference_{score}"]
        if pair.differs and ours is not None and theirs is not None:
            votes.append(_vote(pair, (1 + float(np.sign(ours - theirs))) / 2, name))
    return votes


def _vote(pair: PeoplePair, probability: float, name: str) -> Comparison:
    return Comparison(
        prompt=pair.prompt,
        first=pair.ours,
        second=pair.theirs,
        probability=probability,
        source="judge",
        annotator=name,
    )


def _by_model(
    pairs: Sequence[PeoplePair],
    recipe: config.Recipe,
    name: str,
    progress: Progress,
    say: Callable[[str], None],
    cap: int | None = None,
) -> list[Comparison]:
    """The judge's votes, asked now. name: who it is, in the votes. cap: calls that it may make; None: as many as it takes."""
    judge = recipe.judge
    different = [pair for pair in pairs if pair.differs]
    sides = [
        (
            Completion(prompt=pair.prompt, response=pair.ours.text, finished=pair.ours.finished),
            Completion(prompt=pair.prompt, response=pair.theirs.text, finished=pair.theirs.finished),
        )
        for pair in different
    ]
    requests = 2 * len(sides) * (len(judge.principles) if judge.draw == "all" else 1)
    calls = recipe.runtime.judge
    who = judge.model if name == judge.model else f"{name} ({judge.model})"
    say(
        f"{who} is asked about {len(sides):,} pairs: {requests:,} requests"
        + (f", of which {cap:,} may be made" if cap is not None and cap < requests else "")
        + (f", at most {calls.cap:g} in all." if calls.cap is not None else ".")
    )
    device = loading.pick_device(recipe.runtime.device)
    env = Env(
        device=device,
        dtype=precision.pick(recipe.model.dtype, device),
        micro_batch_tokens=token_budget(recipe.runtime, device),
        calls=calls,
        progress=progress,
    )
    asked = build_judge(judge, recipe.seed, env, None if cap is None else CallLimit(cap))
    progress.start("the judge", len(sides))
    preferences = asked.compare(sides, progress.at)
    progress.end(f"{sum(p.logit is not None for p in preferences):,} pairs")
    return [
        _vote(pair, asked.probability(p.logit), name)
        for pair, p in zip(different, preferences, strict=True)
        if p.logit is not None
    ]


def _settings(path: str) -> config.Recipe:
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"--judge {path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"--judge {path}: expected TOML: {error}") from None
    if extra := sorted(set(table) - SECTIONS):
        raise ValueError(f"--judge {path}: expected the sections [judge] and [runtime], got {extra[0]}")
    recipe = resolve({"name": "judge", **table}, f"--judge {path}")
    if not recipe.judge.model:
        raise ValueError(f"--judge {path}: judge.model: expected a model's name")
    return recipe
