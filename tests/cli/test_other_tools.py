"""What a run leaves, read by other tools: transformers, its server, and lm-eval's own command (where they are installed)."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., tuple[int, str, str]]
PROMPTS = ("the new film", "a quiet story about love")
LENGTH = 12


def needs(module: str, install: str) -> Any:
    absent = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(absent, reason=f"{module} is not installed (pip install {install})")


@pytest.fixture
def merged(command: Command, baseline: Path, tmp_path: Path) -> Path:
    code, out, err = command("merge", str(baseline), "--out", "merged")
    assert (code, err) == (0, "")
    assert out.startswith("merged (float32, ")
    return tmp_path / "merged"


def sampled(model: Path) -> list[str]:
    """The answers that `trueward sample --temperature 0` prints."""
    from trueward.models import loading
    from trueward.records import Prompt
    from trueward.sampling.draws import Draws
    from trueward.sampling.sampler import SamplingParams, sample

    network = loading.causal(str(model), 0, loading.pick_device("cpu"))
    prompts = [Prompt(text=text) for text in PROMPTS]
    return [c.response for c in sample(network, prompts, SamplingParams(0.0, LENGTH), Draws(0)).completions]


def environment() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def test_transformers_answers_as_we_do(merged: Path, baseline: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(merged), AutoModelForCausalLM.from_pretrained(merged)
    answers = []
    for text in PROMPTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            out = model.generate(ids, do_sample=False, max_new_tokens=LENGTH)
        answers.append(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
    assert answers == sampled(merged) == sampled(baseline / "policy/model")


def test_merge_writes_into_the_run_by_default(command: Command, baseline: Path, tmp_path: Path) -> None:
    (tmp_path / "runs/mine").mkdir(parents=True)
    for part in baseline.iterdir():
        (tmp_path / "runs/mine" / part.name).symlink_to(part)
    code, out, err = command("merge", "mine", "--model", "sft", "--dtype", "bfloat16")
    assert (code, err) == (0, "")
    assert out == "runs/mine/merged/sft (bfloat16, 0.2 MB)\n"
    again = command("merge", "mine", "--model", "sft")
    assert again[0] == 2
    assert (
        again[2] == "trueward: runs/mine/merged/sft: is there already and not empty; give another --out, or remove it\n"
    )


@contextmanager
def transformers_serve(model: Path, folder: Path) -> Iterator[str]:
    """`transformers serve MODEL`; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model)]
    with (folder / "log").open("w") as log:
        flags = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
        server = subprocess.Popen([*command, *flags], env=environment(), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while server.poll() is None and time.monotonic() < deadline:
            with socket.socket() as attempt:
                if not attempt.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        assert server.poll() is None, (folder / "log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


@needs("openai", "'transformers[serving]'")
def test_transformers_serves_it(merged: Path, tmp_path: Path) -> None:
    import httpx2

    with transformers_serve(merged, tmp_path) as address:
        answers = []
        for text in PROMPTS:
            body = {"model": str(merged), "prompt": text, "max_tokens": LENGTH, "temperature": 0}
            answer = httpx2.post(f"{address}/v1/completions", json=body, timeout=60).raise_for_status()
            answers.append(answer.json()["choices"][0]["text"])
    assert answers == sampled(merged)


TASK = """task: reviews_that_go_on
dataset_path: json
dataset_kwargs:
  data_files:
    test: {rows}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
target_delimiter: " "
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""
CHOICES = ["was warm and the cast is great .", "film film film"]


def logprob(network: Any, prompt: str, text: str) -> float:
    """Of a text after a prompt, summed over its tokens."""
    import torch

    before, after = (network.tokenizer(t)["input_ids"] for t in (prompt, f"{prompt} {text}"))
    with torch.no_grad():
        logprobs = network.model(torch.tensor([after])).logits[0].log_softmax(-1)
    return sum(float(logprobs[at - 1, after[at]]) for at in range(len(before), len(after)))


@needs("lm_eval", "'lm-eval[hf]'")
def test_lm_eval_reads_an_artifact(baseline: Path, tmp_path: Path) -> None:
    from trueward.models import loading

    model = baseline / "policy/model"
    rows = [{"prompt": prompt, "choices": CHOICES, "answer": 0} for prompt in PROMPTS]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/task.yaml").write_text(TASK.format(rows=tmp_path / "rows.jsonl"))
    arguments = ["--model", "hf", "--model_args", f"pretrained={model},dtype=float32"]
    arguments += ["--include_path", "tasks", "--tasks", "reviews_that_go_on", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", *arguments, "--output_path", "found", "--log_samples"],
        env={**environment(), "HF_HOME": str(tmp_path / "hf")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (results,) = (tmp_path / "found").rglob("results_*.json")
    (samples,) = (tmp_path / "found").rglob("samples_*.jsonl")
    network = loading.causal(str(model), 0, loading.pick_device("cpu"))
    ours = {prompt: [logprob(network, prompt, choice) for choice in CHOICES] for prompt in PROMPTS}
    for row in map(json.loads, samples.read_text().splitlines()):
        theirs = [float(response[0][0]) for response in row["resps"]]
        assert theirs == pytest.approx(ours[row["doc"]["prompt"]], abs=1e-3)
    share = sum(first > second for first, second in ours.values()) / len(PROMPTS)
    assert json.loads(results.read_text())["results"]["reviews_that_go_on"]["acc,none"] == share
