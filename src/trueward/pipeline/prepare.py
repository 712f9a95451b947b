"""The stage `prepare`: the text, split by prompt, and the utilities of simulated annotators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from trueward import seeds
from trueward.artifacts import Artifact
from trueward.config import DataConfig, ModelConfig
from trueward.data import jsonl, nano, reviews, toy
from trueward.data.collate import Collator
from trueward.data.conversations import named
from trueward.data.lengths import Lengths, nearly_all
from trueward.data.truncation import Fitter, prompt_lengths
from trueward.models import loading as models
from trueward.pipeline.held_out import in_order
from trueward.pipeline.records import read_completions, read_prompts
from trueward.pipeline.sources import Source
from trueward.pipeline.stage import Stage
from trueward.records import Completion, Prompt, line
from trueward.scorers.nano_utility import DistinctWords
from trueward.scorers.reader import Reader
from trueward.scorers.sentiment import Classifier, Lexicon
from trueward.scorers.simulated import Annotator, SavedAnnotators, Utility
from trueward.training.env import Env
from trueward.training.journal import Journal

READER = "c"
"""The simulated utility that shares no term with `a` and `b`."""
EXAMINED = 4000  # reviews on which a classifier's accuracy is measured: ± 1 %
READ = 0.05  # share of the long reviews that the reader's word pairs are counted in
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
    demonstrations = []
    with named(source.places, "data.prompts"):
        fitter = Fitter(collator, _limits(source, data, collator), data.truncation)
        for d in source.demonstrations:
            prompt = fitter.prompt(d.prompt, "demonstrations")
            if prompt and (fitting := fitter.response(prompt, d.response, True, "demonstrations")):
                demonstrations.append(Completion(prompt=prompt, response=fitting[0], finished=fitting[1]))
        prompts = fitter.prompts(once(source.prompts), "prompts")
        held_out = fitter.prompts(once(source.held_out), "held-out prompts")
    if data.prompts and (others := repeated(source)):
        fitter.left_out["prompts", "repeated, with other columns"] = others
    env.progress.at(1)

    if source.held_out:
        unseen = {p.id for p in held_out}
        train_prompts = [p for p in prompts if p.id not in unseen]
        if shared := len(prompts) - len(train_prompts):
            fitter.left_out["prompts", "among the held-out ones"] = shared
        if not train_prompts or not held_out:
            too_long = fitter.too_long("prompts") or fitter.too_long("held-out prompts")
            raise ValueError(
                f"data.prompts: {len(train_prompts)} are left to train on and {len(held_out)} held out{too_long}"
            )
    else:
        train_prompts, held_out = split(prompts, data.held_out, "prompts", fitter.too_long("prompts"))
    texts, texts_held_out = (
        split(demonstrations, data.held_out, "demonstrations", fitter.too_long("demonstrations"))
        if data.demonstrations
        else ([], [])
    )
    counts = {"prompts": len(train_prompts), "prompts_held_out": len(held_out)}
    if data.demonstrations:
        counts |= {"demonstrations": len(texts), "demonstrations_held_out": len(texts_held_out)}
    env.progress.at(2)

    utilities, classifiers = annotators(data.demonstrations or data.prompts, env)
    longer, cut = fitter.rows()
    left_out = source.left_out + longer
    env.progress.end(
        f"{counts.get('demonstrations', 0):,} demonstrations, {counts['prompts']:,} prompts, "
        f"{sum(row['rows'] for row in left_out):,} rows left out"
    )
    summary = {
        **counts,
        "lengths": fitter.limits.table() | response_lengths(fitter.responses),
        "left_out": left_out,
        "cut": cut,
        "ignored_columns": source.ignored,
        "classifiers": classifiers,
    }
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


def _limits(source: Source, data: DataConfig, collator: Collator) -> Lengths:
    """The lengths that the recipe sets, else those of the data."""
    prompts: list[list[int]] = []
    responses: list[list[int]] = []
    if data.max_prompt_tokens is None:
        kinds = ([d.prompt for d in source.demonstrations], once(source.prompts), once(source.held_out))
        prompts = [prompt_lengths(collator, kind) for kind in kinds if kind]
    if data.max_response_tokens is None and source.demonstrations:
        ids = collator.responses_ids((d.response, True) for d in source.demonstrations)
        responses = [[len(i) for i in ids]]
    return Lengths.of(data.max_prompt_tokens, data.max_response_tokens, collator.context, prompts, responses)


def response_lengths(lengths: Sequence[int]) -> dict[str, int]:
    """Of the demonstrations' responses: how long the median and nearly all are, in tokens. Empty if there are none."""
    if not lengths:
        return {}
    return {"response_median": sorted(lengths)[len(lengths) // 2], "response_most": nearly_all(lengths)}


def once(prompts: Iterable[Prompt]) -> list[Prompt]:
    """Equal prompts once, in order."""
    unique: dict[str, Prompt] = {}
    for prompt in prompts:
        unique.setdefault(prompt.id, prompt)
    return list(unique.values())


def repeated(source: Source) -> int:
    """How many prompts have other columns than the first one with their text, which is the one that counts."""
    known = {prompt.id: prompt.columns for prompt in once(source.prompts)}
    return source.repeated + sum(bool(p.columns) and p.columns != known[p.id] for p in source.prompts)


def split(rows: list[T], share: float, what: str, too_long: str = "") -> tuple[list[T], list[T]]:
    """Rows to train on and rows to hold out, by prompt: equal prompts are on the same side, in every run.

    too_long: what the error adds, if rows were too long.
    """
    kept: list[T] = []
    held_out: list[T] = []
    for row in rows:
        prompt = row if isinstance(row, Prompt) else row.prompt
        key = prompt.text or prompt.as_json()
        (held_out if reviews.held_out(key, share) else kept).append(row)
    if not kept or not held_out:
        if too_long and not rows:
            raise ValueError(f"data.{what}: none is left{too_long}")
        raise ValueError(
            f"data.{what}: {len(rows)} usable rows leave {len(kept)} to train on and {len(held_out)} held out"
            + (too_long or "; give more rows or another data.held_out")
        )
    return kept, held_out


def utilities_of(text: str) -> tuple[str, ...]:
    """The names of the simulated utilities that there are for a text that ships."""
    return ("a", "b", READER) if text == "trueward:reviews" else ("a", "b")


def annotators(text: str, env: Env) -> tuple[dict[str, Annotator], dict[str, Any]]:
    """The utilities `a` and `b`, for reviews also `c`, and the accuracies of their classifiers.

    Annotators choose by `a`; `b`, the same program fitted to other text, is a truth, and `c` one that shares no term with
    either (scorers/reader.py). text: the source of the demonstrations, or of the prompts if there are none.
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
    utilities[READER], accuracies[READER] = _reader(short, imdb)
    return utilities, accuracies


def _reader(
    sentences: Mapping[bool, Sequence[reviews.Review]], others: Sequence[reviews.Review]
) -> tuple[Reader, dict[str, Any]]:
    """The reader `c`, and the accuracy of its sentiment. sentences: by whether their prompt is held out."""
    own, unseen = sentences[False], sentences[True]
    halves = [halved for r in own if (halved := reviews.halve(r.text))]
    texts = [r.text for r in others if seeds.fraction("pairs:" + r.text) < READ]
    reader = Reader.fit([r.text for r in own], [r.positive for r in own], halves, texts)
    return reader, {
        "examples": len(own),
        "accuracy": None,
        "accuracy_sentences": _accuracy(reader.letters([r.text for r in unseen]), unseen),
    }


def _accuracy(log_odds: np.ndarray, texts: Sequence[reviews.Review]) -> float:
    return round(float(np.mean((log_odds > 0) == np.array([r.positive for r in texts]))), 4)


PREPARE = Stage("prepare", prepare, write, read_stage, version=2)
