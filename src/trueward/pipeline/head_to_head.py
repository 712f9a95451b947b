"""Two checkpoints compared: answers to the same prompts, scored blind (`trueward evaluate`).

A scorer gets the answers of both in one shuffled list, and once more in the reverse order, so it can't tell the models
apart; if its scores depend on the order (a judge's may), both passes are averaged and the difference is reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trueward import config
from trueward.batches import Rollout
from trueward.config import Recipe
from trueward.data import loading as texts
from trueward.data.options import ReadOptions
from trueward.evaluation.statistics import Z, standard_error
from trueward.evaluation.token_figures import by_answer
from trueward.evaluation.win_rate import win_rate
from trueward.models import loading
from trueward.models.network import Network
from trueward.models.run_paths import model_path
from trueward.pipeline.evaluation_scorers import named_scorer
from trueward.pipeline.held_out import divide, in_order
from trueward.pipeline.records import read_prompts
from trueward.pipeline.run_home import RunHome
from trueward.progress import Progress
from trueward.records import Completion, Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample
from trueward.scorers.custom import FunctionScorer
from trueward.scorers.judge.rating import FAILED
from trueward.scorers.scorer import Scale, Scorer
from trueward.scorers.verifiers.verifier import Verifier
from trueward.seeds import generator

Row = dict[str, Any]


@dataclass(frozen=True)
class EvalRequest:
    """The options of the command line."""

    model: str
    against: str | None = None
    scorers: tuple[str, ...] = ()
    prompts: str = ""
    count: int = 512
    temperature: float | None = None
    max_new_tokens: int | None = None
    seed: int = 0


def evaluate(request: EvalRequest, progress: Progress) -> Row:
    """Score the model's answers, and those of the other model if there is one.

    `ValueError` in one line if prompts or a scorer are missing or can't be used.
    """
    home = RunHome.of(request.model) or (RunHome.of(request.against) if request.against else None)
    against = request.against
    if against is None and home and Path(model_path(request.model)) != home.run / "sft" / "model":
        against = str(home.run / "sft")  # a run's model is compared with its SFT policy
    device = loading.pick_device("auto")
    prompts = _prompts(request, home)
    names = request.scorers or tuple(home.named() if home else ())
    comparing = [judge.truth for judge in home.recipe.evaluation.judge if judge.mode != "pointwise"] if home else []
    if left_out := [name for name in comparing if name in names and not request.scorers]:
        names = tuple(name for name in names if name not in left_out)
        progress.tell(f"left out, since here each answer has a score of its own: {', '.join(left_out)}")
    if not names:
        raise ValueError("evaluate: this model belongs to no run, so say by what to score it: --scorer model:DIRECTORY")
    scorers = {name: named_scorer(name, home, device) for name in names}
    for name, (scorer, _) in scorers.items():
        if isinstance(scorer, FunctionScorer):
            scorer.check(prompts, f"--scorer {name}")
        if isinstance(scorer, Verifier):
            scorer.check_keys(prompts, f"--scorer {name}")
    settings = home.recipe.sampler if home else config.SamplerConfig()
    how = SamplingParams(
        settings.temperature if request.temperature is None else request.temperature,
        request.max_new_tokens or settings.max_new_tokens,
        settings.engine.max_num_seqs,
    )
    named = {"model": request.model, "against": against}
    networks = {
        side: (name, loading.causal(model_path(name), request.seed, device))
        for side, name in named.items()
        if name is not None
    }
    return compare(networks, prompts, scorers, how, request.seed, progress)


def compare(
    networks: Mapping[str, tuple[str, Network]],
    prompts: Sequence[Prompt],
    scorers: Mapping[str, tuple[Scorer, Scale]],
    how: SamplingParams,
    seed: int,
    progress: Progress,
) -> Row:
    """Figures of a model, and of another one if there is one.

    networks: "model", and "against" if there is one, each with its name. scorers: by name, each with the scale that it is
    reported on.
    """
    sides: dict[str, tuple[Network, Rollout]] = {}
    for side, (name, network) in networks.items():
        progress.start(f"answers of {name}", len(prompts))
        draws = Draws.purpose(seed, "evaluate", side)
        sides[side] = network, sample(network, prompts, how, draws, lambda done: progress.at(done))
        progress.end(f"{len(prompts):,} answers")
    return {
        "model": networks["model"][0],
        "against": networks["against"][0] if "against" in networks else None,
        "prompts": len(prompts),
        "scorers": [_scored(name, *scorer, sides, seed) for name, scorer in scorers.items()],
        "sides": {side: _figures(rollout) for side, (_, rollout) in sides.items()},
        "kl": _distance(sides, how.temperature),
        "samples": _samples(sides, 5),
    }


def _prompts(request: EvalRequest, home: RunHome | None) -> list[Prompt]:
    if request.prompts:
        prompts = texts.prompts(request.prompts, options=ReadOptions(in_recipe=True, keep=True)).rows
        return prompts[: request.count]
    if home is None:
        raise ValueError("evaluate: this model belongs to no run, so say what to answer: --prompts FILE")
    path = home.run / "prepare" / "prompts_held_out.jsonl"
    if not path.is_file():
        raise ValueError(f"{home.run}: has no held-out prompts yet; give --prompts FILE")
    prompts = read_prompts(path)
    best = home.run / "policy" / "best"
    if best in [Path(model_path(name)) for name in (request.model, request.against) if name is not None]:
        prompts = not_picked_on(prompts, home.recipe)
    order = torch.randperm(len(prompts), generator=generator(request.seed, "evaluated prompts")).tolist()
    return [prompts[i] for i in order[: request.count]]


def not_picked_on(prompts: Sequence[Prompt], recipe: Recipe) -> list[Prompt]:
    """Held-out prompts that no evaluation in training used: the best checkpoint was picked on the others.

    `ValueError` if there is none.
    """
    unused = divide(in_order(prompts, recipe.seed), recipe.evaluation.step_prompts).reserved
    if not unused:
        raise ValueError(
            f"evaluate: the best checkpoint was picked on all {len(prompts)} held-out prompts, so give others: --prompts FILE"
        )
    return unused


def _scored(name: str, scorer: Scorer, scale: Scale, sides: dict[str, tuple[Network, Rollout]], seed: int) -> Row:
    sides_scores, moved = blind(scorer, [rollout.completions for _, rollout in sides.values()], seed)
    known = np.isfinite(np.stack(sides_scores)).all(axis=0)
    values = [scale.apply(one[known]) for one in sides_scores]
    if not known.any():
        raise ValueError(f"--scorer {name}: gave no score to any of {len(known)} answers")
    row: Row = {"scorer": name, "order_effect": moved / scale.sd, "missing": int((~known).sum())}
    for side, one in zip(sides, values, strict=True):
        row[side] = {"mean": float(one.mean()), "se": standard_error(one)}
    if len(values) == 2:
        gap = values[0] - values[1]
        wins, low, high = win_rate(values[0], values[1])
        error = standard_error(gap)
        row |= {
            "difference": float(gap.mean()),
            "difference_low": float(gap.mean() - Z * error),
            "difference_high": float(gap.mean() + Z * error),
            "win_rate": wins,
            "win_rate_low": low,
            "win_rate_high": high,
            "ties": float((gap == 0).mean()),
        }
    return row


def blind(scorer: Scorer, sides: Sequence[Sequence[Completion]], seed: int) -> tuple[list[np.ndarray], float]:
    """Each side's scores, the mean of two passes over all answers, shuffled and reversed; and their largest difference.

    NaN for an answer that a judge said nothing of in one of them.
    """
    every = [c for side in sides for c in side]
    order = torch.randperm(len(every), generator=generator(seed, "blind")).numpy()
    passes = []
    for places in (order, order[::-1]):
        scored = [np.nan if v.parts.get(FAILED) else v.score for v in scorer([every[i] for i in places])]
        back = np.empty(len(every))
        back[places] = scored
        passes.append(back)
    mean = (passes[0] + passes[1]) / 2
    cuts = np.cumsum([len(side) for side in sides])[:-1]
    moved = np.abs(passes[0] - passes[1])
    return np.split(mean, cuts), float(moved[np.isfinite(moved)].max(initial=0.0))


def _figures(rollout: Rollout) -> Row:
    words = [w for c in rollout.completions for w in c.response.lower().split()]
    return {
        "length": float(rollout.tokens.response_lengths.double().mean()),
        "eos_rate": float(np.mean([c.finished for c in rollout.completions])),
        "distinct_1": len(set(words)) / len(words) if words else 0.0,
    }


@torch.no_grad()
def _distance(sides: dict[str, tuple[Network, Rollout]], temperature: float) -> Row | None:
    """KL(model ‖ other) of whole answers in nats, summed exactly at each position.

    None without another model, or if its tokens differ.
    """
    if len(sides) < 2:
        return None
    (model, rollout), (other, _) = sides["model"], sides["against"]
    if model.tokenizer.get_vocab() != other.tokenizer.get_vocab():
        return None
    sums = by_answer({"policy": model, "reference": other}, rollout, temperature or 1.0, 4096)[0]["kl"]
    return {"mean": float(sums.mean()), "se": standard_error(sums)}


def _samples(sides: dict[str, tuple[Network, Rollout]], count: int) -> list[Row]:
    first = sides["model"][1].completions
    return [
        {"prompt": str(c.prompt)} | {side: rollout.completions[i].response for side, (_, rollout) in sides.items()}
        for i, c in enumerate(first[:count])
    ]
