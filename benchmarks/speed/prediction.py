"""What the measured shares mean for larger models on GPUs: arithmetic, not a measurement.

A PPO rollout of T tokens, A of them the answer, costs what `arithmetic.operations` says. Everything but the decoding runs at
`share` of the GPU's products; decoding a batch reads the weights once for each token (bandwidth) or multiplies them with all
rows (products), whichever takes longer, at `decoding` of that limit.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """Per card: bfloat16 products and memory, as its maker states them."""

    name: str
    products: float  # operations a second
    bandwidth: float  # bytes a second
    memory: float  # bytes


H100 = Gpu("H100 SXM", 989e12, 3.35e12, 80e9)
BYTES = 2  # a weight, while it is read
TRAINED = 16  # bytes a trained weight: master, gradient, two moments, float32


def rollout_seconds(
    weights: float,
    *,
    gpus: int,
    share: float,
    decoding: float,
    rows: int = 256,
    prompt: int = 512,
    answer: int = 512,
    epochs: int = 4,
    gpu: Gpu = H100,
    efficiency: float = 0.9,
) -> tuple[float, float]:
    """Seconds a rollout: decoding, everything else. Cards work on rows of their own: `rows` each, `efficiency` beyond one."""
    tokens = prompt + answer
    together = gpus * (efficiency if gpus > 1 else 1.0)
    step = max(BYTES * weights / gpu.bandwidth, 2 * weights * rows / gpu.products) / decoding
    learning = (2 * (6 * epochs + 2) + 2) * weights * tokens / (share * gpu.products)
    return answer * step / rows / together, learning / together


def full_memory(weights: float) -> float:
    """Bytes of PPO's four models: two are trained, two are only read."""
    return (2 * TRAINED + 2 * BYTES) * weights


def adapter_memory(weights: float, adapters: float = 0.01) -> float:
    """The same with adapters of that share of the weights on one base, which is its own reference."""
    return BYTES * weights + 3 * TRAINED * adapters * weights


def table(share: float, decoding: float) -> str:
    """1B and 7B on one card and on eight, Markdown."""
    lines = [
        "| model | GPUs | decoding, s a rollout | the rest | rollouts an hour | full PPO, GB | with adapters, GB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, weights in (("1B", 1e9), ("7B", 7e9)):
        for gpus in (1, 8):
            drawn, rest = rollout_seconds(weights, gpus=gpus, share=share, decoding=decoding)
            lines.append(
                f"| {name} | {gpus} | {drawn:.4f} | {rest:.4f} | {3600 / (drawn + rest):,.0f} "
                f"| {full_memory(weights) / 1e9:.0f} | {adapter_memory(weights) / 1e9:.0f} |"
            )
    return "\n".join(lines)
