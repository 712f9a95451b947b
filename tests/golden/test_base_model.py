"""The shipped base model: what it says of itself is so, and its build starts the same way again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trueward import seeds
from trueward.data import reviews
from trueward.models import loading

ROOT = Path(__file__).parents[2]
BASE = ROOT / "src" / "trueward" / "assets" / "base"
TRAINING = json.loads((BASE / "training.json").read_text())


@pytest.fixture(scope="module")
def base():
    return loading.causal("trueward:base", 0, torch.device("cpu"))


def test_size_and_form(base):
    config = json.loads((BASE / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["dtype"] == "float16"
    assert 3e6 <= loading.parameters(base.model) <= 8e6
    assert sum(f.stat().st_size for f in BASE.rglob("*")) <= 16e6
    assert base.model.dtype == torch.float32
    assert len(base.tokenizer) == 4096


def test_no_review_text_ships():
    """A model and its tokenizer are there, and nothing long enough to be a review."""
    assert {f.name for f in BASE.iterdir()} == {
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    }


def test_held_out_perplexity_is_what_the_card_says(base):
    """On the start of each held-out review, whole batches: near what the build measured on packed rows of 256."""
    held_out = [r.text for r in reviews.load("imdb") if seeds.fraction("base:" + r.text) < 0.1][:160]
    nll = tokens = 0.0
    with torch.no_grad():
        for text in held_out:
            ids = torch.tensor([base.tokenizer(text, truncation=True, max_length=256)["input_ids"]])
            logits = base.model(input_ids=ids).logits[0, :-1]
            nll += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
            tokens += ids.shape[1] - 1
    assert nll / tokens == pytest.approx(TRAINING["curve"][-1]["held_out"], abs=0.1)


@pytest.mark.timeout(300)
def test_the_build_starts_with_the_same_loss():
    """One step from the seed gives the loss on record: the same text, tokenizer, weights and batch."""
    command = [sys.executable, str(ROOT / "scripts" / "build_base_model.py"), "--stop-after", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["step"] == 1
    assert found["loss"] == pytest.approx(TRAINING["curve"][0]["loss"], abs=1e-4)
    assert found["held_out"] == pytest.approx(TRAINING["curve"][0]["held_out"], abs=1e-3)
