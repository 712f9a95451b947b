"""The recipes that ship, made small: each climbs, or says in one line why it can't."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trueward import artifacts, config, pipeline
from trueward.models import loading
from trueward.progress import Progress

SMALL = (
    "runtime.threads=1",
    "data.demonstrations=trueward:toy",
    "model.base=trueward:tiny",
    "sft.epochs=0.1",
    "comparisons.count=40",
    "policy.steps=2",
    "policy.batch_size=16",
    "policy.best_of_n.n=2",
    "sampler.max_new_tokens=8",
    "evaluation.final_prompts=16",
    "evaluation.step_prompts=16",
    "evaluation.every=1",
    "evaluation.control=never",
)
JUDGE = ("judge.model=trueward:tiny", 'judge.choices=["warm","dull"]')


@pytest.mark.parametrize(
    ("name", "changes", "verified"),
    [("principle", JUDGE, "ai"), ("direct", (), "simulated"), ("best-of-n", (), "simulated")],
)
def test_a_recipe_climbs(name: str, changes: tuple[str, ...], verified: str, tmp_path: Path) -> None:
    pipeline.run_pipeline(config.read(name, [*SMALL, *changes]), tmp_path, "run", Progress())
    report = artifacts.read_json(tmp_path / "run/report.json")
    assert report["name"] == name
    assert report["annotators"][verified] is True
    assert report["policies"]["policy"]["truth"] is not None


def test_arithmetic_reaches_its_verifier(tmp_path: Path) -> None:
    """A random model knows no digits, so there is nothing to learn from; a model that sometimes succeeds goes on."""
    pytest.importorskip("reasoning_gym")
    changes = (
        *("sft.model=trueward:tiny", "data.task={size=60,max_terms=2,min_terms=2}", "data.max_prompt_tokens=50"),
        "data.demonstrations=",
    )
    recipe = config.read("arithmetic", [*SMALL, *changes])
    with pytest.raises(
        ValueError, match=r"the verifier gives 0 to all of the SFT policy's \d+ answers.*It never succeeds"
    ):
        pipeline.run_pipeline(recipe, tmp_path, "run", Progress())


def test_smollm2_climbs_with_another_model(tmp_path: Path) -> None:
    """Its instruction, its adapters and its optimiser, on the tiny model with a chat template."""
    base = loading.causal("trueward:tiny", 0, torch.device("cpu"))
    base.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    loading.save(base, tmp_path / "base")
    changes = (f"model.base={tmp_path / 'base'}", "data.max_prompt_tokens=40", "lora.rank=4", "lora.alpha=8")
    pipeline.run_pipeline(config.read("smollm2", [*SMALL, *changes]), tmp_path, "run", Progress())
    report = artifacts.read_json(tmp_path / "run/report.json")
    assert report["annotators"]["simulated"] is True
    assert report["policies"]["policy"]["truth"] is not None
    assert report["samples"][0]["prompt"].startswith("user: Finish this one-sentence film review: ")
    assert (tmp_path / "run/policy/model/adapter/adapter_config.json").is_file()
