"""Some steps of every training loop, as one of several processes: `python one_step.py FOLDER WORLD…`.

Writes the weights after them and the figures of each step into FOLDER/WORLD. Float64, so that 1e-12 means something. A step has
6 rows, 3 at a time where there are minibatches: uneven shares for 2 and 4 processes, and fewer rows than processes for 4.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import group
import torch
from safetensors.torch import save_file

from trueward.algorithms import dpo, grpo, online_dpo, ppo, reward_model, sft
from trueward.config import CriticConfig, LoraConfig, PolicyConfig, RewardConfig, SftConfig
from trueward.data import toy
from trueward.models import loading, lora, tiny
from trueward.models.derived import trainable
from trueward.models.network import Network
from trueward.parallel.fabric import Fabric
from trueward.pipeline.frozen_states import frozen_states
from trueward.pipeline.value_network import value_network
from trueward.records import Comparison, Completion, Prompt, Response, Score
from trueward.sampling.engine import LocalEngine, RolloutEngine
from trueward.sampling.sampler import SamplingParams
from trueward.sampling.shared import SharedEngine
from trueward.scorers.scorer import Scale, Scorer
from trueward.scorers.shared import SharedScorer
from trueward.training.critic import Critic
from trueward.training.env import Env
from trueward.training.setup import Algorithm, Offline, Online, Ranking, Setup, Supervised

ROWS = 6
STEPS, FEW = 10, 2
POLICY: dict[str, Any] = {
    "batch_size": ROWS,
    "minibatches": 2,
    "epochs": 2,
    "max_grad_norm": 0.05,
    "learning_rate": 1e-3,
    "warmup": 0,
}
DPO: dict[str, Any] = {"kind": "dpo", "dpo": {"learning_rate": 1e-3}}
SLOWER: dict[str, Any] = {"kind": "dpo", "dpo": {"learning_rate": 3e-4}}
"""In float32, where Adam makes whole steps of slopes that are mere rounding."""
Loop = tuple[Algorithm, Any, Setup]


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


def k_ways(prompts: int) -> list[Comparison]:
    """Two comparisons of every prompt, of three answers."""
    shown = demonstrations(3 * prompts)
    sides = [Response(id=str(i), text=c.response, finished=i % 3 > 0) for i, c in enumerate(shown)]
    return [
        Comparison(
            prompt=Prompt(text=f"{shown[i].prompt} {i}"),
            first=sides[3 * i],
            second=sides[3 * i + other],
            probability=((i + other) % 4) / 3,
            source="test",
        )
        for i in range(prompts)
        for other in (1, 2)
    ]


def judge(completions: Any) -> list[Score]:
    return [Score(score=len(c.response) % 7 - 3.0) for c in completions]


def coarse(completions: Any) -> list[Score]:
    """Often the same for a whole group."""
    return [Score(score=float(len(c.response) % 9 == 0)) for c in completions]


class Loops:
    """Every loop, as one of the fabric's processes."""

    def __init__(self, fabric: Fabric, folder: Path, is_double: bool = True) -> None:
        self.fabric, self.folder = fabric, folder
        self.dtype = torch.float64 if is_double else torch.float32
        self.direct = DPO if is_double else SLOWER
        self.usual: dict[str, Any] = {"seed": 1, "micro_batch_tokens": 80, "fabric": fabric}

    def network(self) -> Network:
        torch.manual_seed(0)
        model, tokenizer = tiny.build()
        return Network(model.to(self.dtype), tokenizer)

    def reference(self) -> Network:
        found = self.network()
        found.model.requires_grad_(False)
        return found

    def adapted(self) -> Network:
        """With LoRA, of which B is no zero, so that A has a gradient."""
        made = trainable(self.reference(), LoraConfig(rank=4), 5)
        noise = torch.Generator().manual_seed(6)
        for name, parameter in lora.own_parameters(made.model).items():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.02, generator=noise)
        made.model.to(self.dtype)
        return made

    def reward(self) -> Network:
        torch.manual_seed(1)
        place = self.folder / "policy"
        if not place.exists() and self.fabric.leads:
            loading.save(self.network(), place)
        self.fabric.sum(torch.zeros(1))  # the others wait for it
        found = loading.reward_from_policy(place, torch.device("cpu"))
        torch.nn.init.normal_(found.model.score.weight, generator=torch.Generator().manual_seed(2))
        return Network(found.model.to(self.dtype), found.tokenizer)

    def online(self, policy: Network | None = None, sync_every: int = 1, scorer: Scorer = judge, **more: Any) -> Online:
        own: RolloutEngine = LocalEngine(SamplingParams(max_new_tokens=5), sync_every)
        engine, scorer = SharedEngine(self.fabric, own), SharedScorer(self.fabric, scorer)
        prompts = [c.prompt for c in demonstrations()]
        networks = {"policy": policy or self.network(), "reference": self.reference()}
        return Online(**networks, sampler=engine, scorer=scorer, prompts=prompts, **self.usual, **more)

    def sft(self, policy: Network | None = None) -> Loop:
        rows = demonstrations(STEPS * ROWS)
        config = SftConfig(batch_size=ROWS, epochs=1, max_grad_norm=0.05)
        return sft, config, Supervised(policy=policy or self.network(), demonstrations=rows, **self.usual)

    def top_layer(self, is_reward: bool) -> Loop:
        """The top layer alone learns; with a packed path the reward model reads states that are kept."""
        if not is_reward:
            algorithm, config, setup = self.sft()
            return algorithm, config.model_copy(update={"trainable_layers": 1}), setup
        # a low rate: Adam's first steps are of its size, however small the slope that rounding has turned
        config = RewardConfig(batch_size=3, epochs=2, learning_rate=1e-4, max_grad_norm=0.05, trainable_layers=1)
        network, rows = self.reward(), k_ways(3 * STEPS // 2)
        env = Env(fabric=self.fabric, micro_batch_tokens=80)
        made = Ranking(
            network=network, comparisons=rows, states=frozen_states(network, config, rows, env), **self.usual
        )
        return reward_model, config, made

    def reward_model(self, member: int = 0) -> Loop:
        """Several comparisons of the answers to a prompt. member: of an ensemble, each on a resample."""
        config = RewardConfig(batch_size=3, epochs=1, max_grad_norm=0.05, members=2, resample=True)
        plan = reward_model.member_plan(config, k_ways(3 * STEPS), 1, member)
        own = {**self.usual, "seed": plan.seed}
        return reward_model, plan.config, Ranking(network=self.reward(), comparisons=plan.comparisons, **own)

    def ppo(self, sync_every: int = 1, is_shared: bool = False, policy: Network | None = None, **more: Any) -> Loop:
        policy = policy or self.network()
        critic = Critic(self.reward(), Scale(0.1, 2.0))
        if is_shared:
            critic = value_network(CriticConfig(trunk="shared"), policy, self.reference(), None, None, 1)
            critic.network.model.to(self.dtype)
        setup = self.online(policy, sync_every, critic=critic, demonstrations=demonstrations())
        return ppo, PolicyConfig(steps=STEPS, **POLICY, **more), setup

    def grpo(self, kind: str = "grpo", scorer: Scorer = judge, **group: Any) -> Loop:
        config = PolicyConfig(kind=kind, steps=STEPS, group={"size": 3, **group}, **POLICY)
        return grpo, config, self.online(scorer=scorer)

    def dpo(self) -> Loop:
        pairs = dpo.reference_pairs(self.network(), comparisons(), 80)
        return (
            dpo,
            PolicyConfig(steps=STEPS, **self.direct, **POLICY),
            Offline(policy=self.network(), pairs=pairs, **self.usual),
        )

    def online_dpo(self) -> Loop:
        config = PolicyConfig(steps=STEPS, **{**DPO, "dpo": {**DPO["dpo"], "online": True}}, **POLICY)
        return online_dpo, config, self.online()

    def by_name(self) -> dict[str, tuple[Callable[[], Loop], int]]:
        """Each with its steps, as tests/parallel/test_two_processes.py knows them."""
        return {
            "sft": (self.sft, STEPS),
            "sft, lora": (lambda: self.sft(self.adapted()), STEPS),
            "reward_model": (self.reward_model, STEPS),
            "reward_model, a second member": (lambda: self.reward_model(1), STEPS),
            "ppo": (self.ppo, STEPS),
            "ppo, a shared critic": (lambda: self.ppo(is_shared=True), STEPS),
            "grpo": (self.grpo, STEPS),
            "rloo": (lambda: self.grpo("rloo"), STEPS),
            "dpo": (self.dpo, STEPS),
            "online dpo": (self.online_dpo, STEPS),
            "sft, the top layer": (lambda: self.top_layer(False), STEPS),
            "reward_model, the top layer": (lambda: self.top_layer(True), STEPS),
            "ppo, lora": (lambda: self.ppo(policy=self.adapted()), FEW),
            "ppo, from older weights": (lambda: self.ppo(sync_every=2), FEW),
            "ppo, with demonstrations and importance weights": (
                lambda: self.ppo(ptx_coef=0.3, importance_sampling_cap=1.5),
                FEW,
            ),
            "grpo, refilled": (lambda: self.grpo(scorer=coarse, kl="k3", drop_equal_groups=True, refill=2), FEW),
            "grpo, anchored in the loss": (lambda: self.grpo(kl="k3", reducer="sequence", std="sample"), FEW),
        }


def run(fabric: Fabric, folder: Path, loops: Loops, names: list[str], suffix: str = "") -> None:
    figures = {}
    for name in names:
        make, steps = loops.by_name()[name]
        algorithm, config, setup = make()
        state = algorithm.start(config, setup)
        figures[name] = [step.metrics for step in islice(algorithm.train(config, setup, state), steps)]
        weights = {f"{n}.{k}": v.detach() for n, net in state.networks.items() for k, v in net.named_parameters()}
        trained = {k: v.contiguous().clone() for k, v in weights.items()}
        save_file(trained, folder / f"{name}{suffix}-{fabric.rank}.safetensors")
    (folder / f"figures{suffix}-{fabric.rank}.json").write_text(json.dumps(figures))


def main(fabric: Fabric, folder: Path) -> None:
    loops = Loops(fabric, folder)
    names = [name for name, (_, steps) in loops.by_name().items() if steps == STEPS or fabric.world < 4]
    run(fabric, folder, loops, names)
    run(fabric, folder, Loops(fabric, folder, is_double=False), list(SINGLE), ", float32")


SINGLE = ("sft", "reward_model", "dpo", "sft, the top layer", "reward_model, the top layer")

if __name__ == "__main__":
    group.join(main)
