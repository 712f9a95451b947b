"""Comparisons against absolute scores: the same annotators, the same answers, the same noise, another question.

    python benchmarks/choosing_or_rating.py nano --seeds 10
    python benchmarks/choosing_or_rating.py reviews --seeds 3 --jobs 2

An annotator who says how good an answer is says `utility + noise`; one who chooses says which of two such numbers is
higher. With Gumbel noise of scale T that is exactly Bradley–Terry at temperature T, the noise of the recipe's own
annotators. So the two questions cost the same noise, and differ in what an answer carries: a rating has its size, a
choice has only its sign, and can't be moved by how strict the annotator is. Raters here are ten; each has a strictness of
their own (an offset, SD 1 in SDs of the utility) and a spread of their own (a factor between ½ and 2), and they round to
stars from 1 to 5.

Every question is about the same pairs: "choices" has one label a pair, "ratings" two, one for each answer. Half as many
pairs make "ratings, as many labels". The reward model is the same network, by Bradley–Terry or by least squares. Measured:
accuracy on held-out pairs by the sign of the utility's own difference, and the truth that PPO reaches with it.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trueward.algorithms import reward_model as fit
from trueward.data.collate import Collator
from trueward.evaluation.statistics import student_quantile
from trueward.models import heads
from trueward.models.network import Network
from trueward.parallel.fabric import ALONE
from trueward.records import Comparison, Completion
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale, fit_scale, scores
from trueward.seeds import seed_for
from trueward.training.schedule import learning_rate, rows_at, set_rate
from trueward.training.setup import Ranking
from trueward.training.state import adam

Row = dict[str, Any]
RATERS, STRICTNESS = 10, 1.0
QUESTIONS = (
    "choices",
    "ratings, one strict and fair rater",
    "ratings, ten raters",
    "ratings, ten raters, each centred",
    "ratings, ten raters, each centred, as many labels",
)


def rate(question: str, utilities: np.ndarray, temperature: float, sd: float, draw: np.random.Generator) -> np.ndarray:
    """What raters say of each answer, on a scale of mean 0 and SD 1. utilities: [n] -> [n]."""
    heard = (utilities + draw.gumbel(0, temperature, len(utilities))) / sd
    if question == QUESTIONS[1]:
        return (heard - heard.mean()) / heard.std()
    who = draw.integers(RATERS, size=len(heard))
    offset, factor = draw.normal(0, STRICTNESS, RATERS), np.exp2(draw.uniform(-1, 1, RATERS))
    centre = np.median(heard)
    stars = np.clip(np.round(3 + factor[who] * (heard - centre) + offset[who]), 1, 5)
    if "centred" in question:
        for rater in range(RATERS):
            mine = who == rater
            stars[mine] = (stars[mine] - stars[mine].mean()) / max(stars[mine].std(), 1e-9)
    return np.asarray((stars - stars.mean()) / stars.std())


def regress(network: Network, answers: Sequence[Completion], ratings: np.ndarray, config: Any, seed: int) -> None:
    """Least squares on ratings, with the reward model's optimiser and schedule; as many answers a step as its pairs have."""
    tokens = Collator(network.tokenizer, network.context).tokens(answers)
    target = torch.tensor(ratings, dtype=torch.float32)
    optimizer, batch = adam(network.model, config.learning_rate, config.weight_decay), 2 * config.batch_size
    total = max(1, math.ceil(len(tokens) * config.epochs / batch))
    for step in range(total):
        rows = rows_at(step, len(tokens), min(batch, len(tokens)), seed, "ratings")
        part = tokens.take(rows)
        for group in ALONE.micro_batches(part.lengths, 4096):
            found = heads.sequence_scores(network.model, part.take(group))
            wrong = (found - target[rows[group]]) ** 2
            (wrong.sum() / len(rows)).backward()
        torch.nn.utils.clip_grad_norm_(network.model.parameters(), config.max_grad_norm)
        set_rate(optimizer, learning_rate(config.learning_rate, step, total, config.warmup))
        optimizer.step()
        optimizer.zero_grad()


def choose(network: Network, pairs: Sequence[Comparison], config: Any, seed: int) -> None:
    setup = Ranking(seed=seed, micro_batch_tokens=4096, network=network, comparisons=pairs)
    for _ in fit.train(config, setup, fit.start(config, setup)):
        pass


def accuracy(network: Network, pairs: Sequence[Comparison], utility: Any) -> float:
    """How often the reward model prefers the answer of the higher utility, on pairs whose utilities differ."""
    sides = [side for c in pairs for side in c.completions()]
    worth = scores(utility, sides).reshape(-1, 2)
    said = RewardModel(network, Scale(0.0, 1.0)).raw(sides).reshape(-1, 2)
    gap, margin = worth[:, 0] - worth[:, 1], said[:, 0] - said[:, 1]
    told = gap != 0
    return float(np.mean((np.sign(margin) * np.sign(gap))[told] / 2 + 0.5))


def fitted(question: str, network: Network, pairs: Sequence[Comparison], utility: Any, temperature: float,
           config: Any, seed: int) -> Network:  # fmt: skip
    if question == "choices":
        choose(network, pairs, config, seed)
        return network
    rated = pairs[: len(pairs) // 2] if "as many labels" in question else pairs
    answers = [side for c in rated for side in c.completions()]
    utilities = scores(utility, answers)
    draw = np.random.default_rng(seed_for(seed, "ratings"))
    regress(network, answers, rate(question, utilities, temperature, float(utilities.std()), draw), config, seed)
    return network


def on_nano(seeds: int, folder: Path, jobs: int) -> Iterator[Row]:
    from trueward import config
    from trueward.models.derived import scalar_head
    from trueward.pipeline.cache import MemoryCache
    from trueward.pipeline.comparisons import annotator_model
    from trueward.pipeline.reward_eval import split_comparisons
    from trueward.pipeline.run import run_in_memory

    torch.set_num_threads(1)
    for seed in range(seeds):
        cache = MemoryCache()
        for question in QUESTIONS:
            short = f"{question.replace(' ', '-').replace(',', '')},seed={seed}"
            path, model = folder / f"{short}.json", folder / f"models,{short}"
            if not path.is_file():
                recipe = config.read("nano", [f"seed={seed}"])
                lower = run_in_memory(recipe, cache, until="comparisons")
                prepared, sft, compared = (lower[name].value for name in ("prepare", "sft", "comparisons"))
                annotator = annotator_model(recipe.comparisons, prepared.annotators, sft.answers)
                train, held_out = split_comparisons(compared.rows, recipe.reward.held_out)
                network = scalar_head(sft.policy, None, seed)
                utility = annotator.utility
                fitted(question, network, train, utility, annotator.temperature, recipe.reward, seed)
                raw = RewardModel(network, Scale(0.0, 1.0)).raw(sft.answers).reshape(-1, 2)
                RewardModel(network, fit_scale(raw, question)).save(model)
                changes = [
                    f"reward.model={model}",
                    "policy.kl_coef=0.3",
                    "evaluation.every=30",
                    "evaluation.step_prompts=384",
                ]
                made = run_in_memory(config.read("nano", [f"seed={seed}", *changes]), cache, until="policy")
                row = {"accuracy": accuracy(network, held_out, utility), **made["policy"].value.evaluations[-1]}
                path.write_text(json.dumps(row))
                print(path.name, flush=True)
            yield {"question": question, "seed": seed, **json.loads(path.read_text())}


def on_reviews(seeds: int, folder: Path, jobs: int) -> Iterator[Row]:
    from trueward import config
    from trueward.data import jsonl
    from trueward.models import loading
    from trueward.pipeline import workers
    from trueward.pipeline.records import ANSWERS, read_completions
    from trueward.pipeline.reward_eval import split_comparisons
    from trueward.scorers import simulated

    def job(name: str, seed: int, *more: str, until: str = "report") -> workers.Job:
        settings = [f"seed={seed}", "runtime.threads=1", *more]
        return workers.Job(config.read("reviews", settings), folder, name, until)

    ladders = [job(f"choices,seed={seed}", seed, until="reward_model") for seed in range(seeds)]
    failed = workers.run_jobs(ladders, jobs, lambda j, wrong: print(j.name, "ladder", flush=True))
    assert not failed, failed
    torch.set_num_threads(1)
    work = {}
    for seed in range(seeds):
        ladder = folder / f"choices,seed={seed}"
        utility = simulated.load(ladder / "prepare" / "annotators", "a")
        temperature = json.loads((ladder / "comparisons" / "manifest.json").read_text())["summary"]["temperature"]
        rows = [Comparison.model_validate(r) for _, r in jsonl.read(ladder / "comparisons" / "comparisons.jsonl")]
        recipe = config.read("reviews", [f"seed={seed}"])
        train, held_out = split_comparisons(rows, recipe.reward.held_out)
        reference = read_completions(ladder / "sft" / ANSWERS)
        for question in QUESTIONS:
            short = question.replace(" ", "-").replace(",", "")
            model = folder / f"models,{short},seed={seed}"
            if question == "choices":
                place = ladder / "reward_model" / "model"
                work[question, seed] = (job(ladder.name, seed), place)
            else:
                if not (model / "config.json").is_file():
                    network = loading.reward_from_policy(ladder / "sft" / "model", torch.device("cpu"))
                    fitted(question, network, train, utility, temperature, recipe.reward, seed)
                    raw = RewardModel(network, Scale(0.0, 1.0)).raw(reference).reshape(-1, 2)
                    RewardModel(network, fit_scale(raw, question)).save(model)
                    print(model.name, flush=True)
                place = model
                work[question, seed] = (job(f"{short},seed={seed}", seed, f"reward.model={model}"), model)
            figure = folder / f"accuracy,{short},seed={seed}.json"
            if not figure.is_file():
                found = accuracy(loading.reward(place, torch.device("cpu")), held_out, utility)
                figure.write_text(json.dumps({"accuracy": found}))
    left = [j for j, _ in work.values() if not (folder / j.name / "report.json").is_file()]
    failed = workers.run_jobs(left, jobs, lambda j, wrong: print(j.name, wrong, flush=True))
    assert not failed, failed
    for (question, seed), (j, _) in work.items():
        report = json.loads((folder / j.name / "report.json").read_text())
        short = question.replace(" ", "-").replace(",", "")
        figure = json.loads((folder / f"accuracy,{short},seed={seed}.json").read_text())
        yield {"question": question, "seed": seed, **figure, **report["policies"]["policy"]}


def table(found: list[Row]) -> Iterator[str]:
    yield "| question | labels a pair | accuracy | truth after PPO | KL |"
    yield "|---|---|---|---|---|"
    for question in QUESTIONS:
        mine = [r for r in found if r["question"] == question]
        labels = "1" if question == "choices" or "as many" in question else "2"
        yield (
            f"| {question} | {labels} | {interval([100 * r['accuracy'] for r in mine], 1)} % "
            f"| {interval([r['truth'] for r in mine], 2, '+')} | {np.mean([r['kl'] for r in mine]):.1f} |"
        )


def interval(values: list[float], digits: int, sign: str = "") -> str:
    """Mean and half a 95 % interval over the seeds."""
    if len(values) < 2:
        return f"{values[0]:{sign}.{digits}f}"
    half = student_quantile(0.975, len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return f"{np.mean(values):{sign}.{digits}f} ± {half:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("nano", "reviews"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    folder = asked.out or Path("runs") / f"choosing-or-rating-{asked.task}"
    folder.mkdir(parents=True, exist_ok=True)
    measure = {"nano": on_nano, "reviews": on_reviews}[asked.task]
    found = list(measure(asked.seeds, folder, asked.jobs))
    print(f"\n{asked.task}, {asked.seeds} seeds; truth in SDs under SFT, ± 95 % over the seeds\n")
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
