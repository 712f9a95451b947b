"""Several reward models as one scorer: what they agree on is paid, what they disagree on shows.

Each member's score is put on its own scale first (mean 0, SD 1 within a prompt under the reference policy), then they are
combined, s_1 … s_k to one number:

    mean          Σ_j s_j / k
    worst         min_j s_j                         worst-case optimisation (WCO)
    uncertainty   mean − λ · Σ_j (s_j − mean)²/k    uncertainty-weighted optimisation (UWO)

(Coste et al. 2024, arXiv 2310.02743), and the combination is put on the scale again. So 1 is an SD of what is paid, and β
means what it means with one reward model. Averaged weights (WARM, Ramé et al. 2024, arXiv 2401.12187) are one model.
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

MODEL, MEMBERS, TABLE = "model", "members", "ensemble.json"


class Proxy(Protocol):
    """A reward model, or several as one."""

    @property
    def first(self) -> RewardModel:
        """The one that stands for all where one network is asked for: PPO's value network starts from it."""

    @property
    def scale(self) -> Scale: ...

    def __call__(self, completions: Sequence[Completion]) -> list[Score]: ...

    def raw(self, completions: Sequence[Completion]) -> np.ndarray:
        """Before the last scale, float64 [n]: a difference is one in the log-odds of a choice."""

    def states(self, completions: Sequence[Completion]) -> np.ndarray:
        """What the head of the first one reads, float64 [n, d]."""

    def judge_with_states(self, completions: Sequence[Completion]) -> tuple[ScoredBatch, np.ndarray]:
        """Both for one reading."""

    def freeze(self) -> None: ...

    def write(self, folder: Path) -> None:
        """Under `folder`/model, and what else it needs beside it."""


def combine(scores: np.ndarray, how: str, uncertainty: float) -> np.ndarray:
    """Members' scores [k, n] to one of each answer [n]."""
    if how == "worst":
        return np.asarray(scores.min(axis=0))
    mean: np.ndarray = scores.mean(axis=0)
    return mean - uncertainty * scores.var(axis=0) if how == "uncertainty" else mean


class Ensemble:
    """Scores in SDs under the reference policy; `member_sd` among the parts is the SD between the members, in theirs."""

    def __init__(
        self, members: Sequence[RewardModel], how: str, uncertainty: float, scale: Scale | None = None
    ) -> None:
        assert len(members) > 1
        self.members, self.how, self.uncertainty = list(members), how, uncertainty
        self.scale = scale or Scale(0.0, 1.0)

    @property
    def first(self) -> RewardModel:
        return self.members[0]

    def each(self, completions: Sequence[Completion]) -> np.ndarray:
        """Every member's score on its own scale, [k, n]."""
        return np.stack([m.scale.apply(m.raw(completions)) for m in self.members])

    def raw(self, completions: Sequence[Completion]) -> np.ndarray:
        """The combination times the mean of the members' SDs, which makes log-odds of it again."""
        return self._together(self.each(completions))

    def _together(self, each: np.ndarray) -> np.ndarray:
        return combine(each, self.how, self.uncertainty) * float(np.mean([m.scale.sd for m in self.members]))

    def states(self, completions: Sequence[Completion]) -> np.ndarray:
        return self.first.states(completions)

    def judge_with_states(self, completions: Sequence[Completion]) -> tuple[ScoredBatch, np.ndarray]:
        said, states = self.first.judge_with_states(completions)
        each = np.stack([said.score, *(m.scale.apply(m.raw(completions)) for m in self.members[1:])])
        return ScoredBatch(self.scale.apply(self._together(each)), {"member_sd": each.std(axis=0)}), states

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        each = self.each(completions)
        raw = self._together(each)
        return [
            Score(score=float(s), parts={"raw": float(r), "member_sd": float(d)})
            for s, r, d in zip(self.scale.apply(raw), raw, each.std(axis=0), strict=True)
        ]

    def freeze(self) -> None:
        for member in self.members:
            member.freeze()

    def write(self, folder: Path) -> None:
        for number, member in enumerate(self.members):
            member.save(folder / MEMBERS / str(number))
        self.first.save(folder / MODEL)
        table = {"members": len(self.members), "combine": self.how, "uncertainty": self.uncertainty}
        write_json(folder / TABLE, {**table, "mean": self.scale.mean, "sd": self.scale.sd})


def build_proxy(
    config: RewardConfig, networks: Sequence[Network], answers: Sequence[Completion], micro_batch_tokens: int
) -> Proxy:
    """The recipe's proxy from its fitted members. answers: the reference policy's own, two to each prompt in turn."""
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
    """The proxy as `load` gives it: read in micro-batches of the usual size, with weights of its own (copies)."""
    if isinstance(proxy, Ensemble):
        return Ensemble([_copied(m) for m in proxy.members], proxy.how, proxy.uncertainty, proxy.scale)
    assert isinstance(proxy, RewardModel)
    return _copied(proxy)


def _copied(model: RewardModel) -> RewardModel:
    network = model.network
    copied = Network(lora.clone_sharing_frozen(network.model), network.tokenizer, network.base, network.form)
    return RewardModel(copied, model.scale)


def with_scale(network: Network, answers: Sequence[Completion], micro_batch_tokens: int) -> RewardModel:
    """A fitted network on the scale of these answers, two to each prompt in turn."""
    made = RewardModel(network, Scale(0.0, 1.0), micro_batch_tokens)
    made.scale = scale_of(made, answers)
    return made


def scale_of(proxy: Proxy, answers: Sequence[Completion]) -> Scale:
    """What stands for 0 and for 1 on these answers, two to each prompt in turn."""
    return fit_scale(proxy.raw(answers).reshape(-1, 2), "the reward model")


@torch.no_grad()
def averaged(networks: Sequence[Network]) -> Network:
    """A network with the mean of all their weights (WARM, eq. 3). They are to have begun from the same ones."""
    models = [lora.merged(n.model) for n in networks]  # the mean of products is not the product of means
    parameters = [dict(m.named_parameters()) for m in models]
    model = deepcopy(models[0])
    for name, weight in model.named_parameters():
        weight.copy_(torch.stack([p[name] for p in parameters]).mean(0))
    return Network(model, networks[0].tokenizer)


def load(folder: Path, device: torch.device, shared: bool = False) -> Proxy:
    """The proxy that a reward model's stage has made, by its directory. shared: as in `reward_model.load`."""
    if not (folder / TABLE).is_file():
        return reward_model.load(folder / MODEL, device, shared)
    table = read_json(folder / TABLE)
    try:
        members = [reward_model.load(folder / MEMBERS / str(n), device, shared) for n in range(table["members"])]
        return Ensemble(members, table["combine"], table["uncertainty"], Scale(table["mean"], table["sd"]))
    except (TypeError, KeyError):
        raise ValueError(f"{folder / TABLE}: damaged, expected members, combine, uncertainty, mean and sd") from None
