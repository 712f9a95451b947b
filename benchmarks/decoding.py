"""The sampler beside transformers' `generate`: random weights, answers of a fixed length, in turn.

    python benchmarks/decoding.py S --rows 64 --new 48
    python benchmarks/decoding.py L --rows 16 --new 32 --threads 2

S is a Llama of 1M weights in its layers and 2,048 words; L has SmolLM2-135M's shape. Each repetition runs `generate`, the
sampler in float32 and the sampler in int8, weights laid out anew each time, as in training; printed are tokens a second and
the median of the repetitions' ratios. `--cpu` counts the process's own seconds in place of the wall's: for one thread on a
machine that others use.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from trueward.models.network import Network
from trueward.sampling import sampler
from trueward.sampling.sampler import SamplingParams

SHAPES: dict[str, dict[str, int]] = {
    "S": {
        "vocab_size": 2048,
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 512,
    },
    "L": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
    },
}


class NeverEnds:
    """In the place of a tokenizer: no token is the end."""

    eos_token_id, chat_template = -1, None

    def __init__(self, words: int) -> None:
        self.words = words

    def __len__(self) -> int:
        return self.words


def ours(model: Any, ids: list[list[int]], new: int, quantize: str) -> None:
    network: Any = Network(model, NeverEnds(model.config.vocab_size))  # type: ignore[arg-type]  # all that decoding asks of it
    settings = SamplingParams(1.0, new, len(ids), quantize)
    with torch.no_grad():
        decoder = sampler.decoder_for(network, quantize)
        sampler._decode(decoder, network, ids, [new] * len(ids), torch.rand(len(ids), new), settings, lambda done: None)


def theirs(model: Any, ids: list[list[int]], new: int) -> None:
    width = max(map(len, ids))
    padded = torch.tensor([[0] * (width - len(row)) + row for row in ids])
    mask = (torch.arange(width) >= torch.tensor([[width - len(row)] for row in ids])).long()
    model.generate(
        input_ids=padded,
        attention_mask=mask,
        do_sample=True,
        top_k=0,
        max_new_tokens=new,
        min_new_tokens=new,
        pad_token_id=0,
        eos_token_id=2,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SHAPES)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--new", type=int, default=48)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 256}
    model = LlamaForCausalLM(LlamaConfig(**SHAPES[asked.size], **special, tie_word_embeddings=True)).eval()
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(24, 41, (asked.rows,), generator=draw).tolist()
    ids = [torch.randint(3, model.config.vocab_size, (n,), generator=draw).tolist() for n in lengths]
    now = time.process_time if asked.cpu else time.perf_counter
    seconds: dict[str, list[float]] = {"generate": [], "float32": [], "int8": []}
    ours(model, ids, 2, "none")
    for _ in range(asked.repetitions):
        for name, found in seconds.items():
            at = now()
            theirs(model, ids, asked.new) if name == "generate" else ours(
                model, ids, asked.new, "int8" if name == "int8" else "none"
            )
            found.append(now() - at)
    for name, found in seconds.items():
        ratios = [one / other for one, other in zip(seconds["generate"], found, strict=True)]
        rate = asked.rows * asked.new / statistics.median(found)
        print(
            f"{name:<9} {rate:8,.0f} tokens/s  × {statistics.median(ratios):.2f}", sorted(round(r, 2) for r in ratios)
        )


if __name__ == "__main__":
    main()
