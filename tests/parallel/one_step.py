"""Some steps of every training loop, as one of several processes: `python one_step.py RANK WORLD FOLDER`.

Writes the weights after them and the figures of each step into the folder. Float64, so that 1e-12 means something.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import group
import torch
from safetensors.torch import save_file

from trueward.algorithms import dpo, grpo, online_dpo, ppo, reward_model, sft
from trueward.config import PolicyConfig, RewardConfig, SftConfig
from trueward.data import toy
from trueward.models import loading, tiny
from trueward.models.network import Network
from trueward.parallel.fabric import Fabric
from trueward.records import Comparison, Completion, Prompt, Response, Score
from trueward.sampling.engine import LocalEngine, RolloutEngine
from trueward.sampling.sampler import SamplingParams
from trueward.sampling.shared import SharedEngine
from trueward.scorers.scorer import Scale, Scorer
from trueward.scorers.shared import SharedScorer
from trueward.training.critic import Critic
from trueward.training.setup import Algorithm, Offline, Online, Ranking, Setup, Supervised

ROWS = 8
POLICY: dict[str, Any] = {
    "steps": 3,
    "batch_size": ROWS,
    "minibatches": 2,
    "max_grad_norm": 0.05,
    "learning_rate": 1e-3,
    "warmup": 0,
}
DPO: dict[str, Any] = {"kind": "dpo", "dpo": {"learning_rate": 1e-3}}
Loop = tuple[Algorithm, Any, Setup]


def network() -> Network:
    torch.manual_seed(0)
    model, tokenizer = tiny.build()
    return Network(model.double(), tokenizer)


def reference() -> Network:
    found = network()
    found.model.requires_grad_(False)
    return found


def demonstrations(count: int = 2 * ROWS) -> list[Completion]:
    return [Completion(prompt=Prompt(text=p), response=r, finished=True) for p, r in toy.reviews(count, 3)]


def comparisons() -> list[Comparison]:
    shown = demonstrations(3 * ROWS)
    return [
        Comparison(
            prompt=c.prompt,
            first=Response(id="1", text=c.response, finished=True),
            second=Response(id="2", text=shown[i - 1].response, finished=i % 3 > 0),
            probability=(i % 4) / 3,
            source="test",
        )
        for i, c in enumerate(shown)
    ]


def judge(completions: Any) -> list[Score]:
    return [Score(score=len(c.response) % 7 - 3.0) for c in completions]


def coarse(completions: Any) -> list[Score]:
    """Often the same for a whole group."""
    return [Score(score=float(len(c.response) % 5 == 0)) for c in completions]


class Loops:
    """Every loop, as one of the fabric's processes."""

    def __init__(self, fabric: Fabric, folder: Path) -> None:
        self.fabric, self.folder = fabric, folder
        self.usual: dict[str, Any] = {"seed": 1, "micro_batch_tokens": 40, "fabric": fabric}

    def reward(self) -> Network:
        torch.manual_seed(1)
        place = self.folder / "policy"
        if not place.exists() and self.fabric.leads:
            loading.save(network(), place)
        self.fabric.sum(torch.zeros(1))  # the others wait for it
        found = loading.reward_from_policy(place, torch.device("cpu"))
        torch.nn.init.normal_(found.model.score.weight, generator=torch.Generator().manual_seed(2))
        return Network(found.model.double(), found.tokenizer)

    def online(self, is_shared: bool = True, sync_every: int = 1, scorer: Scorer = judge, **more: Any) -> Online:
        """is_shared: each process samples and scores its share; else all of it."""
        engine: RolloutEngine = LocalEngine(SamplingParams(max_new_tokens=9), sync_every)
        if is_shared:
            engine, scorer = SharedEngine(self.fabric, engine), SharedScorer(self.fabric, scorer)
        prompts = [c.prompt for c in demonstrations()]
        given = {"policy": network(), "reference": reference(), "sampler": engine, "scorer": scorer, "prompts": prompts}
        return Online(**given, **self.usual, **more)

    def sft(self) -> Loop:
        rows = demonstrations(3 * ROWS)
        config = SftConfig(batch_size=ROWS, epochs=1, max_grad_norm=0.05)
        return sft, config, Supervised(policy=network(), demonstrations=rows, **self.usual)

    def reward_model(self) -> Loop:
        config = RewardConfig(batch_size=ROWS, epochs=1, max_grad_norm=0.05)
        return reward_model, config, Ranking(network=self.reward(), comparisons=comparisons(), **self.usual)

    def ppo(self, is_shared: bool = True, sync_every: int = 1, **more: Any) -> Loop:
        critic = Critic(self.reward(), Scale(0.1, 2.0))
        setup = self.online(is_shared, sync_every, critic=critic, demonstrations=demonstrations())
        return ppo, PolicyConfig(**POLICY, **more), setup

    def grpo(self, is_shared: bool = True, scorer: Scorer = judge, **group: Any) -> Loop:
        config = PolicyConfig(kind="grpo", group={"size": 4, **group}, **POLICY)
        return grpo, config, self.online(is_shared, scorer=scorer)

    def dpo(self) -> Loop:
        pairs = dpo.reference_pairs(network(), comparisons(), 40)
        return dpo, PolicyConfig(**DPO, **POLICY), Offline(policy=network(), pairs=pairs, **self.usual)

    def online_dpo(self, is_shared: bool = True) -> Loop:
        config = PolicyConfig(**{**DPO, "dpo": {**DPO["dpo"], "online": True}}, **POLICY)
        return online_dpo, config, self.online(is_shared)

    def by_name(self) -> dict[str, Callable[[], Loop]]:
        """As tests/parallel/test_two_processes.py knows them."""
        return {
            "sft": self.sft,
            "reward_model": self.reward_model,
            "ppo": self.ppo,
            "ppo, each sampling all of it": lambda: self.ppo(is_shared=False),
            "ppo, from older weights": lambda: self.ppo(sync_every=2),
            "ppo, with demonstrations and importance weights": lambda: self.ppo(
                ptx_coef=0.3, importance_sampling_cap=1.5
            ),
            "grpo": self.grpo,
            "grpo, each sampling all of it": lambda: self.grpo(is_shared=False),
            "grpo, refilled": lambda: self.grpo(scorer=coarse, kl="k3", drop_equal_groups=True, refill=2),
            "grpo, anchored in the loss": lambda: self.grpo(kl="k3", reducer="sequence", std="sample"),
            "dpo": self.dpo,
            "online dpo": self.online_dpo,
        }


def main(fabric: Fabric, folder: Path) -> None:
    figures = {}
    for name, make in Loops(fabric, folder).by_name().items():
        algorithm, config, setup = make()
        state = algorithm.start(config, setup)
        figures[name] = [step.metrics for step in algorithm.train(config, setup, state)]
        weights = {f"{n}.{k}": v.detach() for n, net in state.networks.items() for k, v in net.named_parameters()}
        save_file({k: v.contiguous() for k, v in weights.items()}, folder / f"{name}-{fabric.rank}.safetensors")
    (folder / f"figures-{fabric.rank}.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    group.join(main)
