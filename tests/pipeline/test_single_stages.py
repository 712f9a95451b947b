"""`trueward sft`, `reward-model` and `ppo` on small files, and what they leave behind in transformers' own hands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from trueward.data import toy
from trueward.models import loading
from trueward.records import Completion, Prompt
from trueward.scorers import reward_model

Command = Callable[..., tuple[int, str, str]]
QUICK = ("--quiet", "--set", "runtime.threads=1", "--set", "data.max_prompt_tokens=16")


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{"prompt": p, "completion": r} for p, r in toy.reviews(200, 1)]
    return write(tmp_path_factory.mktemp("data") / "demonstrations.jsonl", rows)


@pytest.fixture(scope="module")
def comparisons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = toy.reviews(200, 2)
    rows = [
        {"prompt": p, "chosen": f" is {toy.GOOD[i % 8]} .", "rejected": f" is {toy.BAD[i % 7]} ."}
        for i, (p, _) in enumerate(made)
    ]
    return write(tmp_path_factory.mktemp("data") / "comparisons.jsonl", rows)


def metrics(run: Path, stage: str) -> list[dict[str, Any]]:
    return [json.loads(row) for row in (run / stage / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.learned
def test_sft(command: Command, tmp_path: Path, demonstrations: Path) -> None:
    out = tmp_path / "out"
    options = [
        "--num_train_epochs=2",
        "--per_device_train_batch_size=64",
        "--learning-rate=0.01",
        "--max_grad_norm=0.5",
    ]
    answer = command("sft", "--model=trueward:tiny", f"--dataset={demonstrations}", "--out", str(out), *options, *QUICK)
    assert answer == (0, "", "")
    steps = metrics(out, "sft")
    assert len(steps) == 6  # about 180 demonstrations twice, in batches of 64
    assert steps[-1]["nll"] < steps[0]["nll"] - 0.5
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["prepare", "sft"]

    model = AutoModelForCausalLM.from_pretrained(out / "sft/model")
    tokenizer = AutoTokenizer.from_pretrained(out / "sft/model")
    ids = torch.tensor([tokenizer("the new film is")["input_ids"]])
    ours = loading.causal(str(out / "sft/model"), 0, torch.device("cpu")).model
    torch.testing.assert_close(model(ids).logits, ours(ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.learned
def test_reward_model(command: Command, tmp_path: Path, baseline: Path, comparisons: Path) -> None:
    out, sft = tmp_path / "out", baseline / "sft/model"
    options = ["--num-train-epochs=2", "--batch-size=16", "--learning_rate=0.005", "--seed=3"]
    arguments = (f"--model_name_or_path={sft}", f"--dataset_name={comparisons}", "--output_dir", str(out))
    assert command("reward-model", *arguments, *options, *QUICK) == (0, "", "")
    summary = json.loads((out / "reward_model/manifest.json").read_text())["summary"]
    assert summary["accuracy"] > 0.8  # good words beside bad ones
    assert summary["held_out"] > 0
    assert metrics(out, "reward_model")[0]["loss"] == pytest.approx(0.693147, abs=1e-6)  # a head of zeros
    folder = out / "reward_model/model"
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.config.num_labels == 1
    assert model.config.trueward_mean == pytest.approx(summary["mean"], abs=1e-5)
    assert model.config.trueward_sd == pytest.approx(summary["sd"], abs=1e-5)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    scorer = reward_model.load(folder, torch.device("cpu"))
    completion = Completion(prompt=Prompt(text="the new film"), response=" is great .")
    ids = torch.tensor([[*tokenizer("the new film is great .")["input_ids"], tokenizer.eos_token_id]])
    assert scorer.raw([completion])[0] == pytest.approx(model(ids).logits.item(), abs=1e-5)


def test_ppo(command: Command, tmp_path: Path, baseline: Path, demonstrations: Path) -> None:
    out, sft, reward = tmp_path / "out", baseline / "sft/model", baseline / "reward_model/model"
    options = {
        "steps": "2",
        "batch_size": "8",
        "kl_coef": "0.05",
        "num_ppo_epochs": "1",
        "num_mini_batches": "2",
        "cliprange": "0.1",
        "cliprange_value": "0.15",
        "gamma": "0.99",
        "lam": "0.9",
        "missing_eos_penalty": "0.5",
        "response_length": "9",
        "temperature": "0.8",
        "learning_rate": "0.001",
        "seed": "4",
        "truth": str(reward),
    }
    arguments = [f"--sft_model_path={sft}", f"--reward_model_path={reward}", f"--dataset_name={demonstrations}"]
    flags = [f"--{name}={value}" for name, value in options.items()]
    more = (
        "--set",
        "evaluation.step_prompts=8",
        "--set",
        "evaluation.final_prompts=8",
        "--set",
        "evaluation.proxy_is_truth=true",
    )
    assert command("ppo", *arguments, *flags, "--out", str(out), *more, *QUICK) == (0, "", "")
    report = json.loads((out / "report.json").read_text())
    policy, sampler = report["recipe"]["policy"], report["recipe"]["sampler"]
    assert (policy["epochs"], policy["minibatches"], policy["clip"], policy["value_clip"]) == (1, 2, 0.1, 0.15)
    assert (policy["discount"], policy["gae_lambda"], policy["missing_eos_penalty"]) == (0.99, 0.9, 0.5)
    assert (policy["kl_coef"], policy["learning_rate"], policy["steps"], policy["batch_size"]) == (0.05, 0.001, 2, 8)
    assert sampler["max_new_tokens"] == 9
    assert sampler["temperature"] == 0.8
    assert report["seed"] == 4
    assert [row["step"] for row in report["history"]] == [0, 2]
    assert report["history"][0]["kl"] == 0
    assert set(report["policies"]) >= {"sft", "policy"}
    assert "base" not in report["policies"]  # no SFT here, so nothing before it
    assert report["policies"]["sft"]["truths"].keys() == {f"model:{reward}"}
    AutoModelForCausalLM.from_pretrained(out / "policy/model")
    assert (out / "sft/model/model.safetensors").read_bytes() == (sft / "model.safetensors").read_bytes()
    assert not (out / "comparisons").exists()


def test_ppo_counts_episodes_as_steps(command: Command, tmp_path: Path, baseline: Path, demonstrations: Path) -> None:
    out, sft, reward = tmp_path / "out", baseline / "sft/model", baseline / "reward_model/model"
    arguments = [f"--sft-model-path={sft}", f"--reward-model-path={reward}", f"--dataset={demonstrations}"]
    flags = ["--total-episodes=24", "--batch-size=8", "--set", "evaluation.step_prompts=4", "--response-length=4"]
    assert command("ppo", *arguments, *flags, "--out", str(out), *QUICK)[0] == 0
    report = json.loads((out / "report.json").read_text())
    assert report["recipe"]["policy"]["steps"] == 3
    assert "nothing measured the truth" in " ".join(report["notes"])
    assert report["policies"]["policy"]["truth"] is None


def test_until_a_stage_that_this_ladder_does_not_have(
    command: Command, tmp_path: Path, baseline: Path, small: Callable[..., list[str]]
) -> None:
    """With a ready reward model nothing is compared, so there is no such stage to stop at."""
    change = f"reward.model={baseline / 'reward_model/model'}"
    code, _, err = command(*small(change), "--out", str(tmp_path / "run"), "--until", "comparisons")
    assert code == 2
    assert err.startswith("trueward: --until comparisons: ")
