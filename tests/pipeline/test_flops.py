"""Operations counted by torch and our formulas, against counts by hand: the fast path, compiled too, adapters, the sampler."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from trueward.batches import Tokens
from trueward.config import LoraConfig
from trueward.models import heads, lora
from trueward.models.fast import packed
from trueward.pipeline.flops import flop_counter
from trueward.sampling.fast import FastDecoder
from trueward.sampling.linear_kernels import Bfloat16, Int8, Packed, Transposed

D, FF, LAYERS, HEADS, KV, SIZE, V = 32, 48, 3, 4, 2, 8, 40
ROWS = [([1, 9, 12, 7], [20, 31, 2]), ([1, 8], [25, 14, 33, 5, 2]), ([3], [5, 6])]  # no two share a prompt
READ = [6, 6, 2]  # tokens of each row that a state is needed of, or comes after: the last one chooses nothing
NEEDED, WIDE, MOST = 3 + 5 + 2, 6, 5  # states needed; the padded blocks of the attention are 3·6 and 3·5 queries
Q_O, K_V, MLP = 2 * D * HEADS * SIZE, 2 * D * KV * SIZE, 3 * D * FF  # weights of a layer


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    settings = LlamaConfig(
        hidden_size=D, intermediate_size=FF, num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=KV,
        vocab_size=V, max_position_embeddings=32, tie_word_embeddings=False, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(settings)


def forward_by_hand() -> int:
    """2 a weight and packed token; in the last layer queries and what follows only where a state is needed."""
    read = sum(READ)
    products = (LAYERS - 1) * (Q_O + K_V + MLP) * read + K_V * read + (Q_O + MLP + D * V) * NEEDED
    attention = 2 * HEADS * SIZE * len(ROWS) * ((LAYERS - 1) * WIDE * WIDE + MOST * WIDE)  # q·kᵀ and p·v
    return 2 * (products + attention)


def counted(model: Any, learns: bool) -> int:
    tokens = Tokens.collate(ROWS, 0)
    with flop_counter() as counter, torch.set_grad_enabled(learns):
        logprobs = heads.response_logprobs(model, tokens)
        if learns:
            logprobs.sum().backward()
    return int(counter.get_total_flops())


def test_the_fast_path_without_a_gradient(model: Any) -> None:
    assert packed.covers(model)
    assert counted(model, False) == forward_by_hand()


def test_a_backward_pass_is_two_forward_passes(model: Any) -> None:
    """And half a pass more of the attention's two products, where it computes the scores again."""
    attention = 4 * HEADS * SIZE * len(ROWS) * ((LAYERS - 1) * WIDE * WIDE + MOST * WIDE)
    by_blocks = forward_by_hand() * 3
    assert (
        by_blocks <= counted(model, True) <= by_blocks + attention // 2
    )  # with an explicit mask nothing need be computed again


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="there is no C++ compiler")
@pytest.mark.filterwarnings("ignore")  # what torch's compiler warns of while it compiles is its own business
def test_compiled_layers_count_the_same(model: Any) -> None:
    eager = counted(model, True)
    with packed.compiled_layers(True):
        assert counted(model, True) == eager


def test_frozen_weights_get_no_gradient(model: Any) -> None:
    """With an adapter of rank r a layer adds 2·r·(in + out) a token, and its own weights are passed twice, not three times."""
    whole = counted(model, True)
    lora.adapt(model, LoraConfig(rank=2, alpha=4), seed=0)
    forward = counted(model, False)
    maps = (D + HEADS * SIZE) + (HEADS * SIZE + D), 2 * (D + KV * SIZE), 3 * (D + FF)
    read = sum(READ)
    added = 2 * 2 * ((LAYERS - 1) * sum(maps) * read + maps[1] * read + (maps[0] + maps[2]) * NEEDED)
    assert forward == forward_by_hand() + added
    assert 2 * forward < counted(model, True) < min(3 * forward, whole)


@pytest.mark.parametrize(("kernel", "digits"), [(Transposed, 1), (Packed, 1), (Bfloat16, 1), (Int8, 2)])
@pytest.mark.parametrize("rows", [3, 100])
def test_a_product_of_the_samplers(kernel: Any, digits: int, rows: int) -> None:
    """2·n·k·m, and twice as many in whole numbers of two digits."""
    product, x = kernel(torch.randn(24, 16)), torch.randn(rows, 16)
    with flop_counter() as counter:
        product(x)
        product.onto(x, torch.zeros(rows, 24))
    assert counter.get_total_flops() == 2 * digits * (2 * rows * 16 * 24)


@torch.no_grad()
def test_a_step_of_the_sampler(model: Any) -> None:
    decoder = FastDecoder(model)
    decoder.start(3, 12)
    decoder.prefill(torch.arange(3), torch.randint(1, V, (3, 5)), torch.tensor([5, 5, 5]))
    with flop_counter() as counter:
        decoder.step(torch.tensor([4, 5, 6]), torch.tensor([5, 5, 5]), 6)
    weights = LAYERS * (Q_O + K_V + MLP) + D * V
    assert counter.get_total_flops() == 2 * 3 * (weights + 2 * LAYERS * HEADS * SIZE * 6)  # six keys
