"""Several processes at one optimiser step: each takes some of the rows, and gradients and figures are summed.

Losses are divided by counts of the whole step, so a sum over processes is the number that one process alone would get,
whatever rows each of them takes. With one process, the default, nothing is sent. Several are started by torchrun, or by a
program that calls `torch.distributed.init_process_group`; `Fabric.of_this_process` then reads their rank and number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from trueward import transfers
from trueward.batches import Tokens, by_parts, micro_batches
from trueward.parallel.control_line import ControlLine
from trueward.signals import LostProcessError
from trueward.token_budget import Budget, within_memory
from trueward.tracking import beats

T = TypeVar("T")


class DivergedError(ValueError):
    """The processes of a run hold different things that have to be the same. All of them raise it."""


@contextmanager
def _met() -> Iterator[None]:
    """`LostProcessError` where a collective ended because somebody isn't there any more."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(str(error).strip().partition("\n")[0]) from error


@dataclass(frozen=True)
class Fabric:
    """One of `world` processes, the `rank`-th, from 0.

    >>> [rows.tolist() for rows in Fabric(1, 2).micro_batches(torch.tensor([5, 9, 2, 7]), 100)]
    [[3, 2]]
    """

    rank: int = 0
    world: int = 1
    line: ControlLine | None = field(default=None, compare=False, repr=False)
    """To and from rank 0; without one, its decisions go through a collective."""
    is_sharded: bool = False
    """Whether models lie in parts in the processes: then all of them make the same number of passes (`runtime.shard`)."""

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
        """This process's rows in groups of at most `budget` tokens; none if there are fewer rows than processes.

        Where models are sharded, all processes get as many groups as the one that needs most, the last ones without rows: one
        pass more in one process would wait for ever for the others' weights.
        """
        if self.world == 1:
            return micro_batches(lengths, budget, together)
        groups = self._groups(self.rank, lengths, budget, together)
        if not self.is_sharded:
            return groups
        most = max(len(self._groups(rank, lengths, budget, together)) for rank in range(self.world))
        return groups + [torch.zeros(0, dtype=torch.long)] * (most - len(groups))

    def _groups(self, rank: int, lengths: Tensor, budget: Budget, together: Tensor | None) -> list[Tensor]:
        """The groups of one process."""
        rows = replace(self, rank=rank).rows(lengths)
        beside = None if together is None else together[rows]
        return [rows[part] for part in micro_batches(lengths[rows], budget, beside)] if len(rows) else []

    @beats.beat("judge")
    def by_parts(
        self, read: Callable[[Tokens], Tensor], tokens: Tokens, budget: Budget, together: Tensor | None = None
    ) -> Tensor:
        """`batches.by_parts`, each process reading its share; every process gets all rows. No gradient goes through."""
        if self.world == 1:
            return by_parts(read, tokens, budget, together)
        if self.is_sharded:
            return self._all_by_parts(read, tokens, budget, together)
        mine = self.rows(tokens.host.lengths)
        part = tokens.take(mine if len(mine) else torch.tensor([0]))  # with nothing to read: one row, and not counted
        beside = together[mine] if together is not None and len(mine) else None
        found = by_parts(read, part, budget, beside)
        out = torch.zeros(*tokens.ids.shape, *found.shape[2:], dtype=found.dtype, device=found.device)
        if len(mine):
            out[transfers.moved(mine, out.device), : part.ids.shape[1]] = found
        with _met():
            distributed.all_reduce(out)
        return out

    def _all_by_parts(
        self, read: Callable[[Tokens], Tensor], tokens: Tokens, budget: Budget, together: Tensor | None
    ) -> Tensor:
        """`by_parts` with the same number of passes in every process; one without rows reads the first, for nothing."""

        def attempt() -> Tensor:
            out: Tensor | None = None
            for rows in self.micro_batches(tokens.host.lengths, budget, together):
                part = tokens.take(rows if len(rows) else torch.tensor([0]))
                found = read(part)
                if out is None:
                    out = torch.zeros(*tokens.ids.shape, *found.shape[2:], dtype=found.dtype, device=found.device)
                if len(rows):
                    out[transfers.moved(rows, out.device), : part.ids.shape[1]] = found
            assert out is not None
            return out

        out = within_memory(budget, attempt)
        with _met():
            distributed.all_reduce(out)
        return out

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Each gradient becomes the sum over all processes; one that is missing here counts as 0, everywhere it stays None.

        Those of sharded weights are summed in the backward pass already.
        """
        if self.world == 1:
            return
        trained = [p for p in parameters if p.requires_grad and not hasattr(p, "full_tensor")]
        if not trained:
            return
        there = torch.tensor([float(p.grad is not None) for p in trained], device=trained[0].device)
        given = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        flat = torch.cat([*(g.flatten() for g in given), there.to(given[0].dtype)])  # one message, not one a tensor
        with _met():
            distributed.all_reduce(flat)
        start = 0
        for p, grad, known in zip(trained, given, flat[-len(trained) :].tolist(), strict=True):
            p.grad = grad.copy_(flat[start : start + p.numel()].view_as(p)) if known else None
            start += p.numel()

    def sum(self, x: Tensor) -> Tensor:
        """The sum over all processes, of a tensor of the same shape in each."""
        if self.world > 1:
            x = x.detach().clone()
            with _met():
                distributed.all_reduce(x)
        return x

    def figures(self, sums: dict[str, float], largest: Sequence[str] = ()) -> dict[str, float]:
        """A step's figures summed over all processes; of those in `largest` the largest is taken.

        A process that had no rows has none of some figures: then they are those of the others.
        """
        if self.world == 1:
            return sums
        out: dict[str, float] = {}
        given = self.gather([sums, list(largest)])
        of_largest = {name for _, names in given for name in names}  # who had no rows knows of none
        for theirs, _ in given:
            for name, value in theirs.items():
                known = out.get(name)
                out[name] = value if known is None else max(known, value) if name in of_largest else known + value
        return out

    def gather(self, value: Any) -> list[Any]:
        """The value of every process, in the order of the ranks; it is sent as JSON."""
        if self.world == 1:
            return [value]
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.long) for _ in range(self.world)]
        with _met():
            distributed.all_gather(sizes, torch.tensor([len(text)]))
            padded = torch.zeros(max(int(s) for s in sizes), dtype=torch.uint8)
            padded[: len(text)] = text
            texts = [torch.empty_like(padded) for _ in range(self.world)]
            distributed.all_gather(texts, padded)
        return [json.loads(t[: int(s)].numpy().tobytes()) for t, s in zip(texts, sizes, strict=True)]

    def led(self, act: Callable[[], T], told: Callable[[T], Any] = lambda value: None) -> Any:
        """Rank 0 does it and gets its result; the others wait, and get what rank 0 tells of it, as JSON.

        What it raises on rank 0 ends the others too. Within `act` rank 0 is alone: nothing in it may ask the others.
        """
        if self.world == 1:
            return act()
        if self.line is None:
            value = act() if self.leads else None
            heard = self.gather(told(value) if self.leads else None)[0]  # type: ignore[arg-type]  # rank 0 has one
            return value if self.leads else heard
        if not self.leads:
            return self.line.hear()
        value = act()
        self.line.tell(told(value))
        return value

    def agree(self, what: str, value: str) -> None:
        """`DivergedError` that names a rank if not all processes hold the same text. what: the text's name in the error."""
        if self.world == 1:
            return
        digests = self.gather(digest(value))
        if odd := [rank for rank, other in enumerate(digests) if other != digests[0]]:
            raise DivergedError(f"{what}: rank {odd[0]} holds another one than rank 0")

    def gather_rows(self, rows: Sequence[Any], what: str = "", whole: str = "") -> list[Any]:
        """Values of each process's share of `share`, put together in the order of the whole.

        whole: what is shared out, which has to be the same on all. what: its name in the error. `ValueError` where the ranks
        disagree about it, or about how many rows there are.
        """
        if self.world == 1:
            return list(rows)
        given = self.gather({"of": digest(whole), "rows": list(rows)})
        if odd := [rank for rank, other in enumerate(given) if other["of"] != given[0]["of"]]:
            raise DivergedError(f"{what}: rank {odd[0]} holds another one than rank 0")
        parts = [other["rows"] for other in given]
        total = sum(len(part) for part in parts)
        if [len(part) for part in parts] != [len(range(rank, total, self.world)) for rank in range(self.world)]:
            raise DivergedError(
                f"the processes hold {[len(part) for part in parts]} rows, which are no shares of one list"
            )
        out: list[Any] = [None] * total
        for rank, part in enumerate(parts):
            out[rank :: self.world] = part
        return out

    def share(self, count: int) -> Tensor:
        """The numbers of this process's rows of `count`: every `world`-th."""
        return torch.arange(count)[self.rank :: self.world]


def digest(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


ALONE = Fabric()
