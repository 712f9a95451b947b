"""The fast path of training: the hidden states of Llama-like models, where they're needed and nowhere else.

Sequences stand one after the other, without padding, so that norms and matrix products see real tokens only; only the
attention works on padded blocks. What isn't needed isn't computed:
- a prompt that several responses share is read once;
- a token after the last state that's asked for is not read;
- the last layer has queries only where a state is asked for.
The numbers are transformers' (tests/models/test_packed.py). It covers Llama, Mistral, Qwen2 and Qwen3; other families
take the general path (heads.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trueward.batches import Tokens
from trueward.models import compiled
from trueward.models.fused import Gathered, Rearranged, RmsNorm, Rotary, SwiGlu

FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3"})
is_compiled = False  # runtime.compile; Context.make sets it
NARROW = 512  # features: up to here q, k, v and gate, up are joined for each pass; copying larger weights costs more


def covers(model: Any) -> bool:
    """Whether the model is one that this module computes exactly: its family, full attention, no dropout, SiLU.

    In float64 it would be too exact: transformers takes norms and angles in float32 even there.
    """
    config = model.config
    if config.model_type not in FAMILIES or model.dtype == torch.float64:
        return False
    windows = set(getattr(config, "layer_types", None) or ["full_attention"]) != {"full_attention"}
    if windows or (getattr(config, "sliding_window", None) and config.model_type == "mistral"):
        return False
    scaling = getattr(config, "rope_parameters", None) or {}
    scaled = scaling.get("rope_type", "default") not in ("default", "linear", "llama3")
    trained_dropout = model.training and getattr(config, "attention_dropout", 0.0)
    return not scaled and not trained_dropout and config.hidden_act == "silu"


Turn = tuple[Tensor, Tensor]  # cos and sin of each token's angles, [N, 1, half a head's size]


@dataclass(frozen=True)
class Block:
    """Queries as a padded block [n, t] taken from packed rows, and which keys each sees."""

    to: Tensor  # [n·t], the packed row of each place; padding has row 0
    back: Tensor  # the place of each packed row that is a query, in their order
    shape: tuple[int, int]
    seen: Tensor | None  # [n, 1, t, keys], 0 or −inf, added to the attention's logits; None: causal


@dataclass(frozen=True)
class Layout:
    """Where everything stands: G different prompts one after the other, then what's read of B responses."""

    ids: Tensor  # [N] tokens
    sources: Tensor  # [N], where each comes from: row·T + column
    positions: Tensor  # [N]
    prompts: Block  # of [G, P]; where no two rows share a prompt, of whole rows [B, T]
    group: Tensor | None  # [B], the prompt of each response; None: no two share one
    answers: Block | None  # of [B, R], keys: its prompt, then itself; None: they're in the prompts' block
    asked: Block  # of [B, Q], the states that are needed; the same keys

    @property
    def prompt_tokens(self) -> int:
        return len(self.prompts.back)


def prompt_numbers(tokens: Tokens) -> Tensor:
    """[B]: the number of each row's prompt among the different ones, in the order in which they come first."""
    ids, lengths = tokens.ids.cpu().numpy(), tokens.prompt_lengths.tolist()
    known: dict[bytes, int] = {}
    return torch.tensor([known.setdefault(row[:n].tobytes(), len(known)) for row, n in zip(ids, lengths, strict=True)])


def layout(tokens: Tokens, where: Tensor, dtype: torch.dtype = torch.float32) -> Layout:
    """For the states at `where` [B, T]; tokens that nothing asked for sees are left out. `dtype`: the model's."""
    device = tokens.ids.device
    ids, asked = tokens.ids.cpu().numpy(), where.cpu().numpy()
    lengths = tokens.prompt_lengths.cpu().numpy()
    count, width = asked.shape
    at = np.arange(width)
    last = np.where(asked, at, -1).max(1)  # −1: nothing is asked of this row

    group = prompt_numbers(tokens).numpy()
    first = np.unique(group, return_index=True)[1]
    if len(first) == count:  # whole rows are read in one piece
        lengths = last + 1
    read = np.maximum(last + 1 - lengths, 0)  # tokens of each response that are read
    starts = lengths[first]
    wide, long = max(int(starts.max()), 1), int(read.max())

    in_prompt = np.arange(wide) < starts[:, None]  # [G, P]
    in_answer = np.arange(long) < read[:, None]  # [B, R]
    total = int(starts.sum())
    prompt_row, answer_row = np.zeros(in_prompt.shape, np.int64), np.zeros(in_answer.shape, np.int64)
    prompt_row[in_prompt] = np.arange(total)
    answer_row[in_answer] = total + np.arange(int(read.sum()))
    answer_at = lengths[:, None] + np.arange(long)
    packed = [ids[first, :wide][in_prompt], np.take_along_axis(ids, np.minimum(answer_at, width - 1), 1)[in_answer]]
    positions = [np.broadcast_to(np.arange(wide), in_prompt.shape)[in_prompt], answer_at[in_answer]]
    rows_of = np.concatenate([np.repeat(first, starts), np.repeat(np.arange(count), read)])

    asked_of = asked.sum(1)
    most = max(int(asked_of.max()), 1)
    in_asked = np.arange(most) < asked_of[:, None]
    rows, columns = asked.nonzero()
    asked_at = np.zeros(in_asked.shape, np.int64)
    asked_at[in_asked] = columns
    own = columns - lengths[rows]
    row_of = np.where(own < 0, prompt_row[group[rows], np.minimum(columns, wide - 1)], 0)
    if long:
        row_of = np.where(own >= 0, answer_row[rows, np.clip(own, 0, long - 1)], row_of)
    asked_row = np.zeros(in_asked.shape, np.int64)
    asked_row[in_asked] = row_of

    key_at = np.concatenate([np.broadcast_to(np.arange(wide), (count, wide)), answer_at], axis=1)  # [B, P + R]
    real = np.concatenate([in_prompt[group], np.ones((count, long), bool)], axis=1)

    def tensor(x: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(x)).to(device)

    def block(row: np.ndarray, inside: np.ndarray, query_at: np.ndarray | None) -> Block:
        seen = None
        if query_at is not None:
            sees = real[:, None] & (key_at[:, None] <= query_at[:, :, None])
            seen = torch.zeros((), dtype=dtype, device=device).masked_fill(~tensor(sees[:, None]), -torch.inf)
        shape = (row.shape[0], row.shape[1])
        return Block(tensor(row.ravel()), tensor(inside.ravel().nonzero()[0]), shape, seen)

    return Layout(
        tensor(np.concatenate(packed)),
        tensor(rows_of * width + np.concatenate(positions)),
        tensor(np.concatenate(positions)),
        block(prompt_row, in_prompt, None),
        tensor(group) if len(first) < count else None,
        block(answer_row, in_answer, answer_at) if long else None,
        block(asked_row, in_asked, asked_at),
    )


def states(model: Any, tokens: Tokens, where: Tensor) -> Tensor:
    """The last layer's output after the final norm at `where` [B, T], row by row: [n, D]."""
    body = model.base_model
    place = layout(tokens, where, body.norm.weight.dtype)
    skipped = 0
    if tokens.lower is None:
        x = body.embed_tokens(place.ids)
    else:
        skipped, x = tokens.lower.layers, tokens.lower.states.flatten(0, 1).index_select(0, place.sources)
    turn = _angles(body, x, place)
    for layer in body.layers[skipped:-1]:
        x = _layer(layer, x, turn, place)
    x = _last_layer(body.layers[-1], x, turn, place)
    return _norm(body.norm, x)


@torch.no_grad()
def lower_states(model: Any, tokens: Tokens, layers: int) -> Tensor:
    """What the lowest `layers` layers make of the tokens, [B, T, D]; 0 where no model ever looks: padding."""
    body = model.base_model
    at = torch.arange(tokens.ids.shape[1], device=tokens.ids.device)
    real = at < tokens.lengths[:, None]
    place = layout(tokens, real, body.norm.weight.dtype)
    x = body.embed_tokens(place.ids)
    turn = _angles(body, x, place)
    for layer in body.layers[:layers]:
        x = _layer(layer, x, turn, place)
    found = x[place.asked.to[place.asked.back]]
    out: Tensor = x.new_zeros(*real.shape, x.shape[1]).masked_scatter_(real[..., None], found)
    return out


def _angles(body: Any, x: Tensor, place: Layout) -> Turn:
    cos, sin = body.rotary_emb(x, place.positions[None])
    half = cos.shape[-1] // 2
    return cos[0, :, None, :half].contiguous(), sin[0, :, None, :half].contiguous()


def _layer(layer: Any, x: Tensor, turn: Turn, place: Layout) -> Tensor:
    attention = layer.self_attn
    if is_compiled and compiled.covers(layer):
        heads = compiled.heads(layer, x, *turn)
    else:
        heads = _heads(attention, _norm(layer.input_layernorm, x), turn, "qkv")
    first = place.prompt_tokens
    asked = _open(heads[:first] if place.answers else heads, place.prompts, attention, "qkv")
    mixed = _close(_attend(asked[0], asked[1], asked[2], None, attention.scaling), place.prompts)
    if place.answers is not None:
        q, k, v = _open(heads[first:], place.answers, attention, "qkv", first)
        k, v = _after(asked[1], k, place.group), _after(asked[2], v, place.group)
        answers = _close(_attend(q, k, v, place.answers.seen, attention.scaling), place.answers)
        mixed = torch.cat([mixed, answers])
    return _finish(layer, x, mixed)


def _last_layer(layer: Any, x: Tensor, turn: Turn, place: Layout) -> Tensor:
    """Keys and values of every token, queries only where a state is needed: [n, D]."""
    attention, normal, asked = layer.self_attn, _norm(layer.input_layernorm, x), place.asked
    rows, first = asked.to[asked.back], place.prompt_tokens
    heads = _heads(attention, normal, turn, "kv")
    keys, values = _open(heads[:first] if place.answers else heads, place.prompts, attention, "kv")
    if place.answers is not None:
        k, v = _open(heads[first:], place.answers, attention, "kv", first)
        keys, values = _after(keys, k, place.group), _after(values, v, place.group)
    elif place.group is not None:
        keys, values = keys[place.group], values[place.group]
    queries = _heads(attention, normal.index_select(0, rows), (turn[0][rows], turn[1][rows]), "q")
    spread = torch.zeros_like(asked.to)
    spread[asked.back] = torch.arange(len(rows), device=x.device)
    (q,) = _open(queries, Block(spread, asked.back, asked.shape, None), attention, "q")
    mixed = _close(_attend(q, keys, values, asked.seen, attention.scaling), asked)
    return _finish(layer, x.index_select(0, rows), mixed)


def _norm(norm: Any, x: Tensor) -> Tensor:
    out: Tensor = RmsNorm.apply(x, norm.weight, norm.variance_epsilon)
    return out


def _joined(x: Tensor, *modules: Any) -> Tensor:
    """Several maps of one input side by side; as one product where they're linear maps (an adapter is not), and narrow."""
    if len(modules) == 1:
        only: Tensor = modules[0](x)
        return only
    if any(type(m) is not nn.Linear for m in modules) or modules[0].in_features > NARROW:
        return torch.cat([m(x) for m in modules], dim=-1)
    bias = torch.cat([m.bias for m in modules]) if modules[0].bias is not None else None
    return F.linear(x, torch.cat([m.weight for m in modules]), bias)


def _counts(attention: Any, which: str) -> list[int]:
    """How many heads of each of q, k, v."""
    return [getattr(attention, f"{name}_proj").out_features // attention.head_dim for name in which]


def _heads(attention: Any, x: Tensor, turn: Turn, which: str) -> Tensor:
    """Those of q, k, v that `which` names, turned by their positions, side by side: [N, heads, size]."""
    out = _joined(x, *(getattr(attention, f"{name}_proj") for name in which)).view(len(x), -1, attention.head_dim)
    counts = _counts(attention, which)
    if hasattr(attention, "q_norm"):  # Qwen3
        parts = out.split(counts, dim=1)
        named = [(getattr(attention, f"{n}_norm", None), p) for n, p in zip(which, parts, strict=True)]
        out = torch.cat([p if norm is None else _norm(norm, p) for norm, p in named], dim=1)
    turned = sum(c for c, name in zip(counts, which, strict=True) if name != "v")
    found: Tensor = Rotary.apply(out, *turn, turned)
    return found


def _open(x: Tensor, block: Block, attention: Any, which: str, first: int = 0) -> tuple[Tensor, ...]:
    """Packed rows [N, heads, size], of which the first is number `first`, as blocks [n, heads, t, size] of q, k, v."""
    rows = Rearranged.apply(x, (block.to - first).clamp(min=0) if first else block.to, block.back)
    parts = rows.view(*block.shape, *x.shape[1:]).split(_counts(attention, which), dim=2)
    return tuple(p.transpose(1, 2) for p in parts)


def _close(mixed: Tensor, block: Block) -> Tensor:
    """The other way: [n, heads, t, size] -> [N, heads·size]."""
    flat = mixed.transpose(1, 2).reshape(block.shape[0] * block.shape[1], -1)
    if len(block.back) == len(flat):
        return flat
    found: Tensor = Gathered.apply(flat, block.back)
    return found


def _after(prompts: Tensor, answers: Tensor, group: Tensor | None) -> Tensor:
    """Keys or values of each response after those of its prompt: [B, heads, P + R, size]."""
    return torch.cat([prompts if group is None else prompts[group], answers], dim=2)


def _attend(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, scale: float) -> Tensor:
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=seen, is_causal=seen is None, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
    )


def _finish(layer: Any, x: Tensor, mixed: Tensor) -> Tensor:
    if is_compiled and compiled.covers(layer):
        return compiled.finish(layer, x, mixed)
    x = x + layer.self_attn.o_proj(mixed)
    inner = _norm(layer.post_attention_layernorm, x)
    inner = SwiGlu.apply(_joined(inner, layer.mlp.gate_proj, layer.mlp.up_proj))
    out: Tensor = x + layer.mlp.down_proj(inner)
    return out
