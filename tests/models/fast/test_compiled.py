"""Compiled layers: the same numbers, one compilation for every number of tokens, and one line where there is no compiler."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from trueward import config
from trueward.batches import Tokens
from trueward.models import heads
from trueward.models.fast import compiled, packed
from trueward.pipeline.process import process_settings

A, B = [1, 9, 12, 7], [1, 8]
PAIRS = [(A, [20, 31, 2]), (B, [25, 14, 40, 33, 2]), (A, [17]), ([1, 30, 11], [3, 2])]


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="there is no C++ compiler")
@pytest.mark.filterwarnings("ignore")  # what torch's compiler warns of while it compiles is its own business
def test_log_probs_and_gradients_are_those_of_the_plain_way() -> None:
    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2}
    made = AutoConfig.for_model("qwen2", vocab_size=50, intermediate_size=24, max_position_embeddings=40, **sizes)
    model = AutoModelForCausalLM.from_config(made).float().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    torch._dynamo.reset()  # what another test of this process has compiled doesn't count
    torch._dynamo.utils.counters.clear()
    compilations = []
    for pairs in (PAIRS, PAIRS[:3], [*PAIRS, (B, [5, 6, 7])]):
        tokens, results = Tokens.collate(pairs, 0), []
        for on in (False, True):
            model.zero_grad()
            with packed.compiled_layers(on):
                logprobs = heads.response_logprobs(model, tokens)
                logprobs.sum().backward()
            grads: list[Tensor] = [p.grad for p in model.parameters() if p.grad is not None]
            results.append((logprobs.detach(), torch.cat([g.flatten() for g in grads])))
        assert torch.allclose(results[0][0], results[1][0], atol=1e-5)
        assert torch.allclose(results[0][1], results[1][1], atol=1e-4)
        compilations.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert compilations[0] > 0
    assert compilations[1] == compilations[2]  # the second may have learnt that the number varies; then it is done


def test_the_setting_is_scoped() -> None:
    before = packed.is_compiled
    with packed.compiled_layers(True):
        assert packed.is_compiled
        with packed.compiled_layers(False):
            assert not packed.is_compiled
        assert packed.is_compiled
    with pytest.raises(RuntimeError), packed.compiled_layers(not before):
        raise RuntimeError
    assert packed.is_compiled is before


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    recipe = config.read("tiny", ["runtime.compile=true"])
    with (
        pytest.raises(ValueError, match=r"runtime\.compile: torch\.compile needs a C\+\+ compiler"),
        process_settings(recipe),
    ):
        pass


def test_what_has_adapters_or_norms_of_its_own_is_not_compiled() -> None:
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 4,
    }
    for family, expected in (("llama", True), ("qwen3", False)):
        made = AutoConfig.for_model(family, vocab_size=50, intermediate_size=24, **sizes)
        assert compiled.covers(AutoModelForCausalLM.from_config(made).model.layers[0]) is expected
