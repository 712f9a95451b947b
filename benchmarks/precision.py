"""How far products in bfloat16 are from float32, and the sampler from the learner: the table of docs/precision.md.

`python benchmarks/precision.py [--model NAME]...` measures random Llama and Qwen2 models and `trueward:base`: a minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from trueward.data import reviews, toy
from trueward.losses.importance import deviation
from trueward.models import heads, loading, precision, tiny
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample

CPU = torch.device("cpu")


def random_model(family: str, seed: int) -> Network:
    """4 layers of 64 features with random weights."""
    import transformers

    torch.manual_seed(seed)
    tokenizer = tiny.word_tokenizer(toy.words())
    settings: dict[str, Any] = {"vocab_size": len(tokenizer), "initializer_range": 0.05, "tie_word_embeddings": True}
    settings |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 64}
    sizes = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2}
    kind = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config}[family]
    config = kind(**settings, **sizes, intermediate_size=128)
    model = transformers.AutoModelForCausalLM.from_config(config)
    return Network(model.float().eval(), tokenizer)


def measured(wide: Network, prompts: list[Prompt], tokens: int) -> dict[str, float]:
    """The row of one model, whose products are in float32."""
    low = Network(deepcopy(wide.model), wide.tokenizer)
    precision.settle(low.model, torch.bfloat16)
    rollout = sample(low, prompts, SamplingParams(max_new_tokens=tokens), Draws.purpose(1, "precision"))
    mask = rollout.tokens.response_mask
    logprobs, gradients = zip(*(_learned(n, rollout.tokens) for n in (wide, low)), strict=True)
    found = deviation(logprobs[1], rollout.logprobs, mask, int(mask.sum()))
    return {
        "mean": float(found["importance/deviation"]),
        "quantile": float(found["importance/deviation_999"]),
        "off": float((logprobs[0] - logprobs[1])[mask].abs().mean()),
        "gradient": float((gradients[0] - gradients[1]).norm() / gradients[0].norm()),
    }


def _learned(network: Network, tokens: Any) -> tuple[Tensor, Tensor]:
    network.model.requires_grad_(True).zero_grad()
    logprobs = heads.response_logprobs(network.model, tokens)
    (-logprobs[tokens.response_mask].mean()).backward()
    every = [p.grad.flatten() for p in network.model.parameters() if p.grad is not None]
    return logprobs.detach(), torch.cat(every)


def cases(names: list[str]) -> Iterator[tuple[str, Network, list[Prompt], int]]:
    """Name, model, prompts and tokens of each row."""
    short = [Prompt(text=prompt) for prompt, _ in toy.reviews(48, seed=5)]
    for family in ("llama", "qwen2"):
        for seed in range(3):
            yield f"random {family}, seed {seed}", random_model(family, seed), short, 24
    halved = (reviews.halve(review.text) for review in reviews.load("rotten_tomatoes"))
    long = [Prompt(text=pair[0]) for pair in halved if pair][:32]
    for name in names:
        yield f"`{name}`", loading.causal(name, 0, CPU, torch.float32), long, 32


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", action="append", default=[], help="models besides the random ones; default: trueward:base"
    )
    print(
        "| model | sampler against learner, mean | its 99.9 % quantile | off float32 | gradient |\n|---|---|---|---|---|"
    )
    for name, network, prompts, tokens in cases(parser.parse_args().model or ["trueward:base"]):
        row = measured(network, prompts, tokens)
        figures = f"{row['mean']:.4f} | {row['quantile']:.3f} | {row['off']:.4f} | {row['gradient']:.1%}"
        print(f"| {name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
