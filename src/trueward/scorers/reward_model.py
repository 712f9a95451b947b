"""A reward model as a scorer: raw scores from the network, put on the scale in its config.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trueward import transfers
from trueward.batches import micro_batches
from trueward.data.collate import Collator
from trueward.models import heads, loading, precision, shared_base
from trueward.models.network import Network
from trueward.records import Completion, Score
from trueward.scorers import hf_reward_model
from trueward.scorers.scorer import Scale, ScoredBatch
from trueward.token_budget import Budget, within_memory


class RewardModel:
    """Scores in SDs under the reference policy, or as the network gives them if its scale is 0, 1."""

    deterministic = True

    def __init__(self, network: Network, scale: Scale, micro_batch_tokens: Budget = 8192) -> None:
        """micro_batch_tokens: the most tokens in one forward pass."""
        self.network, self.scale, self.micro_batch_tokens = network, scale, micro_batch_tokens

    def raw(self, completions: Sequence[Completion]) -> np.ndarray:
        """The network's outputs, float64 [n]. Each completion is read as text, as in training."""
        return self._read(completions, with_states=False)[0]

    def states(self, completions: Sequence[Completion]) -> np.ndarray:
        """The hidden states that its head reads, float64 [n, d]."""
        return self._read(completions)[1]

    @torch.no_grad()
    def _read(self, completions: Sequence[Completion], with_states: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Scores and, if they're asked for, hidden states: from the device in one copy."""
        if hf_reward_model.template(self.network) != loading.OWN:
            return hf_reward_model.read(self.network, completions, self.micro_batch_tokens)
        model = self.network.model
        tokens = Collator(self.network.tokenizer, self.network.context).tokens(completions)

        def attempt() -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
            groups = micro_batches(tokens.lengths, self.micro_batch_tokens, heads.prompt_groups(model, tokens))
            scored: list[Tensor] = []
            hidden: list[Tensor] = []
            for rows in groups:
                states = heads.sequence_states(model, tokens.take(rows).to(self.network.device))
                scored.append(model.score(states).squeeze(-1))
                hidden += [states] if with_states else []
            return groups, scored, hidden

        groups, scored, hidden = within_memory(self.micro_batch_tokens, attempt)
        order = torch.cat(groups).numpy() if groups else np.zeros(0, dtype=np.int64)
        raw, width = np.zeros(len(completions)), hidden[0].shape[1] if hidden else 0
        every = np.zeros((len(completions), width))
        read = [part.double().numpy() for part in transfers.read([*scored, *hidden])]  # MPS has no float64
        if groups:
            raw[order] = np.concatenate(read[: len(groups)])
        if hidden:
            every[order] = np.concatenate(read[len(groups) :])
        return raw, every

    def judge_with_states(self, completions: Sequence[Completion]) -> tuple[ScoredBatch, np.ndarray]:
        """Scores and hidden states [n, d] from one forward pass."""
        raw, states = self._read(completions)
        return ScoredBatch(self.scale.apply(raw), {}), states

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """One score for each completion, with the part `raw`."""
        raw = self.raw(completions)
        return [Score(score=float(s), parts={"raw": float(r)}) for s, r in zip(self.scale.apply(raw), raw, strict=True)]

    @property
    def first(self) -> RewardModel:
        """The model itself, as an ensemble gives its first member."""
        return self

    def freeze(self) -> None:
        """Turn off gradients for all weights, and keep matrices in the precision of products."""
        precision.keep(self.network.model.requires_grad_(False))

    def write(self, folder: Path) -> None:
        """Save it as `folder`/model, the layout of a stage's directory."""
        self.save(folder / "model")

    def save(self, path: Path) -> None:
        """Save network and tokenizer in the Hugging Face format, with the scale in config.json."""
        setattr(self.network.model.config, loading.MEAN, self.scale.mean)
        setattr(self.network.model.config, loading.SD, self.scale.sd)
        loading.save(self.network, path)


def load(path: Path, device: torch.device, shared: bool = False, dtype: torch.dtype | None = None) -> RewardModel:
    """A saved reward model; one without a scale of its own is taken as it is (mean 0, SD 1).

    shared: its frozen weights are shared with every other network that has the same base. dtype: the precision of products.
    """
    network = shared_base.reward(path, device, dtype=dtype) if shared else loading.reward(path, device, dtype=dtype)
    config = network.model.config
    return RewardModel(
        network, Scale(float(getattr(config, loading.MEAN, 0.0)), float(getattr(config, loading.SD, 1.0)))
    )
