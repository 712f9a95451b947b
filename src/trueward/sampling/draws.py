"""The uniform numbers that tokens are drawn with: fixed in advance for (completion, position), in whatever process."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trueward.seeds import seed_for


@dataclass(frozen=True)
class Draws:
    """Rows of a table of uniform numbers [of, T]: row i is what completion i draws its tokens with.

    A process that samples a share of the completions takes their rows, so that they come out the same as in one process.
    Until `rows` are taken these are the draws of as many completions as there are prompts.
    """

    seed: int
    of: int = 0
    rows: Tensor | None = None  # [n]

    @classmethod
    def purpose(cls, seed: int, *what: str | int) -> Draws:
        """The draws of one purpose, e.g. ("rollout", step): unrelated to those of any other."""
        return cls(seed_for(seed, *what))

    def take(self, rows: Tensor, of: int) -> Draws:
        """The draws of some of the `of` completions."""
        assert self.rows is None
        return replace(self, of=of, rows=rows)

    def repeat(self, times: int) -> Draws:
        """The draws of `times` completions, next to each other, in the place of each one."""
        if self.rows is None:
            return self
        rows = (self.rows[:, None] * times + torch.arange(times)).flatten()
        return replace(self, of=self.of * times, rows=rows)

    def uniforms(self, count: int, tokens: int) -> Tensor:
        """[count, tokens] float32 in [0, 1), on the CPU: the same on every device."""
        table = torch.rand(self.of or count, tokens, generator=torch.Generator().manual_seed(self.seed))
        if self.rows is None:
            return table
        assert len(self.rows) == count
        return table[self.rows]
