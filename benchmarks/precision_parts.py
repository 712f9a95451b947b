"""Where the gradient's distance from float32 comes from: products of one kind at a time in float32, or in bfloat16.

`python benchmarks/precision_parts.py [--model NAME] [--prompts N] [--brief]` prints the table of docs/log.md: ‖g − g₃₂‖ / ‖g₃₂‖
of the answers' mean log-prob. *All but these* is what is left when products of a kind are float32; *these alone* when only they
are bfloat16. Squares of the second would add up to the whole's if the kinds were independent.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import Any
from unittest import mock

import precision as table
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trueward.data import reviews
from trueward.models import loading, precision
from trueward.models.fast import attention, fused, layer
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample

CPU = torch.device("cpu")
MAPS = {
    "q, k": ("q_proj", "k_proj"),
    "v": ("v_proj",),
    "o": ("o_proj",),
    "gate, up": ("gate_proj", "up_proj"),
    "down": ("down_proj",),
}
FORWARD = ("embedding", *MAPS, "attention", "head")
KINDS = (*FORWARD, "backward")


class Wide(nn.Linear):
    """A linear map in float32, whatever stands around it."""

    def forward(self, x: Tensor) -> Tensor:
        """x·Wᵀ + b."""
        with torch.autocast("cpu", enabled=False):
            return F.linear(x.float(), self.weight, self.bias)


class _Rounded(torch.autograd.Function):
    """Rounds as bfloat16 does; its gradient isn't rounded."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.bfloat16().float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class RoundedForward(nn.Linear):
    """A linear map whose forward pass is bfloat16's and whose backward pass is float32's of the rounded factors."""

    def forward(self, x: Tensor) -> Tensor:
        """x·Wᵀ + b."""
        with torch.autocast("cpu", enabled=False):
            out = F.linear(_rounded(x.float()), _rounded(self.weight), self.bias)
            return _rounded(out)


def _rounded(x: Tensor) -> Tensor:
    out: Tensor = _Rounded.apply(x)
    return out


@contextmanager
def wide(model: Any, kinds: set[str]) -> Iterator[None]:
    """Within this scope products of these kinds are in float32. backward: the linear maps' and attention's gradients."""
    with ExitStack() as stack:
        # Factors reach each product in float32, and it rounds them itself or doesn't.
        stack.enter_context(mock.patch.object(precision, "now", return_value=torch.float32))
        names = {name for kind in kinds & set(MAPS) for name in MAPS[kind]}
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear) and name.rpartition(".")[2] in names:
                _become(stack, module, Wide)
            elif isinstance(module, nn.Linear) and "backward" in kinds and "lm_head" not in name:
                _become(stack, module, RoundedForward)
        own: Any = attention.attend

        def attend(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, *rest: Any) -> Tensor:
            """In float32: of the factors as they are, or rounded where only its backward pass is float32."""
            if "attention" not in kinds and "backward" not in kinds:
                low = [t.bfloat16() for t in (q, k, v)]
                out: Tensor = own(*low, attn_mask, *rest)
                return out
            mask = None if attn_mask is None else attn_mask.float()
            with torch.autocast("cpu", enabled=False):
                if "attention" in kinds:
                    out = own(q.float(), k.float(), v.float(), mask, *rest)
                    return out
                return _rounded(own(*(_rounded(t.float()) for t in (q, k, v)), mask, *rest))

        stack.enter_context(mock.patch.object(layer, "attend", attend))
        if "head" in kinds:
            stack.enter_context(mock.patch.object(fused, "wide_product", lambda a, b: a.float() @ b.float()))
        if "embedding" in kinds:
            hooks = model.get_input_embeddings()._forward_hooks
            kept = dict(hooks)
            hooks.clear()
            stack.callback(hooks.update, kept)
        yield


def rounded(network: Network) -> Network:
    """A copy whose matrices are bfloat16's numbers, in float32."""
    model = deepcopy(network.model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.copy_(parameter.bfloat16())
    return Network(model, network.tokenizer)


def _become(stack: ExitStack, module: nn.Module, kind: type) -> None:
    before = module.__class__
    module.__class__ = kind
    stack.callback(setattr, module, "__class__", before)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="trueward:base")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument(
        "--brief", action="store_true", help="the whole, rounded weights, and attention with q, k, v alone"
    )
    given = parser.parse_args()
    halved = (reviews.halve(review.text) for review in reviews.load("rotten_tomatoes"))
    prompts = [Prompt(text=pair[0]) for pair in halved if pair][: given.prompts]
    exact = loading.causal(given.model, 0, CPU, torch.float32)
    low = Network(deepcopy(exact.model), exact.tokenizer)
    precision.settle(low.model, torch.bfloat16)
    tokens = sample(low, prompts, SamplingParams(max_new_tokens=32), Draws.purpose(1, "precision")).tokens
    expected = table._learned(exact, tokens)[1]

    def off(kinds: set[str]) -> float:
        with wide(low.model, kinds):
            return float((table._learned(low, tokens)[1] - expected).norm() / expected.norm())

    found = table._learned(low, tokens)[1]
    away = float((found - expected).norm() / expected.norm())
    cosine, length = (
        float(F.cosine_similarity(found.double(), expected.double(), dim=0)),
        float(found.norm() / expected.norm()),
    )
    print(
        f"as it is {away:.2%}, cosine {cosine:.5f}, length {length:.4f}; through this script's products {off(set()):.2%}"
    )
    at_rounded = float((table._learned(rounded(exact), tokens)[1] - expected).norm() / expected.norm())
    print(
        f"float32 at weights that were rounded once {at_rounded:.2%}; all in float32 {off(set(FORWARD)):.2%}",
        flush=True,
    )
    if given.brief:
        for kinds in ({"attention", "q, k", "v"}, {"attention", "q, k", "v", "o"}, {"backward"}):
            print(f"{' + '.join(sorted(kinds))} in float32: {off(kinds):.2%}", flush=True)
        return
    print("| products | all but these | these alone |\n|---|---|---|")
    for kind in KINDS:
        alone = f"{off(set(FORWARD) - {kind}):.2%}" if kind != "backward" else "–"
        print(f"| {kind} | {off({kind}):.2%} | {alone} |", flush=True)
    for together in (("head", "embedding"), ("attention", "q, k", "v"), ("gate, up", "down"), ("head", "attention")):
        print(
            f"| {' + '.join(together)} | {off(set(together)):.2%} | {off(set(FORWARD) - set(together)):.2%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
