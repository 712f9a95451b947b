"""Several reward models as one scorer, which rewards what they agree on and shows how far they disagree.

Each member's score is put on its own scale first (mean 0, SD 1 within a prompt under the reference policy), then they are
combined, s_1 … s_k to one number:

    mean          Σ_j s_j / k
    worst         min_j s_j                         worst-case optimisation (WCO)
    uncertainty   mean − λ · Σ_j (s_j − mean)²/k    uncertainty-weighted optimisation (UWO)

(Coste et al. 2024, arXiv 2310.02743), and the combination is put on the scale again. So 1 is an SD of the combined reward, and
β means what it means with one reward model. Averaged weights (WARM, Ramé et al. 2024, arXiv 2401.12187) are one model.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from trueward.artifacts import read_json, write_json
from trueward.config import RewardConfig
from trueward.models import lora
from trueward.models.network import Network
from trueward.records import Completion, Score
from trueward.scorers import reward_model
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale, ScoredBatch, fit_scale
from trueward.token_budget import Budget

MODEL, MEMBERS, TABLE = "model", "members", "ensemble.json"


class Proxy(Protocol):
    """A reward model, or an ensemble of them, as training and evaluation use it."""

    @property
    def first(self) -> RewardModel:
        """The first reward model: PPO's value network starts from it."""

    @property
    def scale(self) -> Scale:
        """The scale of the scores under the reference policy."""

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """One score for each completion, in SDs under the reference policy."""

    def raw(self, completions: Sequence[Completion]) -> np.ndarray:
        """Scores before the last scale, float64 [n]: a difference of two is the log-odds of a choice between them."""

    def states(self, completions: Sequence[Completion]) -> np.ndarray:
        """The hidden states that the head of the first model reads, float64 [n, d]."""

    def judge_with_states(self, completions: Sequence[Completion]) -> tuple[ScoredBatch, np.ndarray]:
        """Scores and hidden states [n, d] from one forward pass."""

    def freeze(self) -> None:
        """Turn off gradients for all weights."""

    def write(self, folder: Path) -> None:
        """Save the model under `folder`/model, and an ensemble its members and table beside it."""


def combine(scores: np.ndarray, how: str, uncertainty: float) -> np.ndarray:
    """Members' scores [k, n] to one score for each answer [n].

    how: "mean", "worst" or "uncertainty", as in the formulas above. uncertainty: λ.
    """
    if how == "worst":
        return np.asarray(scores.min(axis=0))
    mean: np.ndarray = scores.mean(axis=0)
    return mean - uncertainty * scores.var(axis=0) if how == "uncertainty" else mean


class Ensemble:
    """Scores in SDs under the reference policy; the part `member_sd` is the SD between the members, each in its own SDs."""

    deterministic = True

    def __init__(
        self, members: Sequence[RewardModel], how: str, uncertainty: float, scale: Scale | None = None
    ) -> None:
        """how: as in `combine`. uncertainty: its λ. scale: that of the combination; not scaled if not given."""
        assert len(members) > 1
        self.members, self.how, self.uncertainty = list(members), how, uncertainty
        self.scale = scale or Scale(0.0, 1.0)

    @property
    def first(self) -> RewardModel:
        """The first member."""
        return self.members[0]

    def each(self, completions: Sequence[Completion]) -> np.ndarray:
        """Every member's score on its own scale, float64 [k, n]."""
        return np.stack([m.scale.apply(m.raw(completions)) for m in self.members])

    def raw(self, completions: Sequence[Completion]) -> np.ndarray:
        """The combination times the mean of the members' SDs, so that it is in log-odds again; float64 [n]."""
        return self._together(self.each(completions))

    def _together(self, each: np.ndarray) -> np.ndarray:
        return combine(each, self.how, self.uncertainty) * float(np.mean([m.scale.sd for m in self.members]))

    def states(self, completions: Sequence[Completion]) -> np.ndarray:
        """The hidden states that the head of the first member reads, float64 [n, d]."""
        return self.first.states(completions)

    def judge_with_states(self, completions: Sequence[Completion]) -> tuple[ScoredBatch, np.ndarray]:
        """The ensemble's scores, with `member_sd`, and the first member's hidden states [n, d]."""
        scored, states = self.first.judge_with_states(completions)
        each = np.stack([scored.score, *(m.scale.apply(m.raw(completions)) for m in self.members[1:])])
        return ScoredBatch(self.scale.apply(self._together(each)), {"member_sd": each.std(axis=0)}), states

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """One score for each completion, with the parts `raw` and `member_sd`."""
        each = self.each(completions)
        raw = self._together(each)
        return [
            Score(score=float(s), parts={"raw": float(r), "member_sd": float(d)})
            for s, r, d in zip(self.scale.apply(raw), raw, each.std(axis=0), strict=True)
        ]

    def freeze(self) -> None:
        """Turn off gradients for all weights of all members."""
        for member in self.members:
            member.freeze()

    def write(self, folder: Path) -> None:
        """Save the members under `folder`/members, the first one also as `folder`/model, and the table that combines them."""
        for number, member in enumerate(self.members):
            member.save(folder / MEMBERS / str(number))
        self.first.save(folder / MODEL)
        table = {"members": len(self.members), "combine": self.how, "uncertainty": self.uncertainty}
        write_json(folder / TABLE, {**table, "mean": self.scale.mean, "sd": self.scale.sd})


def build_proxy(
    config: RewardConfig, networks: Sequence[Network], answers: Sequence[Completion], micro_batch_tokens: Budget
) -> Proxy:
    """The recipe's proxy, made from its fitted members.

    answers: the reference policy's own, two to each prompt in a row; they set the scale if `reward.normalize` is true.
    """
    is_one = len(networks) == 1 or config.combine == "weights"
    if is_one:
        network = networks[0] if len(networks) == 1 else averaged(networks)
        made: RewardModel | Ensemble = RewardModel(network, Scale(0.0, 1.0), micro_batch_tokens)
    else:
        members = [with_scale(network, answers, micro_batch_tokens) for network in networks]
        made = Ensemble(members, config.combine, config.uncertainty)
    if config.normalize:
        made.scale = scale_of(made, answers)
    return made


def as_read(proxy: Proxy) -> Proxy:
    """A copy of the proxy as `load` would give it: weights of its own, and micro-batches of the default size."""
    if isinstance(proxy, Ensemble):
        return Ensemble([_copied(m) for m in proxy.members], proxy.how, proxy.uncertainty, proxy.scale)
    assert isinstance(proxy, RewardModel)
    return _copied(proxy)


def _copied(model: RewardModel) -> RewardModel:
    network = model.network
    copied = Network(lora.clone_sharing_frozen(network.model), network.tokenizer, network.base, network.form)
    return RewardModel(copied, model.scale)


def with_scale(network: Network, answers: Sequence[Completion], micro_batch_tokens: Budget) -> RewardModel:
    """A fitted network as a reward model on the scale of these answers, two to each prompt in a row."""
    made = RewardModel(network, Scale(0.0, 1.0), micro_batch_tokens)
    made.scale = scale_of(made, answers)
    return made


def scale_of(proxy: Proxy, answers: Sequence[Completion]) -> Scale:
    """The mean and SD within a prompt of the proxy's raw scores on these answers, two to each prompt in a row."""
    return fit_scale(proxy.raw(answers).reshape(-1, 2), "the reward model")


@torch.no_grad()
def averaged(networks: Sequence[Network]) -> Network:
    """A network with the mean of all their weights (WARM, eq. 3). They have to share their initial weights."""
    models = [lora.merged(n.model) for n in networks]  # the mean of products is not the product of means
    parameters = [dict(m.named_parameters()) for m in models]
    model = deepcopy(models[0])
    for name, weight in model.named_parameters():
        weight.copy_(torch.stack([p[name] for p in parameters]).mean(0))
    return Network(model, networks[0].tokenizer)


def load(folder: Path, device: torch.device, shared: bool = False, dtype: torch.dtype | None = None) -> Proxy:
    """The proxy in the directory of a reward model's stage: an ensemble if it has a table of members, else one model.

    shared, dtype: as in `reward_model.load`. `ValueError` for a damaged table.
    """
    if not (folder / TABLE).is_file():
        return reward_model.load(folder / MODEL, device, shared, dtype)
    table = read_json(folder / TABLE)
    try:
        places = [folder / MEMBERS / str(n) for n in range(table["members"])]
        members = [reward_model.load(place, device, shared, dtype) for place in places]
        return Ensemble(members, table["combine"], table["uncertainty"], Scale(table["mean"], table["sd"]))
    except (TypeError, KeyError):
        raise ValueError(f"{folder / TABLE}: damaged, expected members, combine, uncertainty, mean and sd") from None
