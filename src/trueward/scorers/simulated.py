"""Simulated annotators: a plain program that stands in for people, so that the whole pipeline runs on one machine.

Their utility of an answer is

    saturated sentiment of prompt and answer    tanh(log-odds / 2), between −1 and 1
    − 2 · share of the answer's words that repeat (words of four letters and more that came before, repeated word pairs)
    − 1 if the answer was cut and not finished
    − 1 · what is missing to five words, in fifths

and they choose by Bradley–Terry on it: P(first) = σ((u_1 − u_2) / temperature). In the nano lab they choose by another utility,
scorers/nano_utility.py, in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from trueward.artifacts import read_json, write_json
from trueward.models.network import Network
from trueward.records import Comparison, Completion, Prompt, Response, Score, response_id
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import Sample
from trueward.scorers.nano_utility import DistinctWords
from trueward.scorers.reader import Reader
from trueward.scorers.scorer import Scorer
from trueward.scorers.sentiment import Sentiment, from_table
from trueward.seeds import generator, seed_for

DESCRIPTION = (
    "simulated, not people: Bradley–Terry on a program's utility (sentiment by a classifier, saturating, minus "
    "repetition, minus unfinished, minus nearly empty)"
)


@dataclass(frozen=True)
class AnnotatorModel:
    """How simulated annotators choose: by Bradley–Terry at this temperature, with a tie below this difference in utility."""

    utility: Scorer
    temperature: float
    tie_width: float


class Utility:
    """The utility as a scorer, with its terms as parts."""

    description = DESCRIPTION

    def __init__(self, sentiment: Sentiment) -> None:
        """sentiment: rates prompt and answer together."""
        self.sentiment = sentiment

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """One utility for each completion."""
        texts = [c.prompt.text + c.response for c in completions]
        moods = np.tanh(self.sentiment(texts) / 2.0) if texts else np.zeros(0)
        verdicts = []
        for completion, mood in zip(completions, moods, strict=True):
            parts = {
                "sentiment": float(mood),
                "repetition": -2.0 * repetition(completion.response),
                "unfinished": 0.0 if completion.finished else -1.0,
                "short": -max(0.0, 5 - len(words(completion.response))) / 5,
            }
            verdicts.append(Score(score=sum(parts.values()), parts=parts))
        return verdicts

    def save(self, path: Path) -> None:
        """Write the sentiment's table to a file, from which `load` makes the utility again."""
        write_json(path, self.sentiment.table())


def load(folder: Path, name: str) -> Annotator:
    """The utility that the stage `prepare` saved under this name. `ValueError` in one line that lists the names."""
    path = folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(f.stem for f in folder.glob("*.json"))) or "none, for these data"
        raise ValueError(f"there is no simulated utility {name!r}; known: {known}")
    table = read_json(path)
    if table["kind"] == "distinct words":
        return DistinctWords(table["liked"])
    if table["kind"] == "reader":
        return Reader.from_table(table)
    return Utility(from_table(table))


Annotator = Utility | DistinctWords | Reader


class SavedAnnotators(Mapping[str, Annotator]):
    """Utilities by name, each read from its file on access."""

    def __init__(self, folder: Path) -> None:
        """folder: of the files NAME.json that `prepare` wrote."""
        self.folder = folder

    def __getitem__(self, name: str) -> Annotator:
        if name not in set(self):
            raise KeyError(name)
        return load(self.folder, name)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(f.stem for f in self.folder.glob("*.json")))

    def __len__(self) -> int:
        return len(list(iter(self)))


def pick(annotators: Mapping[str, Annotator], name: str) -> Annotator:
    """The utility of that name. `ValueError` in one line that lists the names."""
    if name not in annotators:
        known = ", ".join(sorted(annotators)) or "none, for these data"
        raise ValueError(f"there is no simulated utility {name!r}; known: {known}")
    return annotators[name]


class LikesLength:
    """A utility plus a bonus for length, which people are known to have (Singhal et al. 2023, arXiv 2310.03716).

    bias: the bonus for every ten words.
    """

    def __init__(self, utility: Scorer, bias: float) -> None:
        self.utility, self.bias = utility, bias

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """The utility with the bonus, which is the part `length`."""
        out = []
        for completion, verdict in zip(completions, self.utility(completions), strict=True):
            more = self.bias * len(words(completion.response)) / 10
            out.append(Score(score=verdict.score + more, parts={**verdict.parts, "length": more}))
        return out


def annotator(annotators: Mapping[str, Annotator], name: str, length_bias: float) -> Scorer:
    """The scorer that simulated annotators choose by: a utility of that name, with a bonus for length if it is not 0."""
    utility = pick(annotators, name)
    return LikesLength(utility, length_bias) if length_bias else utility


def are_as_long(pairs: Iterable[tuple[Completion, Completion]]) -> bool:
    """Whether the two answers of every pair have the same number of words: then no bonus for length tells them apart."""
    return all(len(words(first.response)) == len(words(second.response)) for first, second in pairs)


def words(text: str) -> list[str]:
    """Words of a text, in lower case, without punctuation."""
    return re.findall(r"[^\W_][\w']*", text.lower())


def repetition(text: str) -> float:
    """Share of an answer's words that repeat: long words that came before, or the second word of a repeated pair."""
    sequence = words(text)
    seen: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    repeated = 0
    for i, word in enumerate(sequence):
        pair = (sequence[i - 1], word) if i else ("", word)
        repeated += (len(word) >= 4 and word in seen) or pair in pairs
        seen.add(word)
        pairs.add(pair)
    return repeated / len(sequence) if sequence else 0.0


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1/(1 + exp(−x)), without overflow; any shape."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def temperature_for(agreement: float, gaps: np.ndarray) -> float:
    """The temperature at which two annotators agree on this share of the pairs: mean of p² + (1 − p)², p = σ(gap/T).

    gaps: differences in utility, [n]. `ValueError` if the utilities are equal too often for that agreement.
    """

    def agree(log_temperature: float) -> float:
        p = sigmoid(gaps / np.exp(log_temperature))
        return float((p**2 + (1 - p) ** 2).mean())

    low, high = -12.0, 12.0
    if agree(low) < agreement:
        raise ValueError(
            f"two annotators can agree on at most {agree(low):.2f} of these pairs, less than comparisons.agreement = "
            f"{agreement}: too many answers have the same utility"
        )
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if agree(middle) > agreement else (low, middle)
    return float(np.exp((low + high) / 2))


def compare(
    pairs: Sequence[tuple[Completion, Completion]],
    utilities: np.ndarray,
    temperature: float,
    tie_width: float,
    draw: np.random.Generator,
) -> tuple[list[Comparison], float]:
    """One simulated choice for each pair, and the share of pairs on which a second annotator agrees with the first.

    utilities: [n, 2]. Pairs of the same answer twice are left out.
    """
    gaps = (utilities[:, 0] - utilities[:, 1]) / temperature
    chance = sigmoid(gaps)
    votes, others = draw.random(len(gaps)) < chance, draw.random(len(gaps)) < chance
    comparisons, agreed = [], []
    for (first, second), gap, vote, other in zip(pairs, gaps, votes, others, strict=True):
        if (first.response, first.finished) == (second.response, second.finished):
            continue
        tie = abs(gap) < tie_width
        comparisons.append(
            Comparison(
                prompt=first.prompt,
                first=_side(first),
                second=_side(second),
                probability=0.5 if tie else float(vote),
                source="simulated",
            )
        )
        agreed.append(vote == other)
    return comparisons, float(np.mean(agreed)) if agreed else float("nan")


def chosen(
    pairs: Sequence[tuple[Completion, Completion]], choosing: AnnotatorModel, seed: int, *when: str | int
) -> list[Comparison]:
    """What simulated annotators choose; their draws depend on seed and `when` alone."""
    utilities = np.array([v.score for v in choosing.utility([side for pair in pairs for side in pair])]).reshape(-1, 2)
    votes = np.random.default_rng(seed_for(seed, "asked votes", *when))
    return compare(pairs, utilities, choosing.temperature, choosing.tie_width, votes)[0]


def sample_pairs(
    sample: Sample,
    policy: Network,
    prompts: Sequence[Prompt],
    count: int,
    seed: int,
    *when: str | int,
) -> list[tuple[Completion, Completion]]:
    """Two answers of `policy` to each of `count` prompts, to be compared; random draws depend on seed and `when` alone."""
    order = torch.randperm(len(prompts), generator=generator(seed, "asked prompts", *when)).tolist()
    chosen = [prompts[order[i % len(order)]] for i in range(count)]
    twice = [p for p in chosen for _ in range(2)]
    answers = sample(policy, twice, Draws.purpose(seed, "asked", *when)).completions
    return list(zip(answers[::2], answers[1::2], strict=True))


def _side(c: Completion) -> Response:
    ending = "" if c.finished else " (cut)"
    return Response(id=response_id(c.prompt, c.response + ending), text=c.response, finished=c.finished)
