"""One plain transformers directory of a run's model: what other tools load, and that it is there whole or not at all."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from trueward.config import LoraConfig
from trueward.models import loading, merging, shared_base
from trueward.models.network import Network

CPU = torch.device("cpu")
TEMPLATE = "{% for m in messages %}{{ m['content'] }} {% endfor %}"


@pytest.fixture
def adapter(tmp_path: Path, make_policy: Callable[..., Network]) -> Path:
    """A run's directory whose policy is an adapter alone, with random weights, beside the SFT model that it is for."""
    standing = make_policy()
    standing.tokenizer.chat_template = TEMPLATE
    standing.model.generation_config.max_new_tokens = 7
    loading.save(standing, tmp_path / "run/sft/model")
    network = shared_base.policy(str(tmp_path / "run/sft/model"), 0, CPU)
    network = shared_base.adapted(network, LoraConfig(rank=2, save="adapter"), 0)
    with torch.no_grad():
        for name, p in network.model.named_parameters():
            if "lora_B" in name:
                p.normal_(0.0, 0.3)
    loading.save(network, tmp_path / "run/policy/model")
    return tmp_path / "run"


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        out: torch.Tensor = model(torch.tensor([[1, 5, 9, 12]])).logits
    return out


def test_adapters_are_added_in(adapter: Path, tmp_path: Path) -> None:
    source = merging.run_model(adapter, "policy")
    assert not (source / "config.json").exists()
    size = merging.merge(source, tmp_path / "plain")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    assert size == (tmp_path / "plain/model.safetensors").stat().st_size
    ours = loading.causal(str(source), 0, CPU).model
    assert torch.equal(logits(plain), logits(ours))
    assert not torch.allclose(logits(plain), logits(AutoModelForCausalLM.from_pretrained(adapter / "sft/model")))
    assert not [n for n, _ in plain.named_parameters() if "lora" in n]
    assert not list((tmp_path / "plain").glob("adapter*"))


def test_tokenizer_template_and_generation_settings_come_along(adapter: Path, tmp_path: Path) -> None:
    merging.merge(adapter / "policy/model", tmp_path / "plain")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "plain")
    assert tokenizer.chat_template == TEMPLATE
    assert json.loads((tmp_path / "plain/generation_config.json").read_text())["max_new_tokens"] == 7
    assert "/" not in (tmp_path / "plain/config.json").read_text(), "no path of this machine is written"


def test_in_half_precision(adapter: Path, tmp_path: Path) -> None:
    whole = merging.merge(adapter / "policy/model", tmp_path / "whole")
    half = merging.merge(adapter / "policy/model", tmp_path / "half", "bfloat16")
    assert half < 0.6 * whole
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "half")
    assert model.dtype == torch.bfloat16
    with pytest.raises(ValueError, match=r"--dtype int3: expected one of float32, bfloat16"):
        merging.merge(adapter / "policy/model", tmp_path / "other", "int3")


def test_what_is_there_stays(adapter: Path, tmp_path: Path) -> None:
    target = tmp_path / "plain"
    target.mkdir()
    merging.merge(adapter / "policy/model", target)  # an empty directory is in nobody's way
    before = {p.name: p.read_bytes() for p in target.iterdir()}
    with pytest.raises(ValueError, match=r"plain: is there already and not empty; give another --out, or remove it"):
        merging.merge(adapter / "sft/model", target)
    assert {p.name: p.read_bytes() for p in target.iterdir()} == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is there already"):
        merging.merge(adapter / "sft/model", tmp_path / "file")


def test_a_full_disk_leaves_nothing(adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(merging, "flush", full)
    with pytest.raises(OSError, match="No space left"):
        merging.merge(adapter / "policy/model", tmp_path / "new/plain")
    assert list((tmp_path / "new").iterdir()) == []


def test_models_that_are_not_there(adapter: Path) -> None:
    with pytest.raises(ValueError, match=r"run: has no best model yet; it has policy, sft"):
        merging.run_model(adapter, "best")
    with pytest.raises(ValueError, match=r"--model last: expected one of policy, best, sft"):
        merging.run_model(adapter, "last")
    with pytest.raises(ValueError, match=r"has no sft model yet; it has none at all"):
        merging.run_model(adapter / "sft", "sft")


def test_a_table_is_refused(tmp_path: Path) -> None:
    loading.save(loading.causal("trueward:nano", 0, CPU), tmp_path / "sft/model")
    with pytest.raises(ValueError, match="is a table, which no other tool can load"):
        merging.run_model(tmp_path, "sft")
