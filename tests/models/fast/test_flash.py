"""Attention without padding: with a stand-in for flash-attn's function that computes what its documentation says."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from trueward import config
from trueward.batches import Tokens
from trueward.models import precision
from trueward.models.fast import flash, packed
from trueward.pipeline.process import process_settings

CPU = torch.device("cpu")
COMMON: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "vocab_size": 50,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 3},
    "qwen2": {"num_key_value_heads": 4},
    "gemma2": {"head_dim": 6, "sliding_window": 3, "query_pre_attn_scalar": 10, "attn_logit_softcapping": 1.5},
}
A, B = [3, 9, 12, 7], [4, 8]
BATCHES = {
    "a shared prompt": [(A, [20, 11, 2, 6]), (B, [15, 14, 10, 3, 2]), (A, [17, 5])],
    "different prompts": [(A, [20, 11, 2, 6]), (B, [15])],
}


def varlen(
    q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, max_q: int, max_k: int, *,
    softmax_scale: float, causal: bool, deterministic: bool, window_size: tuple[int, int] = (-1, -1), softcap: float = 0.0,
) -> Tensor:  # fmt: skip
    """flash_attn_varlen_func, row by row: causal from the bottom right, a window to the left, tanh-capped logits."""
    assert (cu_q.dtype, cu_k.dtype, causal, deterministic) == (torch.int32, torch.int32, True, True)
    assert int(cu_q.diff().max()) == max_q
    assert int(cu_k.diff().max()) == max_k
    out = []
    for row in range(len(cu_q) - 1):
        a, b, c, d = int(cu_q[row]), int(cu_q[row + 1]), int(cu_k[row]), int(cu_k[row + 1])
        times = q.shape[1] // k.shape[1]
        keys, values = (x[c:d].repeat_interleave(times, 1) for x in (k, v))
        logits = torch.einsum("qhd,khd->hqk", q[a:b], keys) * softmax_scale
        if softcap:
            logits = softcap * torch.tanh(logits / softcap)
        behind = (torch.arange(b - a)[:, None] + (d - c) - (b - a)) - torch.arange(d - c)[None]
        near = (behind >= 0) & ((behind <= window_size[0]) if window_size[0] >= 0 else True)
        out.append(torch.einsum("hqk,khd->qhd", logits.masked_fill(~near, -torch.inf).softmax(-1), values))
    return torch.cat(out)


def model(family: str) -> Any:
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **COMMON | FAMILIES[family]))
    return made.eval()


def where(tokens: Tokens, what: str) -> Tensor:
    if what == "all of the answers":
        return tokens.before
    last = torch.arange(tokens.ids.shape[1]) == tokens.lengths[:, None] - 1
    return last if what == "the last token" else last | (torch.arange(tokens.ids.shape[1]) == 1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("what", ["all of the answers", "the last token", "with a gap"])
def test_states_and_gradients_are_those_of_torchs_kernels(family: str, batch: str, what: str) -> None:
    tokens = Tokens.collate(BATCHES[batch], pad=0)
    network, needed = model(family), where(tokens, what)
    calls: list[int] = []

    def counted(*args: Any, **more: Any) -> Tensor:
        calls.append(args[5])
        return varlen(*args, **more)

    found = {}
    for kernel in (None, counted):
        network.zero_grad()
        with flash.attending_with(kernel):
            states = packed.states(network, tokens, needed)
        (states * torch.sin(torch.arange(states.numel())).view_as(states)).sum().backward()
        found[kernel is None] = states.detach(), [p.grad.clone() for p in network.parameters() if p.grad is not None]
    torch.testing.assert_close(found[False][0], found[True][0], atol=1e-5, rtol=1e-4)
    for ours, theirs in zip(found[False][1], found[True][1], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)
    blocks = 2 if batch == "a shared prompt" else 1
    assert len(calls) == 2 * blocks + (
        what != "with a gap"
    )  # of the last layer's queries only those that go on to the end


def install(monkeypatch: pytest.MonkeyPatch, function: Any) -> None:
    monkeypatch.setattr("trueward.extras.is_installed", lambda module: True)
    monkeypatch.setitem(sys.modules, "flash_attn", SimpleNamespace(flash_attn_varlen_func=function))


def test_what_is_asked_for_and_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    assert flash.chosen("sdpa", cuda, precision.LOW) is flash.chosen("auto", cuda, precision.LOW) is None
    with pytest.raises(ValueError, match=r"needs flash-attn: .* install .*flash"):
        flash.chosen("flash", cuda, precision.LOW)
    install(monkeypatch, varlen)
    with pytest.raises(ValueError, match="needs a CUDA device and products in bfloat16, and here are cpu, float32"):
        flash.chosen("flash", CPU, torch.float32)
    assert flash.chosen("auto", CPU, torch.float32) is None
    monkeypatch.setattr(flash, "_missing", lambda device, dtype: "")
    assert flash.chosen("auto", CPU, torch.float32) is flash.chosen("flash", CPU, precision.LOW) is varlen


@pytest.mark.parametrize("fault", ["no window", "top left", "another signature"])
def test_a_kernel_that_gives_other_numbers_is_not_taken(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    def wrong(*args: Any, **more: Any) -> Tensor:
        if fault == "no window":
            more.pop("window_size", None)
        if fault == "top left":
            return varlen(args[0].flip(0), *args[1:], **more)
        if fault == "another signature":
            raise TypeError("got an unexpected keyword argument 'deterministic'")
        return varlen(*args, **more)

    install(monkeypatch, wrong)
    monkeypatch.setattr(flash, "_missing", lambda device, dtype: "")
    assert flash.chosen("auto", CPU, torch.float32) is None
    with pytest.raises(ValueError, match="flash-attn gives other numbers than torch here"):
        flash.chosen("flash", CPU, torch.float32)


def test_it_is_on_for_as_long_as_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, varlen)
    monkeypatch.setattr(flash, "_missing", lambda device, dtype: "")
    with process_settings(config.read("tiny", [])):
        assert flash.is_on()
    assert not flash.is_on()
    with process_settings(config.read("tiny", ["runtime.attention=sdpa"])):
        assert not flash.is_on()
