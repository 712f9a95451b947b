"""The first stage: the text, split by prompt, and, where annotators are simulated, what they go by."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from trueward import seeds
from trueward.config import Recipe
from trueward.data import comparisons, jsonl, loading, nano, reviews, snapshots, toy
from trueward.data.collate import Collator
from trueward.pipeline.env import Env
from trueward.records import Completion, Demonstration, Message, Prompt, line
from trueward.scorers.nano_utility import DistinctWords
from trueward.scorers.sentiment import Classifier, Lexicon
from trueward.scorers.simulated import Utility
from trueward.scorers.verifiers import gym

TOY_REVIEWS, TOY_SEED = 4000, 0
EXAMINED = 4000  # reviews on which a classifier's accuracy is measured: ± 1 %
T = TypeVar("T", Completion, Prompt)


@dataclass
class Source:
    """Where demonstrations and prompts come from, and the files to fingerprint."""

    demonstrations: list[Demonstration]
    prompts: list[Prompt]
    files: list[Path] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)


def read(recipe: Recipe) -> Source:
    """What the recipe names in [data], read and checked. `ValueError` in one line if it can't be used."""
    source = Source([], [])
    data = recipe.data
    if data.demonstrations:
        source.demonstrations = _read(data.demonstrations, loading.demonstrations, source, "demonstrations", {})
    if data.prompts == "comparisons":
        judged = snapshots.compared(recipe.comparisons.source, recipe.comparisons.path) or [
            Path(recipe.comparisons.path)
        ]
        source.prompts = [c.prompt for c in comparisons.read_all(judged).rows]
        source.files += judged
    elif data.prompts:
        rows = _read(data.prompts, loading.prompts, source, "prompts", data.task)
        source.prompts = [getattr(row, "prompt", row) for row in rows]
    else:
        source.prompts = [d.prompt for d in source.demonstrations]
    return instructed(source, data.instruction) if data.instruction else source


def instructed(source: Source, instruction: str) -> Source:
    """Plain prompts as conversations that begin with the instruction; their answers begin without a space."""

    def asked(prompt: Prompt) -> Prompt:
        if prompt.messages:
            return prompt
        text = instruction.replace("{prompt}", prompt.text)
        return Prompt(messages=(Message(role="user", content=text),), answer=prompt.answer)

    shown = [
        d if d.prompt.messages else Demonstration(prompt=asked(d.prompt), response=d.response.lstrip() or d.response)
        for d in source.demonstrations
    ]
    return replace(source, demonstrations=shown, prompts=[asked(p) for p in source.prompts])


def _read(name: str, load: Any, source: Source, what: str, task: dict[str, Any]) -> list[Any]:
    if name == "trueward:toy":
        pairs = toy.reviews(TOY_REVIEWS, TOY_SEED)
        return [Demonstration(prompt=Prompt(text=p), response=r) for p, r in pairs]
    if name == "trueward:nano" and what == "prompts":
        return [Prompt(text=text) for text in nano.prompts()]
    if name == "trueward:reviews":
        texts = reviews.load("rotten_tomatoes")
        source.files.append(reviews.path())
        halves = [reviews.halve(t.text) for t in texts]
        if short := halves.count(None):
            source.left_out.append({"what": what, "reason": "fewer than 3 words left for the response", "rows": short})
        return [Demonstration(prompt=Prompt(text=h[0]), response=h[1]) for h in halves if h]
    if name.startswith(gym.PREFIX):
        if what != "prompts":
            raise ValueError(f"data.{what}: {name} holds prompts without demonstrations; give it as data.prompts")
        return list(gym.prompts(name.removeprefix(gym.PREFIX), task))
    if name.startswith(snapshots.PREFIX):
        loads = [load(str(path)) for path in snapshots.snapshots(name)]
        source.files += [file for each in loads for file in each.files]
        return list(dict.fromkeys(row for each in loads for row in each.rows))
    if name.startswith("trueward:"):
        ships = "trueward:reviews and trueward:toy" + (", and trueward:nano for prompts" if what == "prompts" else "")
        raise ValueError(f"data.{what}: there is no {name}; those that ship are {ships}")
    loaded = load(name)
    source.files += loaded.files
    source.left_out += [{"what": what, "reason": reason, "rows": n} for reason, n in loaded.left_out.items()]
    source.ignored |= dict(loaded.ignored)
    return list(loaded.rows)


def prepare(source: Source, env: Env, work: Path) -> dict[str, Any]:
    """Writes demonstrations and prompts, each with a held-out part, and the annotators' utilities."""
    data = env.recipe.data
    env.progress.start("prepare", 4)
    network = env.policy(env.recipe.model.base)
    collator = Collator(network.tokenizer, network.context)
    if data.max_prompt_tokens >= network.context:
        raise ValueError(
            f"data.max_prompt_tokens: {data.max_prompt_tokens} leaves no room for an answer in the model's context of "
            f"{network.context} tokens"
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
        most = min(data.max_response_tokens, network.context - len(collator.prompt_ids(d.prompt)))
        if len(collator.response_ids(d.response, True)) > most:
            cut = most < data.max_response_tokens
            limit = "the model's context" if cut else f"data.max_response_tokens = {data.max_response_tokens}"
            dropped["demonstrations", f"response longer than {limit}"] += 1
            continue
        demonstrations.append(Completion(prompt=d.prompt, response=d.response))
    once: dict[str, Prompt] = {}
    for prompt in source.prompts:
        once.setdefault(prompt.id, prompt)
    prompts = [p for p in once.values() if fits(p, "prompts")]
    env.progress.at(1)

    counts = _write(prompts, data.held_out, "prompts", work)
    if data.demonstrations:
        counts |= _write(demonstrations, data.held_out, "demonstrations", work)
    env.progress.at(2)

    classifiers = annotators(data.demonstrations or data.prompts, work / "annotators", env)
    left_out = source.left_out + [{"what": w, "reason": r, "rows": n} for (w, r), n in dropped.items()]
    env.progress.end(
        f"{counts.get('demonstrations', 0):,} demonstrations, {counts['prompts']:,} prompts, "
        f"{sum(row['rows'] for row in left_out):,} rows left out"
    )
    return {
        **counts,
        "left_out": left_out,
        "ignored_columns": source.ignored,
        "classifiers": classifiers,
    }


def _write(rows: list[T], share: float, what: str, work: Path) -> dict[str, int]:
    kept, held_out = split(rows, share, what)
    jsonl.write(work / f"{what}.jsonl", [line(r) for r in kept])
    jsonl.write(work / f"{what}_held_out.jsonl", [line(r) for r in held_out])
    return {what: len(kept), f"{what}_held_out": len(held_out)}


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


def annotators(text: str, folder: Path, env: Env) -> dict[str, Any]:
    """The utilities `a` and `b`: a first one to choose by, and a second one, fitted to other text, to measure by.

    `text`: where the demonstrations come from, or the prompts if there are none.
    """
    if text == "trueward:nano":
        for name in ("a", "b"):
            DistinctWords(nano.liked(name)).save(folder / f"{name}.json")
        return {}
    if text == "trueward:toy":
        for name in ("a", "b"):
            Utility(Lexicon(toy.lexicon(name))).save(folder / f"{name}.json")
        return {}
    if text != "trueward:reviews":
        folder.mkdir(exist_ok=True)
        return {}
    imdb = reviews.load("imdb")
    halves = {
        "a": [r for r in imdb if seeds.fraction("half:" + r.text) < 0.5],
        "b": [r for r in imdb if seeds.fraction("half:" + r.text) >= 0.5],
    }
    short = {False: [], True: []}  # type: dict[bool, list[reviews.Review]]
    for review in reviews.load("rotten_tomatoes"):
        if halved := reviews.halve(review.text):
            short[reviews.held_out(halved[0])].append(review)
    found = {}
    for done, (name, other) in enumerate((("a", "b"), ("b", "a"))):
        own = halves[name]
        classifier = Classifier.fit(
            [r.text for r in own],
            [r.positive for r in own],
            [r.text for r in short[False]],
            [r.positive for r in short[False]],
        )
        Utility(classifier).save(folder / f"{name}.json")
        unseen = halves[other][:EXAMINED]
        found[name] = {
            "examples": len(own),
            "accuracy": _accuracy(classifier.raw([r.text for r in unseen]), unseen),
            "accuracy_sentences": _accuracy(classifier([r.text for r in short[True]]), short[True]),
        }
        env.progress.at(3 + done)
    return found


def _accuracy(log_odds: np.ndarray, texts: list[reviews.Review]) -> float:
    return round(float(np.mean((log_odds > 0) == np.array([r.positive for r in texts]))), 4)
