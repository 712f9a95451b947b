"""Weights that were quantised before: read where their library is installed, else refused in one line that names it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from families import CPU, change, save_model
from torch import Tensor, nn

from trueward.models import loading, places, whole

SETTINGS: dict[str, dict[str, Any]] = {
    "gptq": {"bits": 4, "group_size": 128, "desc_act": False, "dataset": "c4"},
    "awq": {"bits": 4, "group_size": 128},
    "bitsandbytes": {"load_in_4bit": True},
    "compressed-tensors": {"config_groups": {}},
    "hqq": {},
    "torchao": {"quant_type": "int4"},
    "aqlm": {},
}


@pytest.mark.parametrize("method", SETTINGS)
def test_a_library_that_is_missing_is_named_in_one_line(method: str, tmp_path: Path) -> None:
    package = places.LIBRARIES[method].split()[0]
    if importlib.util.find_spec(package.replace("-", "_")):
        pytest.skip(f"{package} is installed")
    place = save_model(tmp_path / "model")
    change(place / "config.json", quantization_config={"quant_method": method, **SETTINGS[method]})
    with pytest.raises(ValueError, match=rf"its weights are quantised \({method}\).*install {package}") as caught:
        loading.causal(str(place), 0, CPU)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(place))


class Packed(nn.Module):
    """A layer that a quantisation library would put there: whole numbers with a scale, and products in float16 alone."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = 6, 4
        self.register_buffer("qweight", torch.randint(-8, 8, (4, 6), dtype=torch.int8))
        self.register_buffer("offset", torch.ones(4, dtype=torch.float16) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != torch.float16:
            raise RuntimeError("expected Half")
        out = (x.float() @ self.qweight.float().T * 0.25).half()
        return out if self.offset is None else out + self.offset


class Quantised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.inner = Packed(True), nn.Sequential(Packed(False), nn.LayerNorm(4))
        self.config = SimpleNamespace(quantization_config={"quant_method": "gptq"})
        self.hf_quantizer, self.is_quantized = object(), True

    def dequantize(self, dtype: Any) -> None:
        raise NotImplementedError


def test_quantised_layers_become_plain_ones() -> None:
    torch.manual_seed(0)
    model = Quantised()
    expected = [0.25 * layer.qweight.float() for layer in (model.one, model.inner[0])]
    whole.plain(model)
    for layer, weight in zip((model.one, model.inner[0]), expected, strict=True):
        assert type(layer) is nn.Linear
        assert torch.equal(layer.weight, weight)
    assert torch.equal(model.one.bias, torch.ones(4))
    assert model.inner[0].bias is None
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not hasattr(model, "is_quantized")
    assert not hasattr(model.config, "quantization_config")
    whole.plain(nn.Linear(2, 2))  # one that was plain all along stays as it is


def test_a_layer_that_can_not_be_applied_here_is_named() -> None:
    layer = Packed(False)
    layer.qweight = torch.zeros(4, 7, dtype=torch.int8)
    with pytest.raises(ValueError, match=r"the quantised weights of a\.b can't be made plain numbers"):
        whole.as_linear(layer, "a.b")


@pytest.mark.parametrize("bits", [4, 8])
def test_bitsandbytes(bits: int, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed, and not among the tests' requirements")
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    place = save_model(tmp_path / "model")
    settings = BitsAndBytesConfig(load_in_4bit=bits == 4, load_in_8bit=bits == 8)
    theirs = AutoModelForCausalLM.from_pretrained(place, quantization_config=settings)
    theirs.save_pretrained(place)
    network = loading.causal(str(place), 0, CPU)
    assert {p.dtype for p in network.model.parameters()} == {torch.float32}
    assert type(network.model.model.layers[0].mlp.up_proj) is nn.Linear
    ids = torch.tensor([[1, 5, 6, 7]])
    torch.testing.assert_close(network.model(ids).logits, theirs(ids).logits.float(), atol=0.2, rtol=0)
    loading.save(network, tmp_path / "saved")
    again = loading.causal(str(tmp_path / "saved"), 0, CPU)
    assert torch.equal(again.model(ids).logits, network.model(ids).logits)
