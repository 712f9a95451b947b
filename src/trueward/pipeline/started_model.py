"""One reward model, from a head of zeros or from one in closed form; there, fine-tuning is kept only if it helps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trueward import seeds
from trueward.algorithms.reward_model import MemberPlan
from trueward.config import LoraConfig, RewardConfig
from trueward.evaluation.probe import FOLDS
from trueward.models.derived import scalar_head
from trueward.models.linear_head import set_head
from trueward.models.network import Network
from trueward.models.state_cache import StateCache
from trueward.pipeline.head_start import ClosedForm, HeadStart
from trueward.records import Comparison
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale
from trueward.training.env import Env
from trueward.training.setup import Ranking

Row = dict[str, Any]
Train = Callable[[RewardConfig, Ranking], None]
PROBE, TUNED = "probe", "fine-tuned"


@dataclass(frozen=True)
class StartedModel:
    """A fitted network; with a head in closed form that head, and a row that says what it was and what was kept."""

    network: Network
    head: ClosedForm | None = None
    row: Row = field(default_factory=dict)


def fit_one(
    policy: Network,
    plan: MemberPlan,
    lora: LoraConfig | None,
    adapter_seed: int,
    head: HeadStart | None,
    train: Train,
    env: Env,
    what: str,
    states: StateCache | None = None,
) -> StartedModel:
    """A reward model fitted to the plan's comparisons.

    train: trains the network of a setup in place. With a head, a share `held_out` of the prompts to fit to is set aside, head
    and layers are fitted without them, and the fine-tuned model is kept if its loss on them is lower. Otherwise the head is
    fitted once more, to all, and the layers stay SFT's. what: the model's name for the terminal. states: what the layers that
    don't learn make of the answers.
    """
    config = plan.config
    layers = config.layers if isinstance(config.layers, int) else 0

    def fresh(closed: ClosedForm | None = None) -> Network:
        network = scalar_head(policy, lora, adapter_seed, layers, config.trainable_layers)
        if closed is not None:
            set_head(network, closed.weights)
        return network

    def setup(network: Network, comparisons: Sequence[Comparison]) -> Ranking:
        return Ranking(
            seed=plan.seed,
            micro_batch_tokens=env.micro_batch_tokens,
            fabric=env.fabric,
            network=network,
            comparisons=comparisons,
            states=states,
        )

    if head is None:
        network = fresh()
        train(config, setup(network, plan.comparisons))
        return StartedModel(network)
    head.read(plan.comparisons)
    if config.epochs == 0:
        closed = head.fit(plan.comparisons)
        return StartedModel(fresh(closed), closed, _row(PROBE, closed, layers, plan.comparisons))
    fit_to, validation = set_aside(plan.comparisons, config.held_out)
    first = head.fit(fit_to)
    network = fresh(first)
    train(config, setup(network, fit_to))
    before = loss(head.margins(first, validation), validation)
    after = loss(_margins(network, validation, env), validation)
    nll = {"validation": len(validation), "probe_nll": round(before, 5), "tuned_nll": round(after, 5)}
    compared = (
        f"{what}: loss on {len(validation):,} comparisons set aside {before:.4f} in closed form, {after:.4f} fine-tuned"
    )
    if after < before:
        env.progress.tell(f"{compared}; the fine-tuned model is kept")
        return StartedModel(network, first, {**_row(TUNED, first, layers, fit_to), **nll})
    env.progress.tell(f"{compared}; the closed form is kept, fitted to all {len(plan.comparisons):,}")
    closed = head.fit(plan.comparisons)
    return StartedModel(fresh(closed), closed, {**_row(PROBE, closed, layers, plan.comparisons), **nll})


def set_aside(comparisons: Sequence[Comparison], share: float) -> tuple[Sequence[Comparison], Sequence[Comparison]]:
    """Comparisons to fit to, and those by which fine-tuning is judged, of other prompts. `ValueError` for too few prompts."""
    fit_to, validation = _split(comparisons, share)
    if not validation or len({c.prompt.id for c in fit_to}) < FOLDS:
        raise ValueError(
            f'reward.start = "probe": comparisons of {len({c.prompt.id for c in comparisons})} prompts leave too few to say '
            "whether fine-tuning helps; give more, a larger reward.held_out, or reward.epochs = 0"
        )
    return fit_to, validation


def are_enough(config: RewardConfig, comparisons: Sequence[Comparison]) -> bool:
    """Whether these comparisons are of enough prompts for the start that the settings ask for."""
    if config.start == "zero":
        return True
    fit_to, validation = (comparisons, comparisons) if config.epochs == 0 else _split(comparisons, config.held_out)
    return bool(validation) and len({c.prompt.id for c in fit_to}) >= FOLDS


def _split(comparisons: Sequence[Comparison], share: float) -> tuple[Sequence[Comparison], Sequence[Comparison]]:
    fit_to: list[Comparison] = []
    validation: list[Comparison] = []
    for c in comparisons:
        (validation if seeds.fraction("validation:" + c.prompt.id) < share else fit_to).append(c)
    return fit_to, validation


def loss(margins: np.ndarray, comparisons: Sequence[Comparison]) -> float:
    """Mean Bradley–Terry loss of margins [n], nats."""
    probability = np.array([c.probability for c in comparisons])
    return float((np.logaddexp(0.0, margins) - probability * margins).mean())


def _margins(network: Network, comparisons: Sequence[Comparison], env: Env) -> np.ndarray:
    model = RewardModel(network, Scale(0.0, 1.0), env.micro_batch_tokens)
    raw = model.raw([side for c in comparisons for side in c.completions()]).reshape(-1, 2)
    return np.asarray(raw[:, 0] - raw[:, 1])


def _row(kept: str, closed: ClosedForm, layers: int, comparisons: Sequence[Comparison]) -> Row:
    return {
        "kept": kept,
        "layers": layers or None,
        "ridge": closed.ridge,
        "cross_validated_nll": round(closed.loss, 5),
        "comparisons": len(comparisons),
        "validation": 0,
        "probe_nll": None,
        "tuned_nll": None,
    }
