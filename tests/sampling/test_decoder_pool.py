"""A decoder is used again while its model's weights are what they were, and never after."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from trueward.config import LoraConfig
from trueward.models import lora
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling import sampler
from trueward.sampling.decoder_pool import DecoderPool, forgotten_after_steps
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample
from trueward.training.state import State, adam

MakeNetwork = Callable[..., Network]
Made = list[str]


@pytest.fixture(autouse=True)
def _watched() -> Iterator[None]:
    """As in a run. A fused optimiser's steps can be seen in no other way."""
    with forgotten_after_steps():
        yield


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """What decoders were made, by how coarse they are."""
    found: Made = []
    inner = sampler.decoder_for

    def decoder_for(network: Network, quantize: str = "none") -> Any:
        found.append(quantize)
        return inner(network, quantize)

    monkeypatch.setattr(sampler, "decoder_for", decoder_for)
    return found


def draw(network: Network, prompts: list[Prompt], kept: DecoderPool | None, quantize: str = "none") -> torch.Tensor:
    settings = SamplingParams(max_new_tokens=8, max_num_seqs=6, quantize=quantize)
    return sample(network, prompts, settings, Draws(1), pool=kept).logprobs


def learn(network: Network) -> None:
    optimizer = adam(network.model, 0.05)
    ids = torch.randint(3, 20, (2, 5))
    network.model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()


def copied(network: Network) -> None:
    with torch.no_grad():
        for p in network.model.parameters():
            p.copy_(p * 1.5)


def read_from_disk(network: Network, folder: Path) -> None:
    state = State({"policy": network.model}, {})
    state.save(folder / "as-it-was", {})
    copied(network)
    state.save(folder / "other", {})
    state.load(folder / "as-it-was")
    state.load(folder / "other")


def loaded(network: Network) -> None:
    network.model.load_state_dict({k: v * 1.5 for k, v in network.model.state_dict().items()})


def replaced(network: Network) -> None:
    for p in network.model.parameters():
        p.data = p.data * 1.5


@pytest.mark.parametrize("quantize", ["none", "int8", "bfloat16"])
def test_the_same_weights_are_laid_out_once(
    make_policy: MakeNetwork, toy_prompts: list[Prompt], made: Made, quantize: str
) -> None:
    network, kept = make_policy(), DecoderPool()
    several = [draw(network, toy_prompts, kept, quantize) for _ in range(3)]
    assert made == [quantize]
    fresh = draw(network, toy_prompts, None, quantize)
    assert all(torch.equal(one, fresh) for one in several)


@pytest.mark.parametrize("change", [learn, copied, loaded, replaced, read_from_disk])
def test_changed_weights_are_laid_out_anew(
    make_policy: MakeNetwork, toy_prompts: list[Prompt], made: Made, change: Callable[..., None], tmp_path: Path
) -> None:
    network, kept = make_policy(), DecoderPool()
    before = draw(network, toy_prompts, kept)
    change(network, tmp_path) if change is read_from_disk else change(network)
    after = draw(network, toy_prompts, kept)
    assert made == ["none", "none"]
    assert not torch.equal(before, after)
    assert torch.equal(after, draw(network, toy_prompts, None))


def test_an_adapter_that_learns_is_another_policy(
    make_policy: MakeNetwork, toy_prompts: list[Prompt], made: Made
) -> None:
    network, kept = make_policy(), DecoderPool()
    lora.adapt(network.model, LoraConfig(rank=2), seed=0)
    before = draw(network, toy_prompts, kept)
    learn(network)
    assert not torch.equal(before, draw(network, toy_prompts, kept))
    assert made == ["none", "none"]


def test_one_is_kept_and_no_other_models(make_policy: MakeNetwork, toy_prompts: list[Prompt], made: Made) -> None:
    first, second, kept = make_policy(), make_policy(initializer_range=0.3), DecoderPool()
    draw(first, toy_prompts, kept)
    other = draw(second, toy_prompts, kept)
    assert torch.equal(other, draw(second, toy_prompts, None))
    draw(second, toy_prompts, kept, "int8")
    draw(first, toy_prompts, kept)
    assert made == ["none", "none", "none", "int8", "none"]


def test_it_is_out_while_it_is_used(make_policy: MakeNetwork) -> None:
    network, kept = make_policy(), DecoderPool()
    decoder = sampler.decoder_for(network)
    kept.put(network.model, "none", decoder)
    assert kept.take(network.model, "none") is decoder
    assert kept.take(network.model, "none") is None


def test_it_goes_with_its_model_and_as_soon_as_anything_learns(make_policy: MakeNetwork) -> None:
    network, other, kept = make_policy(), make_policy(), DecoderPool()
    kept.put(network.model, "none", object())
    learn(other)
    assert kept._decoder is None, "its memory is wanted now"
    kept.put(network.model, "none", object())
    del network
    gc.collect()
    assert kept._decoder is None


def test_a_failure_keeps_nothing(make_policy: MakeNetwork, toy_prompts: list[Prompt], made: Made) -> None:
    network, kept = make_policy(), DecoderPool()
    draw(network, toy_prompts, kept)

    def fails(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(network, toy_prompts, SamplingParams(max_new_tokens=8), Draws(0), fails, kept)
    draw(network, toy_prompts, kept)
    assert made == ["none", "none"]


def test_where_nobody_sees_that_a_model_learns_nothing_is_kept() -> None:
    """In a process of its own, without the scope that every test here is in: correct, if slower."""
    script = """
import torch
from torch.optim import optimizer
from trueward.sampling.decoder_pool import DecoderPool, forgotten_after_steps

pool, model = DecoderPool(), torch.nn.Linear(2, 2)
pool.put(model, "none", object())
assert pool.take(model, "none") is None
for _ in range(2):
    with forgotten_after_steps(), forgotten_after_steps():
        pool.put(model, "none", object())
        assert pool._decoder is not None
    assert pool._decoder is None, "its end is the end of what was kept"
    assert not optimizer._global_optimizer_post_hooks
pool.put(model, "none", object())
assert pool._decoder is None
"""
    subprocess.run([sys.executable, "-c", script], check=True)
