"""Times a run's stages: the marks are in the code (tracking/beats.py), the clock is in stage_clock.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from trueward.pipeline.cache import StageCache
from trueward.pipeline.stage import Made, Stage
from trueward.pipeline.stage_clock import Clock
from trueward.tracking.beats import watched_by
from trueward.training.journal import Journal

R = TypeVar("R")


class WatchedCache:
    """A cache whose stages are timed separately."""

    def __init__(self, cache: StageCache, clock: Clock) -> None:
        self.cache, self.clock, self.env = cache, clock, cache.env

    def make(self, stage: Stage[R], digest: str, parents: Sequence[str], run: Callable[[Journal], R]) -> Made[R]:
        """As `StageCache`."""
        with self.clock.stage(stage.name):
            return self.cache.make(stage, digest, parents, run)


@contextmanager
def watching(clock: Clock) -> Iterator[None]:
    """While active, the clock receives the marks, forward passes of transformers' modules and optimisers' steps."""
    with watched_by(clock), ExitStack() as stack:
        for hook in (
            register_module_forward_pre_hook(clock.before_pass),
            register_module_forward_hook(clock.after_pass, always_call=True),
            register_optimizer_step_post_hook(clock.after_step),
        ):
            stack.callback(hook.remove)
        yield
