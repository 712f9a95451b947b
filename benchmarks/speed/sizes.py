"""The two sizes that everything is measured on: what the models are, how much a step takes, what a token costs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """A Llama's shape, and the batches that it is measured with."""

    name: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    middle: int
    vocabulary: int
    longest_answer: int
    """Tokens of an answer at most; those of the data sets have half as many to as many, prompts 24 to 40."""
    batch: int
    """Sequences of an SFT step; pairs of a step of the reward model and of DPO."""
    rollouts: int
    """Completions of a PPO or GRPO step."""
    sampled: int
    """Answers that are sampled at once."""
    steps: dict[str, int]
    """Steps that are timed, by stage; before them stand `warm_up` steps that aren't."""
    pairs: int
    """Times that ours and the peer's are run, in turn."""
    warm_up: int = 2

    @property
    def trunk(self) -> int:
        """Weights of all layers' matrices: what every token goes through."""
        head = self.width // self.heads
        attention = 2 * self.width * self.width + 2 * self.width * self.kv_heads * head
        return self.layers * (attention + 3 * self.width * self.middle)

    @property
    def head(self) -> int:
        """Weights of the output embeddings."""
        return self.width * self.vocabulary


S = Size(
    name="S", width=128, layers=4, heads=4, kv_heads=4, middle=512, vocabulary=2048, longest_answer=48, batch=16,
    rollouts=64, sampled=64, steps={"sft": 60, "reward": 40, "dpo": 30, "grpo": 8, "ppo": 5, "sampling": 10}, pairs=3,
)  # fmt: skip
L = Size(
    name="L", width=576, layers=30, heads=9, kv_heads=3, middle=1536, vocabulary=49152, longest_answer=32, batch=4,
    rollouts=16, sampled=16, steps={"sft": 8, "reward": 6, "dpo": 5, "grpo": 3, "ppo": 2, "sampling": 3}, pairs=2,
    warm_up=1,
)  # fmt: skip
SIZES = {size.name: size for size in (S, L)}
