"""Two steps of every training loop, as one of several processes: `python one_step.py RANK WORLD FOLDER`.

Writes the weights after them and the figures of each step into the folder. Float64, so that 1e-12 means something.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import distributed

from trueward.algorithms import dpo, grpo, online_dpo, ppo, reward_model, sft
from trueward.batches import Rollout, Step
from trueward.config import PolicyConfig, RewardConfig, SftConfig
from trueward.data import toy
from trueward.models import loading, tiny
from trueward.models.network import Network
from trueward.parallel.fabric import Fabric
from trueward.records import Comparison, Completion, Prompt, Response, Score
from trueward.sampling.sampler import SamplingParams, sample
from trueward.scorers.scorer import Scale
from trueward.training.state import State

ROWS = 8
POLICY: dict[str, Any] = {
    "steps": 2,
    "batch_size": ROWS,
    "minibatches": 2,
    "max_grad_norm": 0.05,
    "learning_rate": 1e-3,
    "warmup": 0,
}


def network() -> Network:
    torch.manual_seed(0)
    model, tokenizer = tiny.build()
    return Network(model.double(), tokenizer)


def reward() -> Network:
    torch.manual_seed(1)
    folder = FOLDER / "policy"
    if not folder.exists() and FABRIC.rank == 0:
        loading.save(network(), folder)
    FABRIC.sum(torch.zeros(1))  # the others wait for it
    found = loading.reward_from_policy(folder, torch.device("cpu"))
    torch.nn.init.normal_(found.model.score.weight, generator=torch.Generator().manual_seed(2))
    return Network(found.model.double(), found.tokenizer)


def demonstrations() -> list[Completion]:
    return [Completion(prompt=Prompt(text=p), response=r, finished=True) for p, r in toy.reviews(2 * ROWS, 3)]


def comparisons() -> list[Comparison]:
    shown = demonstrations()
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


def draw(policy: Network, prompts: Any, generator: torch.Generator) -> Rollout:
    return sample(policy, prompts, SamplingParams(max_new_tokens=9), generator)


def judge(completions: Any) -> list[Score]:
    return [Score(score=len(c.response) % 7 - 3.0) for c in completions]


def rollouts(config: PolicyConfig) -> dict[str, Any]:
    reference = network()
    reference.model.requires_grad_(False)
    return {
        "reference": reference,
        "sample": draw,
        "scorer": judge,
        "prompts": [c.prompt for c in demonstrations()],
        "temperature": 1.0,
        "seed": 1,
        "micro_batch_tokens": 40,
        "fabric": FABRIC,
    }


def supervised() -> tuple[State, Iterator[Step]]:
    policy, config = network(), SftConfig(batch_size=ROWS, epochs=1, max_grad_norm=0.05)
    state = sft.start(config, policy)
    rows = demonstrations()
    return state, sft.train(
        config, policy=policy, demonstrations=rows, state=state, seed=1, micro_batch_tokens=40, fabric=FABRIC
    )


def fitted() -> tuple[State, Iterator[Step]]:
    model, config = reward(), RewardConfig(batch_size=ROWS, epochs=1, max_grad_norm=0.05)
    state, rows = reward_model.start(config, model), comparisons()
    return state, reward_model.train(
        config, network=model, comparisons=rows, state=state, seed=1, micro_batch_tokens=40, fabric=FABRIC
    )


def with_a_critic(**more: Any) -> tuple[State, Iterator[Step]]:
    config, policy = PolicyConfig(**POLICY, **more), network()
    critic = ppo.Critic(reward(), Scale(0.1, 2.0))
    state = ppo.start(config, policy, critic)
    return state, ppo.train(
        config, policy=policy, critic=critic, state=state, demonstrations=demonstrations(), **rollouts(config)
    )


def by_group(**group: Any) -> tuple[State, Iterator[Step]]:
    config, policy = PolicyConfig(kind="grpo", group={"size": 4, **group}, **POLICY), network()
    state = grpo.start(config, policy)
    return state, grpo.train(config, policy=policy, longest=9, state=state, **rollouts(config))


def direct() -> tuple[State, Iterator[Step]]:
    config, policy = PolicyConfig(kind="dpo", dpo={"learning_rate": 1e-3}, **POLICY), network()
    state, data = dpo.start(config, policy), dpo.pairs(network(), comparisons(), 40)
    return state, dpo.train(config, policy=policy, data=data, state=state, seed=1, micro_batch_tokens=40, fabric=FABRIC)


def online() -> tuple[State, Iterator[Step]]:
    config, policy = PolicyConfig(kind="dpo", dpo={"learning_rate": 1e-3, "online": True}, **POLICY), network()
    state = online_dpo.start(config, policy)
    return state, online_dpo.train(config, policy=policy, state=state, **rollouts(config))


LOOPS = {
    "sft": supervised,
    "reward_model": fitted,
    "ppo": with_a_critic,
    "ppo, with demonstrations and importance weights": lambda: with_a_critic(ptx_coef=0.3, importance_sampling_cap=1.5),
    "grpo": by_group,
    "grpo, anchored in the loss": lambda: by_group(kl="k3", reducer="sequence", std="sample"),
    "dpo": direct,
    "online dpo": online,
}


def main() -> None:
    figures = {}
    for name, make in LOOPS.items():
        state, loop = make()
        figures[name] = [step.metrics for step in loop]
        weights = {f"{n}.{k}": v.detach() for n, net in state.networks.items() for k, v in net.named_parameters()}
        save_file({k: v.contiguous() for k, v in weights.items()}, FOLDER / f"{name}-{FABRIC.rank}.safetensors")
    (FOLDER / f"figures-{FABRIC.rank}.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    rank, world, FOLDER = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    if world > 1:
        distributed.init_process_group("gloo", init_method=f"file://{FOLDER / 'meeting'}", rank=rank, world_size=world)
    FABRIC = Fabric.of_this_process()
    main()
    if world > 1:
        distributed.destroy_process_group()
