"""The ladder with a proxy that was made elsewhere and reads other tokens than the policy writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from trueward.artifacts import read_json
from trueward.data import toy
from trueward.models import loading
from trueward.pipeline.value_network import reads_the_same_tokens

SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with one label and random weights; its words are numbered the other way round."""
    path = tmp_path_factory.mktemp("models") / "encoder"
    words = [*SPECIAL, *sorted(toy.words(), reverse=True)]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, model_input_names=inputs, **names).save_pretrained(path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    config = transformers.BertConfig(
        vocab_size=len(words), num_labels=1, max_position_embeddings=60, initializer_range=0.3, **sizes
    )
    transformers.BertForSequenceClassification(config).save_pretrained(path)
    return path


@pytest.mark.parametrize("kind", ["ppo", "grpo"])
def test_the_policy_is_paid_what_transformers_says(kind: str, encoder: Path, baseline: Path, climb: Any) -> None:
    name = f"paid by an encoder, {kind}"
    climb(
        baseline.parent,
        name,
        f"reward.model={encoder}",
        f"policy.kind={kind}",
        f"evaluation.truths=['model:{encoder}']",
        "evaluation.proxy_is_truth=true",
    )
    run = baseline.parent / name
    rows = [json.loads(row) for row in (run / "policy/samples.jsonl").read_text().splitlines()]
    summary = read_json(run / "reward_model/manifest.json")["summary"]
    words = transformers.AutoTokenizer.from_pretrained(encoder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(encoder).eval()
    batch = words([r["prompt"] for r in rows], [r["response"] for r in rows], padding=True, return_tensors="pt")
    with torch.no_grad():
        raw = model(**batch).logits[:, 0].double().numpy()
    expected = (raw - summary["mean"]) / summary["sd"]
    np.testing.assert_allclose([r["proxy"] for r in rows], expected, atol=1e-3 / summary["sd"])
    assert np.std(expected) > 0.1
    steps = [json.loads(row) for row in (run / "policy/metrics.jsonl").read_text().splitlines()]
    assert len(steps) == 3
    assert read_json(run / "report.json")["policies"]["policy"]["proxy"] is not None


def test_the_value_network_is_the_reward_model_only_if_it_reads_the_same_tokens(
    make_policy: Any, make_reward: Any, encoder: Path
) -> None:
    policy = make_policy()
    assert reads_the_same_tokens(make_reward(), policy)
    assert not reads_the_same_tokens(make_reward(words=["film", "the"]), policy)
    assert not reads_the_same_tokens(make_reward(max_position_embeddings=24), policy)  # PPO's texts may be longer
    assert not reads_the_same_tokens(loading.reward(encoder, torch.device("cpu")), policy)
