"""The plan of the recipe `cluster`: which actors lie where, what they hold, what a step moves; without a weight, or Ray."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import Qwen2Config

from trueward import config
from trueward.config.ray import RayConfig
from trueward.parallel.placement import Placement
from trueward.pipeline.footprint.plan import plan_memory
from trueward.reporting import cluster_text

sys.path.insert(0, str(Path(__file__).parents[1]))
from chat_templates import FAMILIES
from chat_templates import tokenizer as tokenizer_of


@pytest.fixture
def changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A model of Qwen2.5-7B's sizes, without weights, and the recipe's files."""
    model = tmp_path / "model"
    tokenizer = tokenizer_of(FAMILIES["chatml"])
    tokenizer.save_pretrained(model)
    sizes = {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
    settings = Qwen2Config(**sizes, intermediate_size=18944, vocab_size=152064, max_position_embeddings=32768)
    (model / "config.json").write_text(json.dumps({**settings.to_dict(), "architectures": ["Qwen2ForCausalLM"]}))
    row = {"prompt": "Say something red.", "chosen": "Red.", "rejected": "No."}
    (tmp_path / "comparisons.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"prompt": "Say something red."}) + "\n")
    monkeypatch.chdir(tmp_path)
    return [f"model.base={model}", f"sft.model={model}"]


def table_of(changes: list[str], *more: str) -> dict[str, Any]:
    recipe = config.read("cluster", [*changes, *more])
    return plan_memory(recipe, processes=recipe.runtime.ray.ranks).cluster()


def test_seven_billion_weights_on_eight_devices(changes: list[str]) -> None:
    table = table_of(changes)
    by_role = {row["role"]: row for row in table["actors"]}
    assert {role: (row["count"], row["cpus"], row["gpus"]) for role, row in by_role.items()} == {
        "rank": (4, 8, 1.0),
        "sampler": (3, 8, 1.0),
        "scorer": (1, 8, 1.0),
    }
    assert table["bundles"] == 8
    base, adapter = 7.6e9 * 2, 32 * 28 * (4 * 3584 + 2 * (3584 + 512) + 3 * (3584 + 18944)) * 4
    assert table["pushed"] == pytest.approx(adapter, rel=1e-9), "r·(in + out) of seven matrices a layer, in float32"
    assert by_role["sampler"]["weights"] == pytest.approx(base + adapter, rel=0.01)
    assert by_role["scorer"]["weights"] == pytest.approx(base + adapter, rel=0.01)
    assert table["tokens"] == pytest.approx(512 * 1024, rel=0.05)
    assert table["device"] == max(row["peak"] for row in by_role.values())
    assert table["device"] < 80e9
    assert table["reserved"] == 0.6


def test_colocated_devices_hold_what_lies_on_them(changes: list[str]) -> None:
    """Sampler 0 and the scorer lie beside a training process each: the fullest of four devices has two or three of them."""
    split, table = table_of(changes), table_of(changes, "runtime.ray.placement=colocated")
    peak = {row["role"]: row["peak"] for row in split["actors"]}
    assert table["bundles"] == 4
    assert table["device"] == pytest.approx(peak["rank"] + max(peak["sampler"], peak["scorer"]))


def test_who_samples_itself_pushes_nothing(changes: list[str]) -> None:
    table = table_of(changes, "runtime.ray.samplers=0")
    assert (table["pushed"], table["reserved"]) == (0, 0.0)
    assert not any("push" in text for text in cluster_text.sentences(table))
    assert plan_memory(config.read("tiny")).cluster() == {}


def test_the_command_prints_it(changes: list[str], command: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = command("run", "cluster", "--plan", *(w for change in changes for w in ("--set", change)))
    others = [line for line in err.splitlines() if "tokenizer.json is read as it is" not in line]  # tiny's, of a Qwen 2
    assert (code, others) == (0, [])
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert any(line.startswith("training process 4 8 1 ") for line in lines)
    assert any(line.startswith("sampler 3 8 1 ") for line in lines)
    said = " ".join(lines)
    assert "places 8 actors on 8 devices, each on a device of its own" in said
    assert "A push of the weights is 323 MB" in said
    assert "A step samples and scores 5" in said


def test_bundles_hold_their_actors() -> None:
    for ray in (
        RayConfig(),
        RayConfig(ranks=2, samplers=3, scorers=1, cpus=2),
        RayConfig(ranks=2, samplers=3, scorers=1, placement="colocated"),
    ):
        for on_gpus in (False, True):
            placement = Placement.of(ray, on_gpus)
            for number, bundle in enumerate(placement.bundles()):
                held = [each for each in placement.actors if each.bundle == number]
                assert held
                assert sum(each.cpus for each in held) == bundle["CPU"]
                assert sum(each.gpus for each in held) <= bundle.get("GPU", 0.0) + 1e-9
            assert placement.total()["GPU"] == on_gpus * len(placement.bundles())


REFUSED = {
    ("sampler.engine.kind=vllm", "policy.importance_sampling_cap=2", "sampler.engine.address=http://h:1",
     "sampler.engine.directory=d", "runtime.ray.samplers=1"): "runtime.ray.samplers: rollouts are asked for at",
    ("policy.relabel.every=2", "runtime.ray.scorers=1"): "runtime.ray.scorers: with policy.relabel.every the reward",
    ("runtime.ray.ranks=0",): "runtime.ray.ranks: input should be greater than 0",
}  # fmt: skip
IDLE = {
    ("policy.kind=dpo", "runtime.ray.samplers=1"): "runtime.ray.samplers does nothing here: policy.kind",
    ("policy.kind=best_of_n", "runtime.ray.scorers=1"): "runtime.ray.scorers does nothing here: policy.kind",
    ("runtime.ray.placement=colocated",): "runtime.ray.placement does nothing here: there are no",
}


@pytest.mark.parametrize("changes", REFUSED)
def test_what_contradicts_itself_stops(changes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=REFUSED[changes]):
        config.read("tiny", changes)


@pytest.mark.parametrize("changes", IDLE)
def test_what_does_nothing_is_said(changes: tuple[str, ...]) -> None:
    assert any(line.startswith(IDLE[changes]) for line in config.notes(config.read("tiny", changes)))
