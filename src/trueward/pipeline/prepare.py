"""The stage `prepare`: the text, split by prompt, and the utilities of simulated annotators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from trueward import seeds
from trueward.artifacts import Artifact
from trueward.config import DataConfig, ModelConfig
from trueward.data import jsonl, nano, reviews, toy
from trueward.data.collate import Collator
from trueward.models import loading as models
from trueward.pipeline.held_out import in_order
from trueward.pipeline.records import read_completions, read_prompts
from trueward.pipeline.sources import Source
from trueward.pipeline.stage import Stage
from trueward.records import Completion, Prompt, line
from trueward.scorers.nano_utility import DistinctWords
from trueward.scorers.sentiment import Classifier, Lexicon
from trueward.scorers.simulated import Annotator, SavedAnnotators, Utility
from trueward.training.env import Env
from trueward.training.journal import Journal

EXAMINED = 4000  # reviews on which a classifier's accuracy is measured: ± 1 %
T = TypeVar("T", Completion, Prompt)


@dataclass(frozen=True)
class Prepared:
    """Prompts and demonstrations, each with a held-out part, and the simulated annotators' utilities."""

    prompts: list[Prompt]
    prompts_held_out: list[Prompt]
    demonstrations: list[Completion]
    demonstrations_held_out: list[Completion]
    annotators: Mapping[str, Annotator]
    summary: dict[str, Any]

    def held_out_in_order(self, seed: int) -> list[Prompt]:
        """All held-out prompts, in an order that depends on the seed (`pipeline.held_out` divides them)."""
        return in_order(self.prompts_held_out, seed)


def prepare(*, source: Source, model: ModelConfig, data: DataConfig, env: Env, journal: Journal) -> Prepared:
    """Text that fits, split by prompt, and the annotators' utilities. `ValueError` if nothing is left."""
    env.progress.start("prepare", 4)
    tokenizer, context = models.tokenizer(model.base)
    collator = Collator(tokenizer, context)
    if data.max_prompt_tokens >= context:
        raise ValueError(
            f"data.max_prompt_tokens: {data.max_prompt_tokens} leaves no room for an answer in the model's context of "
            f"{context} tokens"
        )
    dropped: Counter[tuple[str, str]] = Counter()

    def fits(prompt: Prompt, what: str) -> bool:
        if len(collator.prompt_ids(prompt)) <= data.max_prompt_tokens:
            return True
        dropped[what, f"prompt longer than data.max_prompt_tokens = {data.max_prompt_tokens}"] += 1
        return False

    demonstrations = []
    for d in source.demonstrations:
        if not fits(d.prompt, "demonstrations"):
            continue
        most = min(data.max_response_tokens, context - len(collator.prompt_ids(d.prompt)))
        if len(collator.response_ids(d.response, True)) > most:
            is_context = most < data.max_response_tokens
            limit = "the model's context" if is_context else f"data.max_response_tokens = {data.max_response_tokens}"
            dropped["demonstrations", f"response longer than {limit}"] += 1
            continue
        demonstrations.append(Completion(prompt=d.prompt, response=d.response))
    once: dict[str, Prompt] = {}
    for prompt in source.prompts:
        once.setdefault(prompt.id, prompt)
    prompts = [p for p in once.values() if fits(p, "prompts")]
    env.progress.at(1)

    if source.held_out:
        held_out = [p for p in {p.id: p for p in source.held_out}.values() if fits(p, "held-out prompts")]
        unseen = {p.id for p in held_out}
        train_prompts = [p for p in prompts if p.id not in unseen]
        if shared := len(prompts) - len(train_prompts):
            dropped["prompts", "among the held-out ones"] = shared
        if not train_prompts or not held_out:
            raise ValueError(f"data.prompts: {len(train_prompts)} are left to train on and {len(held_out)} held out")
    else:
        train_prompts, held_out = split(prompts, data.held_out, "prompts")
    texts, texts_held_out = split(demonstrations, data.held_out, "demonstrations") if data.demonstrations else ([], [])
    counts = {"prompts": len(train_prompts), "prompts_held_out": len(held_out)}
    if data.demonstrations:
        counts |= {"demonstrations": len(texts), "demonstrations_held_out": len(texts_held_out)}
    env.progress.at(2)

    utilities, classifiers = annotators(data.demonstrations or data.prompts, env)
    left_out = source.left_out + [{"what": w, "reason": r, "rows": n} for (w, r), n in dropped.items()]
    env.progress.end(
        f"{counts.get('demonstrations', 0):,} demonstrations, {counts['prompts']:,} prompts, "
        f"{sum(row['rows'] for row in left_out):,} rows left out"
    )
    summary = {**counts, "left_out": left_out, "ignored_columns": source.ignored, "classifiers": classifiers}
    return Prepared(train_prompts, held_out, texts, texts_held_out, utilities, summary)


def write(prepared: Prepared, folder: Path) -> dict[str, Any]:
    """Write the result into the stage's directory; returns the summary for its manifest."""
    jsonl.write(folder / "prompts.jsonl", [line(p) for p in prepared.prompts])
    jsonl.write(folder / "prompts_held_out.jsonl", [line(p) for p in prepared.prompts_held_out])
    if prepared.demonstrations:
        jsonl.write(folder / "demonstrations.jsonl", [line(d) for d in prepared.demonstrations])
        jsonl.write(folder / "demonstrations_held_out.jsonl", [line(d) for d in prepared.demonstrations_held_out])
    (folder / "annotators").mkdir(exist_ok=True)
    for name, utility in prepared.annotators.items():
        utility.save(folder / "annotators" / f"{name}.json")
    return prepared.summary


def read_stage(artifact: Artifact, env: Env) -> Prepared:
    """The result, from the stage's directory."""
    folder = artifact.path
    has_demonstrations = (folder / "demonstrations.jsonl").is_file()
    return Prepared(
        read_prompts(folder / "prompts.jsonl"),
        read_prompts(folder / "prompts_held_out.jsonl"),
        read_completions(folder / "demonstrations.jsonl") if has_demonstrations else [],
        read_completions(folder / "demonstrations_held_out.jsonl") if has_demonstrations else [],
        SavedAnnotators(folder / "annotators"),
        artifact.summary,
    )


def split(rows: list[T], share: float, what: str) -> tuple[list[T], list[T]]:
    """Rows to train on and rows to hold out, by prompt: equal prompts are on the same side, in every run."""
    kept: list[T] = []
    held_out: list[T] = []
    for row in rows:
        prompt = row if isinstance(row, Prompt) else row.prompt
        key = prompt.text or prompt.as_json()
        (held_out if reviews.held_out(key, share) else kept).append(row)
    if not kept or not held_out:
        raise ValueError(
            f"data.{what}: {len(rows)} usable rows leave {len(kept)} to train on and {len(held_out)} held out; "
            "give more rows or another data.held_out"
        )
    return kept, held_out


def annotators(text: str, env: Env) -> tuple[dict[str, Annotator], dict[str, Any]]:
    """The utilities `a` and `b`, and the accuracies of their classifiers.

    Annotators choose by `a`; `b`, fitted to other text, is a truth. text: the source of the demonstrations, or of the prompts
    if there are none.
    """
    if text == "trueward:nano":
        return {name: DistinctWords(nano.liked(name)) for name in ("a", "b")}, {}
    if text == "trueward:toy":
        return {name: Utility(Lexicon(toy.lexicon(name))) for name in ("a", "b")}, {}
    if text != "trueward:reviews":
        return {}, {}
    imdb = reviews.load("imdb")
    halves = {
        "a": [r for r in imdb if seeds.fraction("half:" + r.text) < 0.5],
        "b": [r for r in imdb if seeds.fraction("half:" + r.text) >= 0.5],
    }
    short: dict[bool, list[reviews.Review]] = {False: [], True: []}
    for review in reviews.load("rotten_tomatoes"):
        if halved := reviews.halve(review.text):
            short[reviews.held_out(halved[0])].append(review)
    utilities: dict[str, Annotator] = {}
    accuracies = {}
    for done, (name, other) in enumerate((("a", "b"), ("b", "a"))):
        own = halves[name]
        classifier = Classifier.fit(
            [r.text for r in own],
            [r.positive for r in own],
            [r.text for r in short[False]],
            [r.positive for r in short[False]],
        )
        utilities[name] = Utility(classifier)
        unseen = halves[other][:EXAMINED]
        accuracies[name] = {
            "examples": len(own),
            "accuracy": _accuracy(classifier.raw([r.text for r in unseen]), unseen),
            "accuracy_sentences": _accuracy(classifier([r.text for r in short[True]]), short[True]),
        }
        env.progress.at(3 + done)
    return utilities, accuracies


def _accuracy(log_odds: np.ndarray, texts: list[reviews.Review]) -> float:
    return round(float(np.mean((log_odds > 0) == np.array([r.positive for r in texts]))), 4)


PREPARE = Stage("prepare", prepare, write, read_stage)
