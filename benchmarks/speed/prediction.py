"""What the measured shares mean for larger models on GPUs: arithmetic, not a measurement.

A PPO rollout costs what `arithmetic.operations` says. Everything but the decoding runs at `share` of the GPU's products.
Decoding a token of all rows reads the weights once and every row's keys and values (bandwidth), or multiplies the weights
with all rows (products), whichever takes longer, at `decoding` of that limit.
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


@dataclass(frozen=True)
class Model:
    """Weights, layers, and the width of the keys (and of the values) of a layer, for all their heads."""

    name: str
    weights: float
    layers: int
    kv_width: int

    @property
    def cached(self) -> float:
        """Bytes of keys and values a token."""
        return 2 * BYTES * self.layers * self.kv_width


BYTES = 2  # of a number in bfloat16
TRAINED = 16  # of a trained weight: itself, gradient, two moments, in float32
H100 = Gpu("H100 SXM", 989e12, 3.35e12, 80e9)
MODELS = (Model("1B", 1e9, 16, 512), Model("7B", 7e9, 32, 1024))  # the shapes of Llama 3's of about that size


def rollout_seconds(
    model: Model,
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
    together = gpus * (efficiency if gpus > 1 else 1.0)
    read = BYTES * model.weights + rows * (prompt + answer / 2) * model.cached
    step = max(read / gpu.bandwidth, 2 * model.weights * rows / gpu.products) / decoding
    # Policy and value network learn (6 operations an epoch, weight and token) and are read once more or have an anchor that
    # is (2 each); sampling reads the prompt, the reward model all (2 each, the first one counted for all tokens).
    rest = (2 * (6 * epochs + 2) + 4) * model.weights * (prompt + answer) / (share * gpu.products)
    return answer * step / rows / together, rest / together


def full_memory(weights: float) -> float:
    """Bytes of PPO's four models: two are trained, two are only read. Activations and the cache come on top."""
    return (2 * TRAINED + 2 * BYTES) * weights


def adapter_memory(weights: float, adapters: float = 0.01) -> float:
    """The same with adapters of that share of the weights on one base, which is its own reference: two are
    trained, one is read."""
    return BYTES * weights + (2 * TRAINED + BYTES) * adapters * weights


def table(share: float, decoding: float, gpu: Gpu = H100) -> str:
    """1B and 7B on one card and on eight, Markdown. Memory is per card, with the four models spread over all of them."""
    lines = [
        "| model | GPUs | decoding, ms a rollout | the rest | rollouts an hour | all of PPO, GB a card | with adapters |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in MODELS:
        for gpus in (1, 8):
            drawn, rest = rollout_seconds(model, gpus=gpus, share=share, decoding=decoding, gpu=gpu)
            whole = full_memory(model.weights) / gpus
            fits = "" if whole < gpu.memory else ", does not fit"
            lines.append(
                f"| {model.name} | {gpus} | {1e3 * drawn:.1f} | {1e3 * rest:.0f} | {3600 / (drawn + rest):,.0f} "
                f"| {whole / 1e9:.0f}{fits} | {adapter_memory(model.weights) / 1e9:.0f} |"
            )
    return "\n".join(lines)
