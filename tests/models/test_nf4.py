"""A base in four bits: the values that the paper says, gradients through them, and the same model wherever it is read."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from trueward import config, pipeline
from trueward.batches import Tokens
from trueward.config import LoraConfig
from trueward.models import loading, lora, nf4, precision, shared_base
from trueward.models.network import Network
from trueward.progress import Progress
from trueward.sampling.fast import FastDecoder

CPU = torch.device("cpu")
# The 16 values of NF4: quantiles of a normal distribution, with zero (QLoRA, appendix E).
VALUES = np.array([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
])  # fmt: skip


def tokens() -> Tokens:
    return Tokens.collate([([1, 7, 9], [8, 9, 2]), ([1, 11], [12, 30, 17, 2]), ([1, 5, 6, 8], [40])], pad=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nf4") / "sft" / "model"
    path.parent.mkdir()
    loading.save(loading.causal("trueward:tiny", 3, CPU), path)
    return path


def learner(folder: Path, seed: int = 0, *, save: str = "merged", dtype: torch.dtype | None = None) -> Network:
    settings = LoraConfig(rank=8, base="nf4", save=save)  # type: ignore[arg-type]
    network = shared_base.adapted(shared_base.policy(str(folder), 0, CPU, dtype, "nf4"), settings, seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in lora.own_parameters(network.model).values():
            p.add_(0.05 * torch.randn(p.shape, generator=draw))
    return network


def logits(network: Network) -> Tensor:
    with torch.no_grad():
        found: Tensor = network.model(input_ids=tokens().ids).logits
        return found


@pytest.mark.parametrize("shape", [(48, 128), (48, 160), (4, 80)], ids=str)  # rows of whole blocks of 64, and others
def test_the_values_are_those_of_the_paper(shape: tuple[int, int]) -> None:
    draw = torch.Generator().manual_seed(0)
    weight = 0.02 * torch.randn(*shape, generator=draw)
    blocks = weight.double().numpy().reshape(-1, nf4.BLOCK)
    scales = np.abs(blocks).max(1, keepdims=True)
    nearest = np.abs((blocks / scales)[..., None] - VALUES).argmin(-1)
    wanted = (VALUES[nearest] * scales).reshape(shape)
    np.testing.assert_allclose(nf4.quantized(weight).numpy(), wanted, atol=1e-8)


def test_quantising_again_changes_no_bit() -> None:
    draw = torch.Generator().manual_seed(1)
    once = nf4.quantized(torch.randn(64, 96, generator=draw))
    assert torch.equal(nf4.quantized(once), once)


def test_a_product_and_its_gradient_are_those_of_the_plain_numbers() -> None:
    draw = torch.Generator().manual_seed(2)
    plain, model = nn.Linear(96, 64), nn.Module()
    model.base_model = nn.Sequential(nn.Linear(96, 64))  # type: ignore[assignment]
    (own,) = model.base_model
    own.load_state_dict(plain.state_dict())
    nf4.quantize(model.requires_grad_(False))
    with torch.no_grad():
        plain.weight.copy_(nf4.quantized(plain.weight))
    x = torch.randn(5, 96, generator=draw)
    first, second = x.clone().requires_grad_(True), x.clone().requires_grad_(True)
    kept: list[torch.Size] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        out = own(first)
    assert torch.Size((64, 96)) not in kept  # no plain numbers wait for the backward pass
    torch.testing.assert_close(out, plain(second))
    out.square().sum().backward()
    plain(second).square().sum().backward()
    torch.testing.assert_close(first.grad, second.grad)
    assert sum(t.numel() * t.element_size() for t in (own.packed, own.scales)) * 8 == nf4.BITS * 64 * 96


def test_networks_share_the_packed_weights(folder: Path) -> None:
    one, other = learner(folder, 1), learner(folder, 2)
    pairs = [
        (a, b) for a, b in zip(one.model.modules(), other.model.modules(), strict=True) if isinstance(a, nf4.Nf4Linear)
    ]
    assert pairs
    for a, b in pairs:
        assert a.packed.data_ptr() == b.packed.data_ptr()  # type: ignore[union-attr]
    assert not torch.equal(logits(one), logits(other))
    assert loading.parameters(shared_base.policy(str(folder), 0, CPU, None, "nf4").model) == loading.parameters(
        loading.causal(str(folder), 0, CPU).model
    )


def test_a_plain_base_and_one_in_four_bits_are_two(folder: Path) -> None:
    plain = shared_base.policy(str(folder), 0, CPU)
    assert not nf4.is_quantized(plain.model)
    assert nf4.is_quantized(shared_base.policy(str(folder), 0, CPU, None, "nf4").model)
    assert FastDecoder.covers(plain.model)
    assert not FastDecoder.covers(learner(folder).model)


@pytest.mark.parametrize("save", ["merged", "adapter"])
def test_what_is_saved_is_the_model_that_was_measured(folder: Path, tmp_path: Path, save: str) -> None:
    """By whoever reads it: the pipeline, a command, transformers."""
    network = learner(folder, save=save)
    measured = logits(network)
    place = tmp_path / "policy" / "model"
    loading.save(network, place)
    torch.testing.assert_close(logits(loading.causal(str(place), 0, CPU)), measured, atol=2e-5, rtol=1e-5)
    again = shared_base.policy(str(place), 0, CPU)
    assert nf4.is_quantized(again.model)  # an adapter's base is kept as it was when the adapter learned
    torch.testing.assert_close(logits(again), measured)
    if save == "merged":
        model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
        torch.testing.assert_close(logits(Network(model, network.tokenizer)), measured, atol=2e-5, rtol=1e-5)


def test_a_base_without_an_adapter_is_saved_as_plain_numbers(folder: Path, tmp_path: Path) -> None:
    network = shared_base.policy(str(folder), 0, CPU, None, "nf4")
    loading.save(network, tmp_path / "model")
    torch.testing.assert_close(
        logits(loading.causal(str(tmp_path / "model"), 0, CPU)), logits(network), atol=2e-5, rtol=1e-5
    )


def test_only_the_adapter_learns(folder: Path) -> None:
    network = learner(folder)
    before = [m.packed.clone() for m in network.model.modules() if isinstance(m, nf4.Nf4Linear)]
    model = network.model
    for p in lora.own_parameters(model).values():
        p.requires_grad_(True)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    losses = []
    for _ in range(8):
        loss = nn.functional.cross_entropy(model(input_ids=tokens().ids).logits.flatten(0, 1), tokens().ids.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    after = [m.packed for m in network.model.modules() if isinstance(m, nf4.Nf4Linear)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_products_in_bfloat16(folder: Path) -> None:
    low, full = learner(folder, dtype=torch.bfloat16), learner(folder)
    with torch.no_grad(), precision.products(low.model):
        found = low.model(input_ids=tokens().ids).logits
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, logits(full), atol=0.1, rtol=0.1)
    assert not torch.equal(found, logits(full))


def test_layers_that_are_stored_otherwise_are_refused() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=16))
    with pytest.raises(ValueError, match="c_attn stores its weights transposed"):
        nf4.quantize(model)
    with pytest.raises(ValueError, match="c_attn stores its weights transposed"):
        nf4.require_fit(model)


def test_without_the_library_it_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("trueward.extras.is_installed", lambda module: module != "bitsandbytes")
    monkeypatch.setattr(nf4, "_library", nf4._library.__wrapped__)
    recipe = config.read("tiny", ["lora.rank=2", "lora.base=nf4"])
    with pytest.raises(ValueError, match=r"lora.base = \"nf4\" needs bitsandbytes: .* install .*nf4"):
        pipeline.run_pipeline(recipe, tmp_path, "run", Progress())
    assert not list((tmp_path / "run").glob("*/model"))
    monkeypatch.setattr("trueward.extras.is_installed", lambda module: True)
    monkeypatch.setitem(sys.modules, "bitsandbytes.functional", None)
    monkeypatch.delitem(sys.modules, "bitsandbytes", raising=False)
    with pytest.raises(ValueError, match="bitsandbytes is there and can't be imported"):
        nf4.require_library()


def test_a_run_of_all_stages(climb: object, tmp_path: Path) -> None:
    """The reference and the policy stand on the same four bits, so the KL at the first step is 0."""
    network = loading.causal("trueward:tiny", 3, CPU)
    loading.save(network, tmp_path / "given")
    changes = ("lora.rank=2", "lora.base=nf4", f"sft.model={tmp_path / 'given'}")
    climb(tmp_path, "run", *changes, until="policy")  # type: ignore[operator]
    looks = (tmp_path / "run/policy/evaluations.jsonl").read_text().splitlines()
    assert '"kl": 0.0' in looks[0]
    sft = loading.causal(str(tmp_path / "run/sft/model"), 0, CPU)
    for module in sft.model.base_model.modules():
        if isinstance(module, nn.Linear):
            assert torch.equal(nf4.quantized(module.weight), module.weight)
