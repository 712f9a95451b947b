"""Operations with a backward pass written by hand: fewer passes over memory than autograd's, the same numbers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from trueward.models.fast.attention import capped
from trueward.models.precision import LOW, wide_product

HELD = 1 << 25  # numbers: distributions larger than this are computed again in the backward pass, not stored


class RmsNorm(torch.autograd.Function):
    """w·x / √(mean x² + ε) (Zhang & Sennrich 2019, arXiv 1910.07467): x [N, D], w [D] -> [N, D], of type `dtype` at last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:
        """x, the norm's weights and ε -> the normalised rows."""
        size = x.shape[-1]
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(size).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        out: Tensor = (x * scale).mul_(weight)
        return out.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """The gradients of x and of the weights, where they are needed."""
        x, weight, scale = ctx.saved_tensors
        normal = x * scale
        for_weight = (grad * normal).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        if not ctx.needs_input_grad[0]:
            return None, for_weight, None, None
        for_normal = grad * weight
        along = torch.linalg.vecdot(for_normal, normal).div_(x.shape[-1]).unsqueeze(-1)
        return for_normal.sub_(normal.mul_(along)).mul_(scale), for_weight, None, None


class SwiGlu(torch.autograd.Function):
    """silu(g)·u (Shazeer 2020, arXiv 2002.05202) of g and u side by side: [N, 2F] -> [N, F]."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        """g and u side by side -> silu(g)·u."""
        gate, up = both.chunk(2, dim=-1)
        silu = F.silu(gate)
        ctx.save_for_backward(both, silu)
        return silu * up

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """The gradients of g and u, side by side."""
        both, silu = ctx.saved_tensors
        gate, up = both.chunk(2, dim=-1)
        for_both = torch.empty_like(both)  # written in place: joining two halves afterwards would be one more pass
        for_gate, for_up = for_both.chunk(2, dim=-1)
        torch.mul(grad, silu, out=for_up)
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=for_gate)
        return for_both


class GeGlu(torch.autograd.Function):
    """gelu(g)·u, gelu by its approximation through tanh (Gemma), of g and u side by side: [N, 2F] -> [N, F]."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        """g and u side by side -> gelu(g)·u."""
        gate, up = both.chunk(2, dim=-1)
        gelu = F.gelu(gate, approximate="tanh")
        ctx.save_for_backward(both, gelu)
        return gelu * up

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """The gradients of g and u, side by side."""
        both, gelu = ctx.saved_tensors
        gate, up = both.chunk(2, dim=-1)
        for_both = torch.empty_like(both)
        for_gate, for_up = for_both.chunk(2, dim=-1)
        torch.mul(grad, gelu, out=for_up)
        torch.ops.aten.gelu_backward.grad_input(grad * up, gate, approximate="tanh", grad_input=for_gate)
        return for_both


class Rotary(torch.autograd.Function):
    """Rotary position embedding (Su et al. 2021, arXiv 2104.09864), halves as in Llama's weights, of the first heads.

    x [N, H, S]; cos, sin [N, 1, S/2], the same for both halves, or of fewer pairs: then the other features stay as they are
    (Phi-3); heads: how many of the H are rotated, the others stay, too. Its backward pass rotates by the negative angles. In
    bfloat16 it is computed in float32 and rounded once.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor, heads: int) -> Tensor:
        """x -> x with its first `heads` heads rotated."""
        ctx.save_for_backward(cos, sin)
        ctx.heads = heads
        return _rotate(x, cos, sin, heads, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        """The gradient of x: that of the output, rotated back."""
        cos, sin = ctx.saved_tensors
        return _rotate(grad, cos, sin, ctx.heads, -1), None, None, None


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, heads: int, sign: int) -> Tensor:
    if x.dtype is LOW and cos.dtype is not LOW:
        return _rotate(x.to(cos.dtype), cos, sin, heads, sign).to(LOW)
    half = cos.shape[-1]
    left, right = x[:, :heads, :half], x[:, :heads, half : 2 * half]
    out = torch.empty_like(x)
    torch.mul(left, cos, out=out[:, :heads, :half]).addcmul_(right, sin, value=-sign)
    torch.mul(right, cos, out=out[:, :heads, half : 2 * half]).addcmul_(left, sin, value=sign)
    if 2 * half < x.shape[-1]:
        out[:, :heads, 2 * half :] = x[:, :heads, 2 * half :]
    if heads < x.shape[1]:
        out[:, heads:] = x[:, heads:]
    return out


class ReorderRows(torch.autograd.Function):
    """Rows of x in other places: out[i] = x[to[i]]. Every row that matters is taken once, so back is a gather, too.

    x [N, ...], to [M], back [N] with to[back] = 0 … N−1: other places are padding, whose gradient is dropped.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, to: Tensor, back: Tensor) -> Tensor:
        """x -> its rows in the order `to`."""
        ctx.save_for_backward(to, back)
        return x.index_select(0, to)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of x: that of the output in the order `back`."""
        return grad.index_select(0, ctx.saved_tensors[1]), None, None


class GatherRows(torch.autograd.Function):
    """out[i] = x[at[i]], no place twice: x [N, D], at [M] -> [M, D]. Its backward pass writes where index_select's adds."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, at: Tensor) -> Tensor:
        """x -> its rows `at`."""
        ctx.save_for_backward(at)
        ctx.count = len(x)
        return x.index_select(0, at)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """The gradient of x: 0 in the rows that were not taken."""
        return grad.new_zeros(ctx.count, *grad.shape[1:]).index_copy_(0, ctx.saved_tensors[0], grad), None


class TokenLogprobs(torch.autograd.Function):
    """log softmax(h·Wᵀ/τ) at one token each, and the entropy of each distribution, a part of the rows at a time.

    h [N, D], W [V, D], ids [N] -> twice [N], in nats; the entropy has no gradient. Of all the logits [N, V] no more than
    `HELD` numbers are ever in memory: for larger ones the backward pass computes them again. With `dtype` bfloat16 the products
    are of that, and what they give is float32. With `cap` the logits are cap·tanh(x / cap) (Gemma 2), always computed again.
    """

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        ids: Tensor,
        temperature: float,
        with_entropy: bool,
        dtype: torch.dtype = torch.float32,
        cap: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Log-probs of `ids`, and the entropies (0 without `with_entropy`)."""
        product = ctx.product = wide_product if dtype is LOW else torch.mm
        count, size = len(ids), len(weight)
        store = any(ctx.needs_input_grad[:2]) and count * size <= HELD and cap is None
        rows = count if store else max(1, min(count, HELD // 4 // size))
        chosen, normal = states.new_empty(count), states.new_empty(count)
        entropy = states.new_zeros(count)
        stored = None
        for start in range(0, count, rows):
            part = slice(start, start + rows)
            logits = product(states[part], weight.T)
            if cap is not None:
                logits = capped(logits, cap)
            if temperature != 1.0:
                logits /= temperature
            # The normaliser from the likeliest token, whose probability is at least 1/V: log Σ exp = max − log p(max).
            probability = logits.softmax(-1)
            normal[part] = logits.amax(-1) - probability.amax(-1).log_()
            chosen[part] = logits.gather(1, ids[part, None]).squeeze(1)
            if with_entropy:
                entropy[part] = normal[part] - torch.linalg.vecdot(probability, logits)
            if store:
                stored = probability
        ctx.temperature, ctx.cap = temperature, cap
        ctx.save_for_backward(states, weight, ids, normal, stored if store else None)
        ctx.mark_non_differentiable(entropy)
        return chosen - normal, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of h and W, where they are needed."""
        states, weight, ids, normal, stored = ctx.saved_tensors
        count, size = len(ids), len(weight)
        rows = count if stored is not None else max(1, min(count, HELD // 4 // size))
        for_states = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        for_weight = None
        for start in range(0, count, rows):
            part = slice(start, start + rows)
            slope = grad[part] / ctx.temperature
            if stored is not None:
                for_logits = stored * -slope[:, None]
            else:
                for_logits = ctx.product(states[part], weight.T)
                if ctx.cap is not None:
                    for_logits = capped(for_logits, ctx.cap)
                    steepness = 1 - (for_logits / ctx.cap).square_()
                if ctx.temperature != 1.0:
                    for_logits /= ctx.temperature
                for_logits = for_logits.sub_(normal[part, None]).exp_().mul_(-slope[:, None])
            for_logits.scatter_add_(1, ids[part, None], slope[:, None])
            if ctx.cap is not None:
                for_logits *= steepness
            if for_states is not None:
                if ctx.product is wide_product:
                    for_states[part] = wide_product(for_logits, weight)
                else:
                    torch.mm(for_logits, weight, out=for_states[part])
            if ctx.needs_input_grad[1] and ctx.product is wide_product:
                more = wide_product(for_logits.T, states[part])
                for_weight = more if for_weight is None else for_weight.add_(more)
            elif ctx.needs_input_grad[1]:
                transposed = for_logits.T
                for_weight = (
                    transposed @ states[part] if for_weight is None else for_weight.addmm_(transposed, states[part])
                )
        return for_states, for_weight, None, None, None, None, None
