"""The recipe `instruct`, its own steps, on a random model of Qwen2.5's family scaled down, with a chat template."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from trueward import config
from trueward.models import loading
from trueward.models.network import Network
from trueward.pipeline.run import run_in_memory

sys.path.insert(0, str(Path(__file__).parents[1]))
from chat_templates import FAMILIES
from chat_templates import tokenizer as tokenizer_of

WORDS = ("red", "blue", "green", "small", "large", "old", "new", "round")
SMALL = (
    "runtime.threads=1",
    "reward.batch_size=4",
    "reward.held_out=0.4",
    "policy.steps=2",
    "policy.batch_size=4",
    "policy.group.size=2",
    "sampler.max_new_tokens=6",
    "evaluation.final_prompts=2",
    "evaluation.step_prompts=2",
    "evaluation.every=2",
    "data.held_out=0.3",
    "lora.rank=2",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model, comparisons as conversations, and prompts."""
    folder = tmp_path_factory.mktemp("instruct")
    tokenizer = tokenizer_of(FAMILIES["chatml"])
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    settings = Qwen2Config(
        **sizes,
        intermediate_size=32,
        vocab_size=len(tokenizer),
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    loading.save(Network(Qwen2ForCausalLM(settings).eval(), tokenizer), folder / "model")

    def written(name: str, rows: list[dict[str, Any]]) -> Path:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return folder / name

    asked = [[{"role": "user", "content": f"Say something {word}."}] for word in WORDS]
    compared = [
        {
            "prompt": prompt,
            "chosen": [{"role": "assistant", "content": f"A {word} thing."}],
            "rejected": [{"role": "assistant", "content": "No."}],
        }
        for prompt, word in zip(asked, WORDS, strict=True)
    ]
    return {
        "model": folder / "model",
        "comparisons": written("comparisons.jsonl", compared),
        "prompts": written("prompts.jsonl", [{"prompt": prompt} for prompt in asked]),
    }


@pytest.mark.parametrize("kind", ["rloo", "ppo"])
def test_the_steps_of_instruct(files: dict[str, Path], kind: str) -> None:
    changes = [
        f"model.base={files['model']}",
        f"sft.model={files['model']}",
        f"comparisons.path={files['comparisons']}",
        f"data.prompts={files['prompts']}",
        f"policy.kind={kind}",
    ]
    recipe = config.read("instruct", [*changes, *SMALL])
    assert recipe.lora.rank > 0
    assert recipe.runtime.micro_batch_tokens == "auto"
    made = run_in_memory(recipe, until="evaluation")
    assert list(made) == ["prepare", "sft", "comparisons", "reward_model", "policy", "evaluation"]
    assert made["sft"].summary["demonstrations"] == 0, "an instruct model is not fine-tuned again"
    assert made["comparisons"].summary["source"].endswith("comparisons.jsonl")
    assert made["reward_model"].summary["comparisons"] > 0
    policy = made["policy"].value
    assert [row["step"] for row in policy.metrics] == [1, 2]
    assert all(row["policy/grad_norm"] > 0 for row in policy.metrics)
    assert policy.evaluations[-1]["truth"] is None, "no truth is named: it has to be the user's own"
    assert set(made["evaluation"].value.policies) >= {"sft", "policy"}
