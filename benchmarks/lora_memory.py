"""Memory of a PPO with its four networks: every network whole, and every network an adapter on one base.

    python benchmarks/lora_memory.py
    python benchmarks/lora_memory.py --rank 64

A Llama of SmolLM2-135M's shape with random weights (no download), policy, reference, reward model and value network, one
whole turn of the loop at the same settings: rollout, scores, anchor, values, an update of both. Each way runs in a process of
its own. What is printed is the largest resident memory above that of a process that has imported the same and made nothing,
as Linux counts it (VmHWM), and a checkpoint's size. "Malloc gives back": as a run sets it up with [lora],
freed blocks of a megabyte and more go back to the system (pipeline/memory.py).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WAYS = ("imports alone", "whole networks", "whole, malloc gives back", "adapters", "adapters, malloc gives back")
SHAPES: dict[str, dict[str, int]] = {
    "L": {  # SmolLM2-135M
        "vocab_size": 49152,
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
    },
    "S": {
        "vocab_size": 2048,
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 384,
    },
}
PROMPT, RESPONSE = 32, 32


def peak() -> int:
    """Bytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def write_base(shape: str, folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from trueward.models import loading, tiny
    from trueward.models.network import Network

    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPES[shape], tie_word_embeddings=True, max_position_embeddings=128))
    tokenizer = tiny.build()[1]
    for config in (model.config, model.generation_config):
        config.bos_token_id, config.eos_token_id, config.pad_token_id = 1, 2, 0
    loading.save(Network(model, tokenizer), folder)


def measure(way: str, folder: Path, rank: int, batch: int, budget: int) -> dict[str, Any]:
    """One turn; what it took."""
    import peft  # noqa: F401  so that every way has imported it
    import torch

    from trueward.algorithms import ppo
    from trueward.config import LoraConfig, PolicyConfig
    from trueward.models import loading, shared_base
    from trueward.pipeline.memory import give_back_what_is_freed
    from trueward.records import Prompt
    from trueward.sampling.engine import LocalEngine
    from trueward.sampling.sampler import SamplingParams
    from trueward.scorers.reward_model import RewardModel
    from trueward.scorers.scorer import Scale
    from trueward.training.critic import Critic
    from trueward.training.setup import Online

    torch.manual_seed(0)
    if way == "imports alone":
        return {"peak": peak()}
    cpu, place = torch.device("cpu"), str(folder)
    if way.endswith("gives back"):
        give_back_what_is_freed()
    if way.startswith("adapters"):
        lora = LoraConfig(rank=rank)
        policy, reference = (
            shared_base.adapted(shared_base.policy(place, 0, cpu), lora, 0),
            shared_base.policy(place, 0, cpu),
        )
        reward, value = (shared_base.reward_from_policy(place, lora, seed, cpu) for seed in (1, 2))
    else:
        policy, reference = (loading.causal(place, 0, cpu) for _ in range(2))
        reward, value = (loading.reward_from_policy(place, cpu) for _ in range(2))
    networks = {"policy": policy, "reference": reference, "reward model": reward, "value network": value}
    reference.model.requires_grad_(False)
    scorer = RewardModel(reward, Scale(0.0, 1.0), budget)
    scorer.freeze()
    weights = {p.data_ptr(): p.numel() * 4 for n in networks.values() for p in n.model.parameters()}
    config = PolicyConfig(
        steps=1, batch_size=batch, epochs=1, minibatches=1, learning_rate=1e-5, value_learning_rate=1e-5
    )
    setup = Online(
        seed=0,
        micro_batch_tokens=budget,
        policy=policy,
        reference=reference,
        sampler=LocalEngine(SamplingParams(1.0, RESPONSE, batch)),
        scorer=scorer,
        prompts=[Prompt(text=" ".join(["film"] * (PROMPT - 1)))] * batch,
        critic=Critic(value, Scale(0.0, 1.0)),
    )
    state = ppo.start(config, setup)
    steps = ppo.train(config, setup, state)
    started = time.process_time()
    next(steps)
    found = {"peak": peak(), "weights": sum(weights.values()), "seconds": time.process_time() - started}
    with tempfile.TemporaryDirectory() as where:
        state.save(Path(where) / "state", {})
        found["checkpoint"] = sum(f.stat().st_size for f in (Path(where) / "state").iterdir())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SHAPES, default="L")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16, help="answers in the rollout")
    parser.add_argument("--tokens", type=int, default=512, help="tokens that go through a network at once")
    parser.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        print(json.dumps(measure(asked.only, asked.folder, asked.rank, asked.batch, asked.tokens)))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_base(asked.size, Path(folder) / "model")
        rows = {way: in_a_process(way, Path(folder) / "model", asked) for way in WAYS}
    bare = rows["imports alone"]["peak"]
    print(f"PPO on {asked.size}, {asked.batch} answers of {RESPONSE} tokens to prompts of {PROMPT}, rank {asked.rank}")
    print("| | weights | checkpoint | peak above the imports | CPU time of the turn |")
    print("|---|---|---|---|---|")
    for way in WAYS[1:]:
        row = rows[way]
        cells = (row["weights"], row["checkpoint"], row["peak"] - bare)
        print(f"| {way} | " + " | ".join(f"{cell / 1e9:.3f} GB" for cell in cells) + f" | {row['seconds']:.0f} s |")


def in_a_process(way: str, folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--only", way, "--folder", str(folder), "--rank", str(asked.rank)]
    command += ["--batch", str(asked.batch), "--tokens", str(asked.tokens)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
