"""`trueward.compare`: two answers of the SFT policy to each prompt, and who says which one is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from trueward.api.call import calling, recipe_of
from trueward.api.scorers import as_scorer, identity, require_columns
from trueward.api.sft import as_supervised
from trueward.api.text import digest, read_prompts
from trueward.config import ComparisonsConfig, SamplerConfig
from trueward.data import importing
from trueward.pipeline import comparisons as stage
from trueward.pipeline.cache import cached
from trueward.pipeline.compared import Compared
from trueward.pipeline.comparisons import COMPARISONS
from trueward.pipeline.finished_pairs import with_unfinished
from trueward.pipeline.judge_labels import judge_comparisons
from trueward.pipeline.parts import Parts
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.pipeline.sft import SftPolicy
from trueward.pipeline.stage import Made, Stage
from trueward.records import Comparison, Completion, Prompt, Response, response_id
from trueward.scorers.scorer import Scorer
from trueward.scorers.user_function import raised
from trueward.training.env import Env
from trueward.training.journal import Journal, Row

LABELS = "labels.jsonl"
Annotator = Callable[[Completion, Completion], Any]


class ComparisonSet(Sequence[Comparison]):
    """Comparisons, as `trueward.compare` returns them: a sequence of `Comparison`, and where they come from."""

    def __init__(self, made: Made[Compared], left_out: Mapping[str, int] | None = None) -> None:
        """left_out: prompts that could not be used, by reason."""
        self.made, self.left_out = made, dict(left_out or {})

    @property
    def rows(self) -> list[Comparison]:
        """All of them, as a list."""
        return self.made.value.rows

    @property
    def summary(self) -> Row:
        """How many `comparisons` and `ties` there are, their `source`, the simulated annotators' `agreement` (else
        None), and `left_out`: what could not be used, how often, and why."""
        prompts = [{"what": "prompts", "reason": reason, "rows": n} for reason, n in self.left_out.items()]
        return {**self.made.summary, "left_out": [*prompts, *self.made.summary["left_out"]]}

    @overload
    def __getitem__(self, at: int) -> Comparison: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Comparison]: ...
    def __getitem__(self, at: int | slice) -> Comparison | Sequence[Comparison]:
        return self.rows[at]

    @property
    def unfinished(self) -> str:
        """The setting `unfinished` that they were made with."""
        return str(self.made.summary.get("unfinished", {}).get("how", "keep"))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Comparison]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"ComparisonSet({len(self):,} comparisons by {self.summary['source']})"

    def save(self, path: str | Path) -> Path:
        """Write them as JSONL in trueward's own form, which `trueward.fit_reward_model`, recipes and the studio read.

        Args:
            path: The file, written anew if it is there.

        Returns:
            The path.
        """
        importing.save(Path(path), self.rows)
        return Path(path)


def compare(
    sft: Any,
    prompts: Any,
    *,
    annotator: Annotator | str | None = None,
    utility: Any = None,
    count: int | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> ComparisonSet:
    """Let the SFT policy answer prompts twice, and have somebody say which answer is better.

    Give either `annotator` or `utility`. Pairs of equal answers are left out, and counted in the result's `summary`.
    Not thread-safe.

    Args:
        sft: The policy of `trueward.sft`, its directory, or a model's name, which is then taken as it is.
        prompts: Strings, dicts, `Prompt`s, a path or a data set.
        annotator: A function of two `Completion`s that returns how probable it is that the first is the better one: 0
            to 1 (True and False count as 1 and 0, 0.5 is a tie), or None for no judgement, which is counted. Or
            `"judge"`: a language model compares, `judge={"model": ...}`.
        utility: A scorer by which simulated annotators choose. They err, so that two of them agree in a share of
            `agreement=0.73` of the pairs.
        count: How many pairs. None: one a prompt.
        out: A directory to keep them in. Labels are written as they are given, so that the same call, after a stop,
            asks for none twice. None: in memory.
        seed: Of every random draw.
        progress: Whether to show progress, as in `trueward.sft`.
        **settings: Settings of [comparisons] by keyword (`agreement`, `tie_width` …), of other sections as dicts:
            `sampler={}`, `judge={}`, `runtime={}`.

    Returns:
        The comparisons.

    Raises:
        ValueError: In one line, for an argument that can't be used, an annotator that returns anything else, or if no
            pair was judged.
    """
    where = "trueward.compare"
    if (annotator is None) == (utility is None):
        raise ValueError(f"{where}: expected one of annotator= and utility=")
    if not callable(annotator) and annotator not in (None, "judge"):
        raise ValueError(f'{where}: annotator: expected a function of two completions or "judge", got {annotator!r}')
    loaded = read_prompts(prompts, f"{where}: prompts", settings)
    rows = loaded.rows
    by_judge = annotator == "judge"
    source = {"source": "judge" if by_judge else "simulated"}
    fixed = {"comparisons": {**source, "count": len(rows) if count is None else count}}
    recipe = recipe_of(where, "comparisons", settings, seed, **fixed)
    shared = {name: settings[name] for name in ("sampler", "runtime", "lora", "dtype") if name in settings}
    with calling(recipe, progress, out, COMPARISONS.name) as call:
        start = as_supervised(sft, prompts, where, call.cache.env, seed, progress=progress, **shared)
        scorer = None if utility is None else as_scorer("utility", utility, ScorerFactory(call.cache.env))
        require_columns({} if scorer is None else {"utility": scorer}, rows, where)
        label = Labelling(rows, start.made.value, None if isinstance(annotator, str) else annotator, scorer)
        made = cached(
            call.cache,
            Stage(COMPARISONS.name, label.compare, stage.write, stage.read),
            {},
            Parts(recipe).comparing,
            (),
            None,
            [start.made.digest, digest(rows), *([] if by_judge else [identity(utility or annotator, where, out)])],
        )
        return ComparisonSet(made, loaded.left_out)


@dataclass(frozen=True)
class Labelling:
    """Who compares what."""

    prompts: Sequence[Prompt]
    sft: SftPolicy
    annotator: Annotator | None
    utility: Scorer | None

    def compare(
        self,
        *,
        seed: int,
        comparisons: ComparisonsConfig,
        sampler: SamplerConfig,
        judge: Any,
        env: Env,
        journal: Journal,
        **rest: Any,
    ) -> Compared:
        """The stage's function: pairs of answers, and what is said of them."""
        pairs, cut = stage.sample_pairs(self.prompts, self.sft.policy, comparisons, sampler, seed, env)
        if self.utility is not None:
            made = stage.simulated_comparisons(pairs, self.utility, comparisons, self.sft.answers, seed)
        elif self.annotator is not None:
            made = self._by_function(pairs, self.annotator, env, journal)
        else:
            made = Compared(*judge_comparisons(pairs, {}, comparisons, judge, seed, env))
        return with_unfinished(made, cut)

    def _by_function(self, pairs: Sequence[Any], annotator: Any, env: Env, journal: Journal) -> Compared:
        env.progress.start("comparisons: labels", len(pairs))
        labels = [row["probability"] for row in journal.rows(LABELS)]  # of a call that was stopped
        rows, same, silent = [], 0, 0
        for i, (first, second) in enumerate(pairs):
            if (first.response, first.finished) == (second.response, second.finished):
                same += 1
                if i >= len(labels):
                    labels.append(None)
                    journal.append(LABELS, [{"probability": None}])
                continue
            if i >= len(labels):
                labels.append(_probability(_told(annotator, first, second)))
                journal.append(LABELS, [{"probability": labels[i]}])
            env.progress.at(i + 1)
            if labels[i] is None:
                silent += 1
                continue
            rows.append(_comparison(first, second, labels[i]))
        env.progress.end(f"{len(rows):,} comparisons")
        if not rows:
            raise ValueError("trueward.compare: the annotator judged none of the pairs")
        reasons = {"the two answers were the same": same, "the annotator gave no judgement": silent}
        return Compared(
            rows,
            {
                "comparisons": len(rows),
                "source": "annotator",
                "agreement": None,
                "temperature": None,
                "ties": sum(c.probability == 0.5 for c in rows),
                "left_out": [{"what": "comparisons", "reason": r, "rows": n} for r, n in reasons.items() if n],
            },
        )


def _told(annotator: Any, first: Completion, second: Completion) -> Any:
    """What a function says of two answers. `ValueError` in one line for what it raises."""
    try:
        return annotator(first, second)
    except Exception as error:
        raise raised("trueward.compare: the annotator", annotator, error) from error


def _probability(value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ValueError(
            f"trueward.compare: the annotator returned {value!r}; expected the probability that the first answer is the "
            "better one (0 to 1), or None"
        )
    return number


def _comparison(first: Completion, second: Completion, probability: float) -> Comparison:
    one, other = (
        Response(id=response_id(c.prompt, c.response), text=c.response, finished=c.finished) for c in (first, second)
    )
    return Comparison(prompt=first.prompt, first=one, second=other, probability=probability, source="annotator")
