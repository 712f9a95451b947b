"""The stage `comparisons`: pairs of answers, and which one is preferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trueward.artifacts import Artifact
from trueward.config import ComparisonsConfig, DataConfig, JudgeConfig, SamplerConfig
from trueward.data import comparisons as compared
from trueward.data import jsonl, snapshots
from trueward.data.collate import Collator
from trueward.data.conversations import named
from trueward.data.lengths import Lengths
from trueward.data.loading import Loaded
from trueward.data.truncation import Fitter, prompt_lengths
from trueward.evaluation.lengths import correlation
from trueward.models.network import Network
from trueward.pipeline import demonstration_pairs, sources
from trueward.pipeline.answers import sample_with_progress
from trueward.pipeline.compared import Compared
from trueward.pipeline.finished_pairs import (
    finished_pairs,
    finished_rows,
    unit_answers,
    with_unfinished,
)
from trueward.pipeline.judge_labels import judge_comparisons
from trueward.pipeline.prepare import Prepared
from trueward.pipeline.records import read_comparisons
from trueward.pipeline.sft import SftPolicy
from trueward.pipeline.stage import Stage
from trueward.progress import note
from trueward.records import Comparison, Completion, Prompt, line
from trueward.reporting.start_text import of_unfinished
from trueward.sampling.draws import Draws
from trueward.scorers import simulated
from trueward.scorers.scorer import Scorer, scores
from trueward.scorers.simulated import Annotator, AnnotatorModel
from trueward.seeds import generator, seed_for
from trueward.training.env import Env
from trueward.training.journal import Journal

FILE = "comparisons.jsonl"
CORRELATED = 1000  # answers of the SFT policy, on which utilities are compared


def compare(
    *,
    prepared: Prepared,
    sft: SftPolicy,
    seed: int,
    comparisons: ComparisonsConfig,
    sampler: SamplerConfig,
    data: DataConfig | None,
    judge: JudgeConfig | None,
    env: Env,
    journal: Journal,
) -> Compared:
    """The comparisons of the recipe, by `comparisons.source`.

    People's, from a file; of two SFT answers to each prompt, by simulated annotators or a judge; or of a demonstration with an
    SFT answer. data: the longest allowed texts, for people's. judge: the judge's settings, where one compares.
    """
    if comparisons.source == "file" or comparisons.source.startswith(snapshots.PREFIX):
        assert data is not None
        return _from_file(sft.policy, comparisons, data)
    if comparisons.source == demonstration_pairs.SOURCE:
        return demonstration_pairs.compare(prepared, sft, comparisons, sampler, seed, env)
    pairs, cut = sample_pairs(prepared.prompts, sft.policy, comparisons, sampler, seed, env)
    if not env.fabric.leads:
        return Compared([], {})  # who is asked is asked once, by rank 0
    if comparisons.source == "judge":
        assert judge is not None
        made = Compared(*judge_comparisons(pairs, prepared.annotators, comparisons, judge, seed, env))
        return with_unfinished(made, cut)
    if comparisons.length_bias and simulated.are_as_long(pairs):
        note("comparisons.length_bias has no effect: the two answers of every pair have the same number of words")
    utility = simulated.annotator(prepared.annotators, comparisons.annotator, comparisons.length_bias)
    made = simulated_comparisons(pairs, utility, comparisons, sft.answers, seed)
    others = {name: scorer for name, scorer in prepared.annotators.items() if name != comparisons.annotator}
    found = correlations(utility, others, sft.answers[:CORRELATED])
    return with_unfinished(Compared(made.rows, {**made.summary, "correlations": found}), cut)


def correlations(
    utility: Scorer, others: Mapping[str, Scorer], answers: Sequence[Completion]
) -> dict[str, float | None]:
    """Of the annotators' utility with each other one, on answers of the SFT policy; None where one of them is constant.

    What a truth has in common with the annotators, it can't show as a hack.
    """
    own = scores(utility, answers)
    found = {name: correlation(own, scores(other, answers)) for name, other in others.items()}
    return {name: None if np.isnan(r) else round(r, 3) for name, r in found.items()}


def simulated_comparisons(
    pairs: Sequence[tuple[Completion, Completion]],
    utility: Scorer,
    comparisons: ComparisonsConfig,
    answers: Sequence[Completion],
    seed: int,
) -> Compared:
    """Comparisons by annotators who choose by a utility.

    answers: the SFT policy's own, two to each prompt in a row; they set the temperature.
    """
    annotator = with_temperature(utility, comparisons, answers)
    utilities = scores(annotator.utility, [side for pair in pairs for side in pair]).reshape(-1, 2)
    votes = np.random.default_rng(seed_for(seed, "votes"))
    rows, agreement = simulated.compare(pairs, utilities, annotator.temperature, annotator.tie_width, votes)
    left_out = [{"what": "comparisons", "reason": "the two answers were the same", "rows": len(pairs) - len(rows)}]
    summary = {
        "comparisons": len(rows),
        "source": "simulated",
        "agreement": round(agreement, 4),
        "temperature": round(annotator.temperature, 5),
        "ties": sum(c.probability == 0.5 for c in rows),
        "left_out": [row for row in left_out if row["rows"]],
    }
    return Compared(rows, summary)


def annotator_model(
    comparisons: ComparisonsConfig, annotators: Mapping[str, Annotator], answers: Sequence[Completion]
) -> AnnotatorModel:
    """Simulated annotators: their utility, and the temperature at which they agree as often as the recipe sets."""
    utility = simulated.annotator(annotators, comparisons.annotator, comparisons.length_bias)
    return with_temperature(utility, comparisons, answers)


def with_temperature(utility: Scorer, comparisons: ComparisonsConfig, answers: Sequence[Completion]) -> AnnotatorModel:
    """A utility with the temperature at which annotators agree as often as the settings say, on answers like those compared."""
    own = scores(utility, unit_answers(comparisons, answers)).reshape(-1, 2)
    temperature = simulated.temperature_for(comparisons.agreement, own[:, 0] - own[:, 1])
    return AnnotatorModel(utility, temperature, comparisons.tie_width)


def sample_pairs(
    prompts: Sequence[Prompt],
    policy: Network,
    comparisons: ComparisonsConfig,
    sampler: SamplerConfig,
    seed: int,
    env: Env,
) -> tuple[list[tuple[Completion, Completion]], dict[str, Any]]:
    """Two answers of the SFT policy to each of `count` prompts, which are reused if there are fewer; and a row of counts."""
    order = torch.randperm(len(prompts), generator=generator(seed, "compared prompts")).tolist()
    twice = [prompts[order[i % len(order)]] for i in range(comparisons.count) for _ in range(2)]
    draws = Draws.purpose(seed, "comparisons")
    answers = sample_with_progress("comparisons", policy, twice, sampler, draws, env)

    def again(these: list[Prompt], number: int) -> list[Completion]:
        what, new = "comparisons: cut answers again", Draws.purpose(seed, "comparisons again", number)
        return sample_with_progress(what, policy, these, sampler, new, env)

    pairs, cut = finished_pairs(list(zip(answers[::2], answers[1::2], strict=True)), comparisons.unfinished, again)
    if text := of_unfinished({"unfinished": cut}):
        env.progress.tell(f"comparisons: {text}")
    return pairs, cut


def _from_file(policy: Network, comparisons: ComparisonsConfig, data: DataConfig) -> Compared:
    name = comparisons_name(comparisons)
    files = snapshots.compared(comparisons.source, comparisons.path)
    collator = Collator(policy.tokenizer, policy.context)
    return that_fit(compared.read_all(files, sources.options(data)), name, collator, data, comparisons.unfinished)


def comparisons_name(comparisons: ComparisonsConfig) -> str:
    """What errors and summaries call people's comparisons."""
    return comparisons.path if comparisons.source == "file" else comparisons.source


def that_fit(
    loaded: Loaded[Comparison], name: str, collator: Collator, data: DataConfig, unfinished: str = "keep"
) -> Compared:
    """People's comparisons that are short enough, and what was left out. `ValueError` if none is.

    unfinished: unless it is "keep", those with an answer that was cut are left out, too.
    """
    with named([(c.prompt, where) for c, where in zip(loaded.rows, loaded.where, strict=False)], name):
        fitter = fitter_for(loaded.rows, collator, data)
        kept = [c for c in map(fitter.comparison, loaded.rows) if c]
    if not kept:
        raise ValueError(f"{name}: none of its {len(loaded.rows)} comparisons is left{fitter.too_long('comparisons')}")
    kept, ended = finished_rows(kept, unfinished, name)
    too_long, cut = fitter.rows()
    left_out = [{"what": "comparisons", "reason": reason, "rows": n} for reason, n in loaded.left_out.items()]
    agreement = compared.agreement(kept)
    summary = {
        "comparisons": len(kept),
        "source": Path(name).name,
        "agreement": None if agreement is None else round(agreement, 4),
        "temperature": None,
        "ties": sum(c.probability == 0.5 for c in kept),
        "lengths": fitter.limits.table(),
        "left_out": left_out + too_long,
        "cut": cut,
    }
    return with_unfinished(Compared(kept, summary), ended)


def fitter_for(rows: Sequence[Comparison], collator: Collator, data: DataConfig) -> Fitter:
    """What makes comparisons fit: as long as the recipe sets, else as nearly all of them are."""
    prompts: list[list[int]] = []
    responses: list[list[int]] = []
    if data.max_prompt_tokens is None:
        unique = {c.prompt.id: c.prompt for c in rows}
        prompts = [prompt_lengths(collator, unique.values())]
    if data.max_response_tokens is None:
        ids = collator.responses_ids((side.text, side.finished) for c in rows for side in (c.first, c.second))
        responses = [[len(i) for i in ids]]
    limits = Lengths.of(data.max_prompt_tokens, data.max_response_tokens, collator.context, prompts, responses)
    return Fitter(collator, limits, data.truncation)


def write(result: Compared, folder: Path) -> dict[str, Any]:
    """Write the result into the stage's directory; returns the summary for its manifest."""
    jsonl.write(folder / FILE, [line(c) for c in result.rows])
    return result.summary


def read(artifact: Artifact, env: Env) -> Compared:
    """The result, from the stage's directory."""
    return Compared(read_comparisons(artifact.path / FILE), artifact.summary)


COMPARISONS = Stage("comparisons", compare, write, read, version=2, together=True)
