"""`reward.start = "probe"`: a reward model's head in closed form, on the SFT policy's frozen states.

A head of zeros tells the layers nothing at first, and what they learn meanwhile distorts what they knew: fitting the head to
the frozen states first, and the layers then, is better away from the data (Kumar et al. 2022, arXiv 2202.10054).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trueward.config import RewardConfig
from trueward.evaluation.probe import FOLDS, fit_probe
from trueward.models import state_cache
from trueward.models.derived import shared_scalar_head
from trueward.models.fast import packed
from trueward.models.layer_states import layer_count
from trueward.models.linear_head import head_inputs, head_inputs_of_both
from trueward.models.network import Network
from trueward.models.state_cache import StateCache
from trueward.models.truncated import layer_stack
from trueward.pipeline.frozen_states import frozen_states
from trueward.records import Comparison, Completion
from trueward.training.env import Env

AUTO = "auto"


@dataclass(frozen=True)
class ClosedForm:
    """A head [d], the ridge it was fitted with, and its cross-validated loss, nats."""

    weights: np.ndarray
    ridge: float
    loss: float


class HeadStart:
    """Heads in closed form. Each answer is read once for all members, folds and parts of the comparisons."""

    def __init__(
        self,
        policy: Network,
        config: RewardConfig,
        env: Env,
        comparisons: Sequence[Comparison] = (),
        room: int | None = None,
    ) -> None:
        """config: of the reward model; `layers` has to be settled (`settled`).

        comparisons: that it is fitted to: what layers that don't learn make of these answers is kept, in `room` bytes at most.
        """
        self.policy, self.env = policy, env
        self.layers = config.layers if isinstance(config.layers, int) else 0
        self._network = shared_scalar_head(policy, self.layers)
        self.states = frozen_states(self._network, config, comparisons, env, room)
        self._at: dict[Completion, int] = {}
        self._states: list[np.ndarray] = []

    def read(self, comparisons: Sequence[Comparison]) -> None:
        """Read all answers of these comparisons that were not read before."""
        new = self._new(comparisons)
        if not new:
            return
        self.env.progress.start("reward model: frozen states", len(new))
        self._keep(new, head_inputs(self._network, new, self.env.micro_batch_tokens, self.states))
        self.env.progress.end(f"{len(new):,} answers")

    def read_with(self, whole: HeadStart, comparisons: Sequence[Comparison]) -> None:
        """As `read` of both, reading each answer once where that can be. whole: of all layers, with nothing read yet."""
        models = self._network.model, whole._network.model
        if self.states or whole.states or not all(packed.covers(model) for model in models):
            return  # each reads for itself, as it can or from the states that are kept
        new = self._new(comparisons)
        if not new:
            return
        self.env.progress.start("reward model: frozen states", len(new))
        found = head_inputs_of_both(self._network, whole._network, new, self.env.micro_batch_tokens)
        self.env.progress.end(f"{len(new):,} answers")
        for start, states in zip((self, whole), found, strict=True):
            start._keep(new, states)

    def _new(self, comparisons: Sequence[Comparison]) -> list[Completion]:
        return [
            c for c in dict.fromkeys(side for row in comparisons for side in row.completions()) if c not in self._at
        ]

    def _keep(self, new: Sequence[Completion], states: np.ndarray) -> None:
        for row, completion in enumerate(new, start=len(self._at)):
            self._at[completion] = row
        self._states = [np.concatenate([*self._states, states])]

    def differences(self, comparisons: Sequence[Comparison]) -> np.ndarray:
        """The first answer's state less the second's, float64 [n, d]."""
        self.read(comparisons)
        rows = np.array([[self._at[side] for side in c.completions()] for c in comparisons])
        states = self._states[0]
        return np.asarray(states[rows[:, 0]].astype(np.float64) - states[rows[:, 1]])

    def fit(self, comparisons: Sequence[Comparison]) -> ClosedForm:
        """The head that minimises the mean Bradley–Terry loss with the ridge of the lowest cross-validated loss.

        `ValueError` for comparisons of fewer prompts than there are folds.
        """
        prompts = [c.prompt.id for c in comparisons]
        if (different := len(set(prompts))) < FOLDS:
            raise ValueError(
                f'reward.start = "probe": its ridge is chosen in {FOLDS} folds of prompts, and there are comparisons of '
                f'{different} to fit to; give more comparisons, or start = "zero"'
            )
        labels = np.array([c.probability for c in comparisons])
        probe = fit_probe(self.differences(comparisons), labels, prompts)
        return ClosedForm(probe.weights, probe.ridge, probe.loss)

    def margins(self, head: ClosedForm, comparisons: Sequence[Comparison]) -> np.ndarray:
        """How much higher the first answer's reward is, [n]."""
        return np.asarray(self.differences(comparisons) @ head.weights)


class RewardStart(NamedTuple):
    """What all members of a reward model start from."""

    config: RewardConfig
    """With `layers` as a number or "all"."""
    head: HeadStart | None
    """None with `start = "zero"`."""
    states: StateCache | None
    """What the layers that don't learn make of the answers; None where it isn't kept."""


def settled(policy: Network, config: RewardConfig, comparisons: Sequence[Comparison], env: Env) -> RewardStart:
    """What the reward models of these comparisons start from. All processes call it.

    With `layers = "auto"` half and all of the layers are tried on these comparisons.
    """
    if config.start == "zero":
        return RewardStart(config, None, _states(policy, config, comparisons, env))
    if config.layers != AUTO:
        head = HeadStart(policy, config, env, comparisons)
        return RewardStart(config, head, head.states)
    count = layer_count(policy)
    whole = config.model_copy(update={"layers": "all"})
    starts = {count: HeadStart(policy, whole, env, comparisons)}
    if count < 2 or layer_stack(policy.model) is None:
        env.progress.tell('reward.layers = "auto": the model has no layers that could be left out, so it has all')
        return RewardStart(whole, starts[count], starts[count].states)
    kept = starts[count].states
    room = state_cache.ROOM - (kept.size if kept else 0)
    half = config.model_copy(update={"layers": count // 2})
    starts[count // 2] = HeadStart(policy, half, env, comparisons, room)
    starts[count // 2].read_with(starts[count], comparisons)
    losses = {layers: start.fit(comparisons).loss for layers, start in starts.items()}
    best = min(losses, key=lambda layers: losses[layers])
    tried = ", ".join(f"{loss:.4f} with {layers} layers" for layers, loss in sorted(losses.items()))
    env.progress.tell(
        f'reward.layers = "auto": the probe\'s cross-validated loss is {tried} of {count}; {best} are kept'
    )
    chosen = config.model_copy(update={"layers": best if best < count else "all"})
    return RewardStart(chosen, starts[best], starts[best].states)


def _states(policy: Network, config: RewardConfig, comparisons: Sequence[Comparison], env: Env) -> StateCache | None:
    """What the layers that don't learn make of the answers, where there's no head to start from."""
    if not config.trainable_layers:
        return None
    layers = config.layers if isinstance(config.layers, int) else 0
    return frozen_states(shared_scalar_head(policy, layers), config, comparisons, env)
