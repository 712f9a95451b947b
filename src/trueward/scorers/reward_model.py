"""A reward model as a scorer: raw scores from the network, put on the scale that its config.json carries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from trueward.batches import micro_batches
from trueward.data.collate import Collator
from trueward.models import heads, loading
from trueward.models.loading import Network
from trueward.records import Completion, Verdict
from trueward.scorers.scorer import Scale


class RewardModel:
    """Scores in SDs under the reference policy (or as the network gives them, with the scale 0, 1)."""

    def __init__(self, network: Network, scale: Scale, micro_batch_tokens: int = 8192) -> None:
        self.network, self.scale, self.micro_batch_tokens = network, scale, micro_batch_tokens

    @torch.no_grad()
    def raw(self, completions: Sequence[Completion]) -> np.ndarray:
        """What the network says, float64 [n]. Each completion is read as text, as it was in training."""
        tokens = Collator(self.network.tokenizer, self.network.context).tokens(completions)
        out = np.zeros(len(completions))
        for rows in micro_batches(tokens.lengths, self.micro_batch_tokens):
            part = tokens.take(rows).to(self.network.device)
            out[rows.numpy()] = heads.sequence_scores(self.network.model, part).double().cpu().numpy()
        return out

    def __call__(self, completions: Sequence[Completion]) -> list[Verdict]:
        raw = self.raw(completions)
        return [
            Verdict(score=float(s), parts={"raw": float(r)}) for s, r in zip(self.scale.apply(raw), raw, strict=True)
        ]

    def save(self, path: Path) -> None:
        """Hugging Face form, the scale in config.json."""
        setattr(self.network.model.config, loading.MEAN, self.scale.mean)
        setattr(self.network.model.config, loading.SD, self.scale.sd)
        loading.save(self.network, path)


def load(path: Path, device: torch.device) -> RewardModel:
    """A saved reward model; one without a scale of its own is taken as it is (mean 0, SD 1)."""
    network = loading.reward(path, device)
    config = network.model.config
    return RewardModel(
        network, Scale(float(getattr(config, loading.MEAN, 0.0)), float(getattr(config, loading.SD, 1.0)))
    )
