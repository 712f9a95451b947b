"""Several processes at one optimiser step: each takes some of the rows, and gradients and figures are summed.

Losses are divided by counts of the whole step, so a sum over processes is the number that one process alone would get,
whatever rows each of them takes. With one process, the default, nothing is sent. Several are started by torchrun, or by a
program that calls `torch.distributed.init_process_group`; `Fabric.of_this_process` then reads their rank and number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from trueward import transfers
from trueward.batches import Tokens, by_parts, micro_batches
from trueward.token_budget import Budget
from trueward.tracking import beats


@dataclass(frozen=True)
class Fabric:
    """One of `world` processes, the `rank`-th, from 0.

    >>> [rows.tolist() for rows in Fabric(1, 2).micro_batches(torch.tensor([5, 9, 2, 7]), 100)]
    [[3, 2]]
    """

    rank: int = 0
    world: int = 1

    @property
    def is_alone(self) -> bool:
        """Whether this is the only process."""
        return self.world == 1

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, the process that writes files, decides and prints."""
        return self.rank == 0

    @classmethod
    def of_this_process(cls) -> Fabric:
        """The rank and number of processes that torch.distributed was set up with; one process where it was not."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return ALONE
        return cls(distributed.get_rank(), distributed.get_world_size())

    def rows(self, lengths: Tensor) -> Tensor:
        """The rows of this process: every `world`-th by length, so that all have about as many tokens. [n] -> [m]."""
        if self.world == 1:
            return torch.arange(len(lengths))
        return torch.argsort(lengths, descending=True, stable=True)[self.rank :: self.world]

    def micro_batches(self, lengths: Tensor, budget: Budget, together: Tensor | None = None) -> list[Tensor]:
        """This process's rows in groups of at most `budget` tokens; none if there are fewer rows than processes."""
        if self.world == 1:
            return micro_batches(lengths, budget, together)
        mine = self.rows(lengths)
        beside = None if together is None else together[mine]
        return [mine[part] for part in micro_batches(lengths[mine], budget, beside)] if len(mine) else []

    @beats.beat("judge")
    def by_parts(
        self, read: Callable[[Tokens], Tensor], tokens: Tokens, budget: Budget, together: Tensor | None = None
    ) -> Tensor:
        """`batches.by_parts`, each process reading its share; every process gets all rows. No gradient goes through."""
        if self.world == 1:
            return by_parts(read, tokens, budget, together)
        mine = self.rows(tokens.host.lengths)
        part = tokens.take(mine if len(mine) else torch.tensor([0]))  # with nothing to read: one row, and not counted
        beside = together[mine] if together is not None and len(mine) else None
        found = by_parts(read, part, budget, beside)
        out = torch.zeros(tokens.ids.shape, dtype=found.dtype, device=found.device)
        if len(mine):
            out[transfers.moved(mine, out.device), : part.ids.shape[1]] = found
        distributed.all_reduce(out)
        return out

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Each gradient becomes the sum over all processes; one that is missing here counts as 0."""
        if self.world == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        for p in trained:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        flat = torch.cat([p.grad.flatten() for p in trained if p.grad is not None])  # one message, not one a tensor
        distributed.all_reduce(flat)
        start = 0
        for p in trained:
            assert p.grad is not None
            p.grad.copy_(flat[start : start + p.numel()].view_as(p))
            start += p.numel()

    def sum(self, x: Tensor) -> Tensor:
        """The sum over all processes, of a tensor of the same shape in each."""
        if self.world > 1:
            x = x.detach().clone()
            distributed.all_reduce(x)
        return x

    def figures(self, sums: dict[str, float], largest: Sequence[str] = ()) -> dict[str, float]:
        """A step's figures summed over all processes; of those in `largest` the largest is taken.

        A process that had no rows has none of some figures: then they are those of the others.
        """
        if self.world == 1:
            return sums
        out: dict[str, float] = {}
        for theirs in self.gather(sums):
            for name, value in theirs.items():
                known = out.get(name)
                out[name] = value if known is None else max(known, value) if name in largest else known + value
        return out

    def gather(self, value: Any) -> list[Any]:
        """The value of every process, in the order of the ranks; it is sent as JSON."""
        if self.world == 1:
            return [value]
        text = torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.long) for _ in range(self.world)]
        distributed.all_gather(sizes, torch.tensor([len(text)]))
        padded = torch.zeros(max(int(s) for s in sizes), dtype=torch.uint8)
        padded[: len(text)] = text
        texts = [torch.empty_like(padded) for _ in range(self.world)]
        distributed.all_gather(texts, padded)
        return [json.loads(bytes(t[: int(s)].tolist())) for t, s in zip(texts, sizes, strict=True)]

    def gather_rows(self, rows: Sequence[Any]) -> list[Any]:
        """Values of each process's share of `share`, put together in the order of the whole. `ValueError` where the ranks
        disagree about how many there are."""
        parts = self.gather(list(rows))
        total = sum(len(part) for part in parts)
        if [len(part) for part in parts] != [len(range(rank, total, self.world)) for rank in range(self.world)]:
            raise ValueError(
                f"the processes hold {[len(part) for part in parts]} rows, which are no shares of one list"
            )
        out: list[Any] = [None] * total
        for rank, part in enumerate(parts):
            out[rank :: self.world] = part
        return out

    def share(self, count: int) -> Tensor:
        """The numbers of this process's rows of `count`: every `world`-th."""
        return torch.arange(count)[self.rank :: self.world]


ALONE = Fabric()
