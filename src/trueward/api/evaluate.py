"""`trueward.evaluate`: a model's answers scored, beside another's answers to the same prompts."""

from __future__ import annotations

from typing import Any

import torch

from trueward.api.call import calling, recipe_of
from trueward.api.frames import frame
from trueward.api.policy import as_policy
from trueward.api.printed import printed
from trueward.api.scorers import as_scorer, named_scorers, require_columns
from trueward.api.text import read_prompts
from trueward.pipeline.answers import sampling_params
from trueward.pipeline.head_to_head import compare
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.reporting import head_to_head_table
from trueward.scorers.scorer import Scale
from trueward.seeds import generator


class HeadToHead:
    """The figures of one or two models, as `trueward.evaluate` returns them. Printed, they are the command's table;
    `result["kl"]` is a figure of `table`."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table
        """All figures, as `trueward evaluate --json` prints them."""

    @property
    def scorers(self) -> Any:
        """A scorer a row: the mean of each side with its standard error, the difference, and the win rate with its
        95 % interval. A pandas frame where pandas is installed, else a list of dicts."""
        rows = []
        for row in self.table["scorers"]:
            flat = {key: value for key, value in row.items() if not isinstance(value, dict)}
            for side in ("model", "against"):
                if side in row:
                    flat |= {side: row[side]["mean"], f"{side}_se": row[side]["se"]}
            rows.append(flat)
        return frame(rows)

    @property
    def samples(self) -> list[dict[str, Any]]:
        """Some prompts with the answers of each side."""
        samples: list[dict[str, Any]] = self.table["samples"]
        return samples

    def __getitem__(self, key: str) -> Any:
        return self.table[key]

    def __str__(self) -> str:
        return printed(head_to_head_table.table(self.table), *head_to_head_table.sentences(self.table))

    def __repr__(self) -> str:
        names = " against ".join(head_to_head_table.names(self.table).values())
        return f"HeadToHead({names}, {self.table['prompts']:,} prompts)"


def evaluate(
    model: Any,
    prompts: Any,
    *,
    against: Any = None,
    scorers: Any,
    count: int | None = None,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> HeadToHead:
    """Score a model's answers to prompts, beside another model's answers to the same prompts.

    Scorers are handed the answers of both in one shuffled list, and again in the reverse order, so that none can know
    whose answer it scores. Scores stay in the scorer's own unit. Not thread-safe.

    Args:
        model: A policy of this package, a run, or a model's name.
        prompts: Strings, dicts, `Prompt`s, a path or a data set; at least 2, best those that nothing was trained on
            (`sft.held_out`).
        against: Another policy, run or name; None: the model alone.
        scorers: By name (`{"truth": my_scorer}`), or one, or a list: functions from a list of `Completion`s to
            numbers or `Score`s, reward models of `trueward.fit_reward_model`, or scorers' names.
        count: At most so many of the prompts, drawn by the seed. None: all.
        seed: Of the answers and of that draw.
        progress: Whether to show progress, as in `trueward.sft`.
        **settings: Settings of [sampler] by keyword (`temperature`, `max_new_tokens`); `runtime={}`.

    Returns:
        The figures; print them, or take `scorers` as a table.

    Raises:
        ValueError: In one line, for input that can't be used, or a scorer that returns anything but one finite number
            a completion.
    """
    where = "trueward.evaluate"
    named = named_scorers(scorers, f"{where}: scorers")
    if not named:
        raise ValueError(f"{where}: expected scorers, as {{'truth': my_scorer}}")
    rows = read_prompts(prompts, f"{where}: prompts", settings).rows
    if count is not None and count < 2:
        raise ValueError(f"{where}: count: expected at least 2, got {count}")
    if count is not None and count < len(rows):
        order = torch.randperm(len(rows), generator=generator(seed, "evaluated prompts")).tolist()
        rows = [rows[i] for i in order[:count]]
    if len(rows) < 2:
        raise ValueError(f"{where}: prompts: expected at least 2, got {len(rows)}")
    recipe = recipe_of(where, "sampler", settings, seed)
    with calling(recipe, progress) as call:
        factory = ScorerFactory(call.cache.env)
        made = {
            name: (as_scorer(f"{where}: scorers {name!r}", scorer, factory), Scale(0.0, 1.0))
            for name, scorer in named.items()
        }
        require_columns({name: scorer for name, (scorer, _) in made.items()}, rows, where)
        policies = {"model": as_policy(model), **({} if against is None else {"against": as_policy(against)})}
        networks = {side: (policy.name, policy.network) for side, policy in policies.items()}
        return HeadToHead(compare(networks, rows, made, sampling_params(recipe.sampler), seed, call.cache.env.progress))
