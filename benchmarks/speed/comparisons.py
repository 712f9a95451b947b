"""What is compared with what, and with which settings on both sides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from speed.sizes import SIZES, Size


@dataclass(frozen=True)
class Comparison:
    """One row of the table for each of its sizes."""

    name: str
    stage: str
    ours: str
    """The program of ours, a module of this package."""
    peer: str
    """The peer's."""
    environment: str
    """Where the peer's program runs: a name of `peers.ENVIRONMENTS`."""
    peer_name: str
    unit: str
    settings: str
    """What both sides are set to, beside their defaults; where a default was changed to be fair, that too."""
    epochs: int = 1
    sizes: tuple[str, ...] = ("S", "L")
    ours_too: dict[str, Any] = field(default_factory=dict)
    peer_too: dict[str, Any] = field(default_factory=dict)
    sampled: dict[str, int] = field(default_factory=dict)
    """Answers at once, where they aren't the size's."""

    work: str = ""
    """Which line of `arithmetic.PASSES` counts it, where it isn't the stage's."""

    def job(self, size: Size, threads: int) -> dict[str, Any]:
        """What both programs are told."""
        return {
            "size": size.name,
            "threads": threads,
            "steps": size.steps[self.stage],
            "warm_up": size.warm_up,
            "batch": size.batch,
            "rollouts": size.rollouts,
            "sampled": self.sampled.get(size.name, size.sampled),
            "longest": size.longest_answer,
        }


TRL = "float32, 2 threads, gradient checkpointing off (TRL's default is on, and slower), the rest TRL 1.16's defaults"
PPO = (
    "4 epochs × 4 minibatches, temperature 1, β .05, missing_eos_penalty 1, value network of its own; float32, 2 threads, the "
    "rest TRL 1.12's defaults"
)
DRAWN = "temperature 1, whole distribution, float32, 2 threads, all rows in one batch"
ALL = (
    Comparison(
        "sampling", "sampling", "ours_sampling", "peer_generate", "trl", "transformers generate", "tokens/s",
        f"64 rows (S), 16 (L); {DRAWN}; `generate` gives no log-probs, ours does",
    ),
    Comparison(
        "sampling-64", "sampling", "ours_sampling", "peer_generate", "trl", "transformers generate", "tokens/s",
        f"64 rows; {DRAWN}", sizes=("L",), sampled={"L": 64},
    ),
    Comparison(
        "sampling-vllm", "sampling", "ours_sampling", "peer_vllm", "vllm", "vLLM compiled", "tokens/s",
        f"64 rows (S), 16 (L); {DRAWN}; no prefix cache; vLLM gives no log-probs, ours does", peer_too={"eager": False},
    ),
    Comparison(
        "sampling-vllm-eager", "sampling", "ours_sampling", "peer_vllm", "vllm", "vLLM eager", "tokens/s",
        f"64 rows (S), 16 (L); {DRAWN}; no prefix cache; vLLM gives no log-probs, ours does", peer_too={"eager": True},
    ),
    Comparison(
        "sampling-int8", "sampling", "ours_sampling", "peer_generate", "trl", "transformers generate", "tokens/s",
        f"16 rows; {DRAWN}, ours with sampler.engine.quantize = \"int8\"", sizes=("L",),
        ours_too={"recipe": {"sampler": {"engine": {"quantize": "int8"}}, "policy": {"importance_sampling_cap": 2.0}}},
    ),
    Comparison(
        "sampling-bfloat16", "sampling", "ours_sampling", "peer_generate", "trl", "transformers generate", "tokens/s",
        f"16 rows; {DRAWN}, ours with sampler.engine.quantize = \"bfloat16\"", sizes=("L",),
        ours_too={"recipe": {"sampler": {"engine": {"quantize": "bfloat16"}}, "policy": {"importance_sampling_cap": 2.0}}},
    ),
    Comparison(
        "sft", "sft", "ours_sft", "peer_sft", "trl", "TRL SFTTrainer", "tokens/s",
        f"batch 16 (S), 4 (L); loss on the response; {TRL}",
    ),
    Comparison(
        "reward", "reward", "ours_reward", "peer_reward", "trl", "TRL RewardTrainer", "pairs/s",
        f"batch 16 pairs (S), 4 (L); {TRL}",
    ),
    Comparison(
        "dpo", "dpo", "ours_dpo", "peer_dpo", "trl", "TRL DPOTrainer", "pairs/s",
        "batch 16 pairs (S), 4 (L); β .1; every pair once, so the reference reads each pair once on both sides (ours ahead, "
        f"counted in); {TRL}",
    ),
    Comparison(
        "grpo", "grpo", "ours_grpo", "peer_grpo", "trl", "TRL GRPOTrainer", "rollouts/s",
        "64 rollouts a step (S), 16 (L), G = 8, 1 update, k3 in the loss with β .05 (TRL's default is 0, without an anchor), "
        f"the same reward model; ours also logs the KL; {TRL}",
    ),
    Comparison(
        "ppo", "ppo", "ours_ppo", "peer_ppo", "trl-ppo", "TRL PPOTrainer", "rollouts/s",
        f"64 rollouts (S), 16 (L) an iteration; {PPO}; TRL with accumulation 4: its four minibatches make one optimiser step "
        "together, so it takes 4 where ours takes 16", epochs=4,
        ours_too={"minibatches": 4}, peer_too={"minibatches": 4, "accumulate": 4},
    ),
    Comparison(
        "ppo-16-steps", "ppo", "ours_ppo", "peer_ppo", "trl-ppo", "TRL PPOTrainer", "rollouts/s",
        f"64 rollouts (S), 16 (L) an iteration; {PPO}; TRL without accumulation: both take 16 optimiser steps", epochs=4,
        ours_too={"minibatches": 4}, peer_too={"minibatches": 4, "accumulate": 1},
    ),
    Comparison(
        "ppo-shared", "ppo", "ours_ppo", "peer_ppo", "trl-ppo", "TRL PPOTrainer", "rollouts/s",
        f"64 rollouts (S), 16 (L) an iteration; {PPO}; ours with the values as a head on the policy (critic.trunk = "
        "\"shared\"), another algorithm; TRL without accumulation: both take 16 optimiser steps", epochs=4,
        ours_too={"minibatches": 4, "trunk": "shared"}, peer_too={"minibatches": 4, "accumulate": 1}, work="ppo-shared",
    ),
)  # fmt: skip


def chosen(only: str) -> list[tuple[Comparison, Size]]:
    """All, or those of `only`: a name, or name/size. `ValueError` if there is none."""
    every = [(c, SIZES[s]) for c in ALL for s in c.sizes]
    found = [(c, s) for c, s in every if only in ("", c.name, f"{c.name}/{s.name}")]
    if not found:
        raise ValueError(f"ONLY={only}: expected one of {', '.join(f'{c.name}/{s.name}' for c, s in every)}")
    return found
