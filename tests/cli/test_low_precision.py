"""A run in bfloat16, as its user meets it afterwards: every command reads its models in the precision that the run had."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

import trueward
from trueward import config, pipeline
from trueward.models import heads, loading, precision, run_precision
from trueward.models.network import Network
from trueward.pipeline import evaluation_scorers, named_reward
from trueward.pipeline.run_home import RunHome
from trueward.progress import Progress
from trueward.records import Completion, Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample
from trueward.scorers import ensemble
from trueward.training.env import Env

Command = Callable[..., tuple[int, str, str]]
CPU = torch.device("cpu")
PROMPTS = [Prompt(text=text) for text in ("the new film", "a quiet story about love", "the film is")]
SMALL = (
    "name=low",
    "model.dtype=bfloat16",
    "runtime.threads=1",
    "runtime.checkpoint_seconds=0",
    "sft.epochs=0.02",
    "sft.batch_size=16",
    "comparisons.count=24",
    "reward.epochs=1",
    "reward.batch_size=16",
    "reward.learning_curve=false",
    "policy.kind=rloo",
    "policy.steps=2",
    "policy.batch_size=8",
    "policy.group.size=4",
    "sampler.max_new_tokens=6",
    "evaluation.final_prompts=6",
    "evaluation.step_prompts=6",
    "evaluation.every=2",
    "evaluation.control=never",
)


@pytest.fixture(scope="module", params=["whole", "adapters"])
def run(request: Any, tmp_path_factory: Any) -> Path:
    """Whole models in one run, adapters alone in the other."""
    more = ("lora.rank=2", "lora.save=adapter") if request.param == "adapters" else ()
    home: Path = tmp_path_factory.mktemp("runs")
    pipeline.run_pipeline(config.read("tiny", [*SMALL, *more]), home, "low", Progress())
    return home / "low"


def logprobs(network: Network) -> Tensor:
    """Of fixed answers, by the learner."""
    drawn = sample(network, PROMPTS, SamplingParams(max_new_tokens=6), Draws.purpose(1, "test"))
    with torch.no_grad():
        found: Tensor = heads.response_logprobs(network.model, drawn.tokens)
    return found[drawn.tokens.response_mask]


def scores(scorer: Any) -> list[float]:
    answers = [Completion(prompt=p, response="is warm and slow .", finished=True) for p in PROMPTS]
    return [score.score for score in scorer(answers)]


def test_its_models_are_read_as_the_run_had_them(run: Path) -> None:
    for place in ("policy/model", "sft/model"):
        network = loading.causal(str(run / place), 0, CPU)
        assert precision.is_low(network.model)
        asked = loading.causal(str(run / place), 0, CPU, torch.float32)
        assert not precision.is_low(asked.model)
        assert not logprobs(network).equal(logprobs(asked)), "or nothing here could be told apart"
    assert precision.is_low(trueward.load_policy(run).network.model)
    assert not precision.is_low(trueward.load_policy(run, dtype="float32").network.model)


def test_its_reward_model_scores_as_it_did(run: Path) -> None:
    kinds = (torch.bfloat16, torch.float32)
    low, wide = (scores(ensemble.load(run / "reward_model", CPU, dtype=kind)) for kind in kinds)
    assert low != wide
    home = RunHome.of(str(run))
    assert home is not None
    assert scores(evaluation_scorers.named_scorer("proxy", home, CPU)[0]) == low
    assert scores(named_reward.named_reward(str(run), Env(CPU)).scorer) == low


def test_evaluate(command: Command, run: Path) -> None:
    code, out, err = command("evaluate", str(run), "-n", "6", "--json")
    assert (code, err) == (0, "")
    table = json.loads(out)
    model, against = (loading.causal(str(run / place / "model"), 0, CPU, torch.bfloat16) for place in ("policy", "sft"))
    prompts = [Prompt(text=row["prompt"]) for row in table["samples"]]
    drawn = sample(model, prompts, SamplingParams(max_new_tokens=6), Draws.purpose(0, "evaluate", "model"))
    assert [c.response for c in drawn.completions] == [row["model"] for row in table["samples"]]
    drawn = sample(against, prompts, SamplingParams(max_new_tokens=6), Draws.purpose(0, "evaluate", "against"))
    assert [c.response for c in drawn.completions] == [row["against"] for row in table["samples"]]


@pytest.mark.parametrize("name", ["sample", "chat"])
def test_sample_and_chat(command: Command, run: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    read = loading.causal

    def noted(*given: Any) -> Network:
        seen.append(precision.is_low((made := read(*given)).model))
        return made

    monkeypatch.setattr(loading, "causal", noted)
    monkeypatch.setattr(sys, "stdin", io.StringIO("the new film\n"))
    code, out, err = command(name, str(run), "--compare", str(run / "sft"), "--max-new-tokens=6", "--seed=3")
    assert (code, "Traceback" in err) == (0, False), err
    assert out
    assert len(seen) >= 2
    assert all(seen)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_merge(command: Command, run: Path, tmp_path: Path, dtype: str) -> None:
    """The weights are the run's float32 ones, rounded at most once; a directory of its own is no run's."""
    code, out, err = command("merge", str(run), "--dtype", dtype, "--out", str(tmp_path / "out"))
    assert (code, err) == (0, "")
    assert dtype in out
    kind = precision.DTYPES[dtype]
    merged = load_file(tmp_path / "out/model.safetensors")
    assert {t.dtype for t in merged.values()} == {kind}
    expected = loading.causal(str(run / "policy/model"), 0, CPU).model.state_dict()
    assert all(merged[name].equal(expected[name].to(kind)) for name in merged)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert theirs.dtype == kind
    assert not precision.is_low(loading.causal(str(tmp_path / "out"), 0, CPU).model)


def test_a_merged_model_in_the_runs_own_directory_is_the_runs(command: Command, run: Path) -> None:
    assert command("merge", str(run), "--dtype", "bfloat16")[0] == 0
    assert precision.is_low(loading.causal(str(run / "merged/policy"), 0, CPU).model)


def test_it_is_not_continued_in_another_precision(command: Command, run: Path) -> None:
    arguments = ("run", str(run / "recipe.toml"), "--out", str(run), "--quiet")
    code, _, err = command(*arguments, "--set", "model.dtype=float32")
    assert code == 2
    assert "model.dtype is bfloat16 there" in err
    before = (run / "policy/manifest.json").read_bytes()
    assert command(*arguments)[0] == 0
    assert (run / "policy/manifest.json").read_bytes() == before, "what is finished stays as it is"


def test_what_lies_in_no_run_is_autos(tmp_path: Path) -> None:
    for name in ("trueward:base", "owner/name", str(tmp_path)):
        assert run_precision.pick(name, CPU) is torch.float32
        assert run_precision.pick(name, torch.device("cuda")) is torch.bfloat16


def test_a_runs_float32_holds_on_a_gpu_too(tmp_path: Path) -> None:
    (tmp_path / "policy/model").mkdir(parents=True)
    (tmp_path / "pipeline.json").write_text("[]")
    for text, expected in (('[model]\ndtype = "auto"', torch.float32), ('[model]\ndtype = "bfloat16"', torch.bfloat16)):
        (tmp_path / "recipe.toml").write_text(text)
        for kind in ("cpu", "cuda"):
            assert run_precision.pick(tmp_path / "policy/model", torch.device(kind)) is expected
    (tmp_path / "recipe.toml").write_text("[model")
    with pytest.raises(ValueError, match=r"recipe.toml: can't be read as a recipe: [^\n]+$"):
        run_precision.pick(tmp_path / "policy/model", CPU)
