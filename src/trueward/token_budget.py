"""The tokens that go through a model at once, made fewer where memory runs out (`runtime.micro_batch_tokens = "auto"`)."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from trueward.errors import OutOfMemory, out_of_memory, ran_out
from trueward.progress import note

R = TypeVar("R")
SETTING = "runtime.micro_batch_tokens"
SMALLER = "set runtime.checkpointing = true, train an adapter (lora.rank), or take a smaller model"


class TokenBudget:
    """At most so many tokens at once; half as many after each failure of an allocator. It changes results by rounding alone."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.largest, self.is_divisible = tokens, True  # of the micro-batches made last

    def __int__(self) -> int:
        return self.tokens

    def __repr__(self) -> str:
        return f"TokenBudget({self.tokens})"

    def saw(self, sizes: list[int], rows: list[int]) -> None:
        """What was made within it: the tokens of each micro-batch, padding counted, and its rows."""
        self.largest, self.is_divisible = max(sizes, default=0), max(rows, default=0) > 1

    def halve(self) -> None:
        """Half of what the largest micro-batch had, so that the next attempt is another one."""
        self.tokens = max(1, min(self.tokens, self.largest) // 2)


Budget = int | TokenBudget


def within_memory(budget: Budget, work: Callable[[], R], discard: Callable[[], None] = lambda: None) -> R:
    """work(), which makes its micro-batches by `budget`; with a `TokenBudget` out of memory repeats it with half the tokens.

    discard: throws away what an attempt has left, such as gradients. What torch draws in a repeated attempt is what it drew in
    the first. `OutOfMemory` in one line where the budget is a number, or where micro-batches have one row each.
    """
    if not isinstance(budget, TokenBudget):
        try:
            return work()
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
            what = f"{SETTING} = {budget} tokens at once"
            advice = f'lower {SETTING} or set it to "auto"; or {SMALLER}'
            raise out_of_memory(error, what, advice) from error
    drawn = _generators()
    while True:
        try:
            return work()
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
            if not budget.is_divisible:
                raise _indivisible(error, budget) from error
        # Here, not above: as long as the error is handled, its frames keep what the attempt had computed.
        before = min(budget.tokens, budget.largest)
        budget.halve()
        note(
            f"out of memory with {before} tokens at once: repeated with {budget.tokens}, and from here on; the result is the "
            f'same but for rounding ({SETTING} = "auto")'
        )
        discard()
        _restore(drawn)
        give_back()


def _indivisible(error: BaseException, budget: TokenBudget) -> OutOfMemory:
    return out_of_memory(error, f"one sequence of {budget.largest} tokens", f"{SETTING} can't divide it: {SMALLER}")


def give_back() -> None:
    """Collect what nothing refers to any more, and return what CUDA's allocator keeps for reuse."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _generators() -> list[Tensor]:
    """The states of torch's own generators: the CPU's, and those of CUDA's devices if there are any."""
    found = [torch.get_rng_state()]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        found += torch.cuda.get_rng_state_all()
    return found


def _restore(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state_all(states[1:])
