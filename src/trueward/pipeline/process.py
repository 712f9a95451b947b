"""Settings of the whole process: threads, deterministic kernels, warnings, malloc. Set in a scope and restored after it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from trueward.config import Recipe
from trueward.errors import named_out_of_memory
from trueward.models import checkpointing, loading, precision
from trueward.models.fast import compiled, flash, packed
from trueward.parallel.launched import cores
from trueward.pipeline.memory import as_at_first, give_back_what_is_freed, keep_what_is_freed
from trueward.sampling.decoder_pool import forgotten_after_steps
from trueward.token_budget import SMALLER

CUBLAS = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA's first product is computed; without it sums differ


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """An environment variable for as long as the scope is open, unless it is set already."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)


@contextmanager
def process_settings(recipe: Recipe) -> Iterator[None]:
    """Set torch's threads, deterministic kernels (runs with one seed are bit-identical) and malloc as the recipe says."""
    runtime = recipe.runtime
    if runtime.compile:
        compiled.require_compiler()
    threads = torch.get_num_threads()
    deterministic, warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]  # not in torch's stubs
    with warnings.catch_warnings(), forgotten_after_steps(), ExitStack() as stack:
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
        stack.enter_context(named_out_of_memory("what this run holds", f"{SMALLER} (see trueward run --plan)"))
        stack.callback(torch.set_num_threads, threads)
        stack.callback(torch.use_deterministic_algorithms, deterministic, warn_only=warns)
        stack.callback(setattr, torch.utils.deterministic, "fill_uninitialized_memory", fill)
        device = loading.pick_device(runtime.device)
        kernel = flash.chosen(runtime.attention, device, precision.pick(recipe.model.dtype, device))
        stack.enter_context(flash.attending_with(kernel))
        stack.enter_context(packed.compiled_layers(runtime.compile))
        stack.enter_context(checkpointing.checkpointed_layers(runtime.checkpointing))
        stack.enter_context(_variable(*CUBLAS))
        torch.set_num_threads(runtime.threads or cores())
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Filling new memory with NaN costs a pass over it, and nothing here reads what it hasn't written.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # not in torch's stubs
        stack.callback(as_at_first)
        if recipe.lora.rank:  # adapters are used to save memory
            give_back_what_is_freed()
        else:
            keep_what_is_freed()
        yield
