"""The fast paths beside transformers' own code, family by family: random weights, the same answers, in turn.

    python benchmarks/families.py gemma3_text phi3 --repetitions 5

Each model has the width 128, 4 layers and 2,048 words. Sampling: 64 answers to 16 prompts of 24 to 40 tokens, 16 at once,
each of a length of its own up to 48, as answers that end have. Training: log-probs of these answers and their gradients, 768
tokens at once. Counted are the process's own seconds, one thread; printed is the median of the repetitions' ratios, general to
fast.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from decoding import NeverEnds
from transformers import AutoConfig, AutoModelForCausalLM

from trueward.batches import Tokens, micro_batches
from trueward.models import heads
from trueward.models.fast import packed
from trueward.models.network import Network
from trueward.sampling import sampler
from trueward.sampling.fast import FastDecoder
from trueward.sampling.general import GeneralDecoder
from trueward.sampling.sampler import SamplingParams

SHAPE: dict[str, Any] = {
    "vocab_size": 2048, "hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4,
    "intermediate_size": 512, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 32},
    "qwen3": {"head_dim": 32},
    "gemma2": {"head_dim": 32, "sliding_window": 32, "query_pre_attn_scalar": 32},
    "gemma3_text": {"head_dim": 32, "sliding_window": 32, "query_pre_attn_scalar": 32},
    "phi3": {"sliding_window": 32},
}
GROUP, PROMPTS, AT_ONCE, LONGEST, BUDGET = 4, 16, 16, 48, 768


def learn(model: Any, tokens: Tokens) -> None:
    model.zero_grad()
    for rows in micro_batches(tokens.lengths, BUDGET, heads.prompt_groups(model, tokens)):
        heads.response_logprobs(model, tokens.take(rows)).sum().backward()


def compare(family: str, repetitions: int) -> None:
    torch.manual_seed(0)
    model = (
        AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **SHAPE, **OWN.get(family, {}))).float().eval()
    )
    assert packed.covers(model)
    assert FastDecoder.covers(model)
    draw = torch.Generator().manual_seed(0)
    prompts = [torch.randint(3, 2048, (int(n),), generator=draw).tolist() for n in torch.randint(24, 41, (PROMPTS,))]
    ids = [row for row in prompts for _ in range(GROUP)]
    room = torch.randint(4, LONGEST + 1, (len(ids),), generator=draw).tolist()
    answers = [torch.randint(3, 2048, (n,), generator=draw).tolist() for n in room]
    tokens = Tokens.collate(list(zip(ids, answers, strict=True)), 0)
    network: Any = Network(model, NeverEnds(SHAPE["vocab_size"]))  # type: ignore[arg-type]  # all that decoding asks of it
    params, uniforms = SamplingParams(1.0, LONGEST, AT_ONCE), torch.rand(len(ids), LONGEST, generator=draw)

    def write(kind: Callable[[Any], Any]) -> None:
        with torch.no_grad():
            sampler._decode(kind(model), network, ids, room, uniforms, params, lambda done: None)

    covers = packed.covers
    seconds: dict[str, list[float]] = {}
    for _ in range(repetitions + 1):
        for name, is_fast in (("fast", True), ("general", False)):
            packed.covers = covers if is_fast else lambda model: False
            for what, run in (
                ("sampling", lambda is_fast=is_fast: write(FastDecoder if is_fast else GeneralDecoder)),
                ("training", lambda: learn(model, tokens)),
            ):
                at = time.process_time()
                run()
                seconds.setdefault(f"{what} {name}", []).append(time.process_time() - at)
    packed.covers = covers
    for what in ("sampling", "training"):
        pairs = list(zip(seconds[f"{what} general"], seconds[f"{what} fast"], strict=True))[1:]  # the first warms up
        ratios = sorted(general / fast for general, fast in pairs)
        fast, general = (statistics.median(column) for column in (list(zip(*pairs, strict=True))[i] for i in (1, 0)))
        print(
            f"{family:<12} {what}  fast {fast:.2f} s  general {general:.2f} s  × {statistics.median(ratios):.2f}"
            f"  [{ratios[0]:.2f}, {ratios[-1]:.2f}]",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="+", choices=["llama", "qwen2", "smollm3", "gemma", *OWN])
    parser.add_argument("--repetitions", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for family in asked.families:
        compare(family, asked.repetitions)


if __name__ == "__main__":
    main()
