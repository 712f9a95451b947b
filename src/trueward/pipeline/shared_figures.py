"""The figures of an evaluation's answers, token by token, with every process reading its share of them for rank 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from trueward.batches import Rollout, Tokens
from trueward.evaluation.token_figures import AnswerFigures, by_answer
from trueward.models.network import Network
from trueward.sampling.rank_pool import RankPool
from trueward.token_budget import Budget


class SharedFigures:
    """As `token_figures.by_answer`; with the help of the other processes where they know all networks."""

    def __init__(self, ranks: RankPool) -> None:
        self.ranks = ranks

    def __call__(
        self, networks: Mapping[str, Network], rollout: Rollout, temperature: float, micro_batch_tokens: Budget
    ) -> AnswerFigures:
        """On rank 0, while all others wait for its word."""
        if len(rollout.tokens) < 2 or not self.ranks.knows(*networks.values()):
            return by_answer(networks, rollout, temperature, micro_batch_tokens)
        tokens = rollout.tokens.host
        rows = [
            [ids[:prompt], ids[prompt : prompt + response]]
            for ids, prompt, response in zip(
                tokens.ids.tolist(), tokens.prompt_lengths.tolist(), tokens.response_lengths.tolist(), strict=True
            )
        ]
        budget = int(micro_batch_tokens)
        self.ranks.ask("figures", networks, rows=rows, temperature=temperature, budget=budget)
        return self._shares(networks, rows, temperature, micro_batch_tokens)

    def help(self, request: dict[str, Any], networks: Mapping[str, Network]) -> None:
        """On another rank: read a share."""
        self._shares(networks, request["rows"], request["temperature"], request["budget"])

    def _shares(
        self, networks: Mapping[str, Network], rows: list[Any], temperature: float, budget: Budget
    ) -> AnswerFigures:
        fabric, whole = self.ranks.fabric, Tokens.collate(rows, 0)
        tokens = whole.take(fabric.share(len(rows)))
        figures, ratios = by_answer(networks, Rollout(tokens, torch.zeros(tokens.ids.shape), []), temperature, budget)
        mine = [
            {"figures": {name: float(values[i]) for name, values in figures.items()}, "ratios": ratios[i]}
            for i in range(len(tokens))
        ]
        every = fabric.gather_rows(mine, "answers that are evaluated", str(rows))
        names = list(figures)
        return (
            {name: np.array([row["figures"][name] for row in every]) for name in names},
            [(row["ratios"][0], row["ratios"][1]) for row in every],
        )
