"""Ratios, floors and exponents of the benchmarks, by hand."""

import math

import pytest
import torch
from speed import arithmetic
from speed.arithmetic import Work
from speed.sizes import SIZES, L, S, Size
from transformers import LlamaForCausalLM


def test_runs_are_compared_with_those_beside_them() -> None:
    # The machine halves its speed after the first pair. Unpaired medians would say 1.5; every pair says 2 or 3.
    found = arithmetic.ratio([200, 90, 100], [100, 30, 50])
    assert found == pytest.approx((2.0, 2.0, 3.0))


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1.0], [1.0, 2.0])])
def test_no_ratio_without_pairs(ours: list[float], theirs: list[float]) -> None:
    with pytest.raises(ValueError, match="no pairs"):
        arithmetic.ratio(ours, theirs)


@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
def test_weights_are_those_of_the_model(size: Size) -> None:
    from speed.material import config

    with torch.device("meta"):
        model = LlamaForCausalLM(config(size))
    matrices = {name: p.numel() for name, p in model.named_parameters() if p.ndim == 2}
    assert size.head == matrices.pop("model.embed_tokens.weight")
    assert size.trunk == sum(matrices.values())


def test_the_sizes_are_those_that_are_named() -> None:
    assert S.trunk == 1_048_576
    assert L.trunk + L.head == pytest.approx(134.5e6, rel=1e-3)  # SmolLM2-135M without its norms' weights


ONE = Size(name="one", width=2, layers=1, heads=1, kv_heads=1, middle=4, vocabulary=5, longest_answer=1, batch=1,
           rollouts=1, sampled=1, steps={}, pairs=1)  # fmt: skip


def test_operations_by_hand() -> None:
    # q, k, v, out: 4 · 2·2; gate, up, down: 3 · 2·4; the head: 2·5.
    assert (ONE.trunk, ONE.head) == (40, 10)
    work = Work(tokens=3, chosen=1)
    # Forward and backward are 6 operations a weight and token.
    assert arithmetic.operations("sft", ONE, work) == 6 * 50 * 3
    assert arithmetic.needed("sft", ONE, work) == 6 * (40 * 3 + 10 * 1)
    assert arithmetic.operations("reward", ONE, work) == 6 * 40 * 3
    assert arithmetic.operations("dpo", ONE, work) == (6 + 2) * 50 * 3
    # Learning, the reference and sampling through all of it; the reward model through the trunk.
    assert arithmetic.operations("grpo", ONE, work) == (6 + 2 + 2) * 50 * 3 + 2 * 40 * 3
    ppo = (4 * 6 + 2 + 2) * 50 * 3 + (4 * 6 + 2 + 2) * 40 * 3
    assert arithmetic.operations("ppo", ONE, work, epochs=4) == ppo
    assert arithmetic.needed("ppo", ONE, work, epochs=4) == 28 * (40 * 3 + 10 * 1) + 28 * 40 * 3


def test_share_is_one_where_nothing_is_lost() -> None:
    assert arithmetic.share(rate=50.0, operations_each=2e9, limit=100e9) == 1.0


def test_decoding_is_bound_by_memory_or_by_products() -> None:
    assert 4 * (S.trunk + S.head) < arithmetic.CACHE < 4 * (L.trunk + L.head)
    weights = L.trunk + L.head
    by_memory = arithmetic.decoding_floor(L, rows=1, prompt=0, answer=10, limit=1e12, bandwidth=20e9)
    assert by_memory == pytest.approx(10 * 4 * weights / 20e9)
    by_products = arithmetic.decoding_floor(L, rows=1000, prompt=0, answer=10, limit=1e12, bandwidth=20e9)
    assert by_products == pytest.approx(10 * 2 * weights * 1000 / 1e12)
    cached = arithmetic.decoding_floor(S, rows=1, prompt=8, answer=10, limit=1e12, bandwidth=1.0)
    assert cached == pytest.approx((2 * 8 * S.trunk + 10 * 2 * (S.trunk + S.head)) / 1e12)


def test_exponent() -> None:
    amounts = [1000, 2000, 4000]
    assert arithmetic.exponent(amounts, [a**1.5 for a in amounts]) == pytest.approx(1.5)
    assert arithmetic.exponent(amounts, [7.0, 7.0, 7.0]) == pytest.approx(0.0)
    assert not math.isclose(arithmetic.exponent(amounts, [1.0, 2.0, 5.0]), 1.0, abs_tol=0.1)
    with pytest.raises(ValueError, match="two amounts"):
        arithmetic.exponent([1], [1])
