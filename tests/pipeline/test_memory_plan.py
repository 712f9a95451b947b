"""What a run will hold, computed before anything is loaded: the arithmetic, and held against a process that does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config

from trueward import config
from trueward.batches import Tokens
from trueward.models import heads, places
from trueward.models.state_cache import ROOM
from trueward.pipeline.footprint.arithmetic import (
    FLOAT,
    LOW,
    Widths,
    activations,
    cache,
    kept_by_layer,
    learned,
    logits,
    sampling,
)
from trueward.pipeline.footprint.changes import fitting_changes, peak_of
from trueward.pipeline.footprint.model_shape import ModelShape, of_config
from trueward.pipeline.footprint.plan import KEPT, notes, parse_memory, plan_memory
from trueward.pipeline.footprint.stage_memory import Plan, SequenceLengths, StageMemory
from trueward.reporting import plan_text
from trueward.sampling.general import SPARE

HALF_B = {
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "intermediate_size": 4864,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}


@pytest.fixture(scope="module")
def half() -> ModelShape:
    return of_config(Qwen2Config(**HALF_B))


def plan_of(shape: ModelShape, *changes: str, tokens: int = 4096, widths: Widths | None = None) -> Plan:
    recipe = config.read("tiny", ["sampler.max_new_tokens=256", "policy.batch_size=64", *changes])
    return Plan(recipe, shape, SequenceLengths(256, 256), tokens, widths or Widths())


def test_sizes_of_a_configuration_are_the_models(half: ModelShape) -> None:
    assert half.weights == 494_032_768  # as the hub counts it
    assert (half.layers, half.hidden, half.attention, half.key_value) == (24, 896, 896, 128)
    assert len(half.linear) == 24 * 7
    assert half.matrices == 24 * (2 * 896 * 896 + 2 * 896 * 128 + 3 * 896 * 4864)
    assert half.adapter(16, "all-linear") == 24 * 16 * (2 * 1792 + 2 * 1024 + 3 * 5760)
    assert half.adapter(16, ("q_proj", "v_proj")) == 24 * 16 * (1792 + 1024)
    assert half.is_packed
    assert half.has_decoder


def test_what_a_layer_keeps_is_what_autograd_keeps() -> None:
    """Counted through torch's own hooks, on a model whose layers differ in nothing but the last one's queries."""
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 160}

    def kept(layers: int, answer: int) -> int:
        torch.manual_seed(0)
        settings = LlamaConfig(**sizes, num_hidden_layers=layers, vocab_size=32, tie_word_embeddings=True)
        model = LlamaForCausalLM(settings).eval()
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}
        storages: dict[int, int] = {}

        def keep(x: torch.Tensor) -> torch.Tensor:
            place = x.untyped_storage()
            if place.data_ptr() not in own and x.is_floating_point():
                storages[place.data_ptr()] = place.nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            graph = heads.response_logprobs(model, Tokens.collate([([1, 2, 3], [4] * answer)], 0))
        assert graph.requires_grad  # what was kept is alive here, so no address was used twice
        return sum(storages.values())

    # Differences, since a layer this narrow also keeps its joined weights, whatever the tokens.
    by_layer = ((kept(4, 60) - kept(2, 60)) - (kept(4, 20) - kept(2, 20))) / 2 / 40
    torch.manual_seed(0)
    shape = of_config(LlamaConfig(**sizes, num_hidden_layers=2, vocab_size=32))
    # One sequence has no padding: its mixed values are not copied, so A numbers fewer are kept than of many.
    expected = (kept_by_layer(shape, False) - shape.attention) * FLOAT
    assert by_layer == pytest.approx(expected, rel=0.02)


def test_activations_grow_with_tokens_and_shrink_with_checkpointing(half: ModelShape) -> None:
    assert kept_by_layer(half, False) * FLOAT == pytest.approx(104e3, rel=0.01)
    whole, twice = (activations(half, n, n // 2) for n in (2048, 4096))
    assert 1.8 < twice / whole < 2.2
    checkpointed = activations(half, 4096, 2048, checkpointing=True)
    assert checkpointed < twice / 5
    assert activations(half, 4096, 2048, kept=2) < twice


def test_a_micro_batch_is_as_large_as_suits_the_threads(half: ModelShape) -> None:
    def acts(threads: int, shape: ModelShape = half) -> float:
        plan = replace(plan_of(shape, "sft.batch_size=64", tokens=64 * 512), threads=threads)
        return next(s for s in plan.stages() if s.stage == "sft").activations

    assert acts(1) < acts(4) < acts(64) == acts(128)  # 64 threads take all 64 · 512 tokens at once
    general = replace(half, is_packed=False)
    assert acts(1, general) == acts(64, general)  # padded rows fill what they're allowed to


def test_a_step_of_the_reward_model_is_kept_whole_where_the_budget_holds_it(half: ModelShape) -> None:
    def acts(tokens: int) -> float:
        plan = replace(plan_of(half, "reward.batch_size=8", tokens=tokens), threads=1)
        return next(s for s in plan.stages() if s.stage == "reward_model").activations

    assert acts(16 * 512) == acts(100_000) > 4 * acts(16 * 512 - 1)  # else about 768 tokens at a time, and once more


def test_a_prompt_that_answers_share_is_read_once(half: ModelShape) -> None:
    def acts(*changes: str, shape: ModelShape = half) -> float:
        plan = plan_of(shape, "policy.minibatches=1", *changes, tokens=64 * 512)
        return next(s for s in replace(plan, threads=64).stages() if s.stage == "policy").activations

    pairs, eights = (acts("policy.kind=rloo", f"policy.group.size={n}") for n in (2, 8))
    # 256 tokens of prompt and 256 of answer: 1 + 1/2 and 1 + 1/8 of an answer's tokens, the last layer and the logits alike
    assert 1.125 / 1.5 < eights / pairs < 1.0
    assert acts("policy.kind=rloo", "policy.group.size=8", shape=replace(half, is_packed=False)) > eights


def test_at_the_end_of_a_backward_pass_all_gradients_are_there(half: ModelShape) -> None:
    """With checkpointing a layer's own working memory beside them, which is more than what layers kept."""
    settings = {"checkpointing": True, "kept": FLOAT}
    once = learned(half, half.weights, 2048, 2048, whole=True, **settings)
    assert once >= half.weights * FLOAT + kept_by_layer(half, False) * 2048 * FLOAT
    assert once < learned(half, half.weights, 2048, 2048, whole=False, **settings)


def test_distributions_are_bounded_whatever_the_vocabulary(half: ModelShape) -> None:
    assert logits(half, 100) == 3 * 100 * 151936 * 4
    assert logits(half, 100_000) == logits(half, 1_000) < 110e6


def test_the_cache_and_the_samplers_copy(half: ModelShape) -> None:
    general = replace(half, has_decoder=False)
    assert cache(half, 8, 100, 50) == 2 * 24 * 8 * 128 * 150 * 4
    assert cache(general, 8, 100, 50) == 2 * 24 * 8 * 128 * (150 + SPARE) * 4
    assert sampling(general, 8, 100, 50)[0] == 0
    assert sampling(half, 8, 100, 50, decoder=1.0)[0] == half.matrices + 151936 * 896


def test_ppo_holds_four_networks_two_of_which_learn(half: ModelShape) -> None:
    policy = next(s for s in plan_of(half, "policy.kind=ppo").stages() if s.stage == "policy")
    assert policy.weights == 4 * half.weights * 4
    assert policy.optimizer == 2 * 2 * half.weights * 4
    assert policy.gradients == 2 * half.weights * 4
    assert policy.peak >= policy.weights + policy.optimizer + policy.gradients
    adapted = next(s for s in plan_of(half, "policy.kind=ppo", "lora.rank=16").stages() if s.stage == "policy")
    assert adapted.weights == half.weights * 4 + 3 * half.adapter(16, "all-linear") * 4
    assert adapted.peak < policy.peak / 2


def test_frozen_weights_of_two_bytes(half: ModelShape) -> None:
    wide, narrow = (plan_of(half, "lora.rank=16", widths=Widths(frozen=w)).stages() for w in (4.0, 2.0))
    saved = [a.weights - b.weights for a, b in zip(wide, narrow, strict=True)]
    assert saved[0] == half.weights * 2
    assert all(a.gradients == b.gradients for a, b in zip(wide, narrow, strict=True)), "what learns stays in float32"


def test_the_sampler_in_two_bytes(half: ModelShape) -> None:
    """Its copy of the weights, keys and values; what it draws from stays in float32."""
    wide, narrow = (
        next(s for s in plan_of(half, "policy.kind=rloo", widths=widths).stages() if s.stage == "policy").sampler
        for widths in (Widths(), LOW)
    )
    rows = config.read("tiny", ["policy.kind=rloo"]).policy.batch_size
    copied = (half.matrices + half.vocabulary * half.hidden) * 4 if half.has_decoder else 0
    assert wide - narrow == (copied + cache(half, rows, 256, 256)) / 2


def test_changes_that_fit_are_named_and_do_fit(half: ModelShape) -> None:
    plan = plan_of(half, "policy.kind=ppo")
    assert fitting_changes(plan, 1e12)[0].peak < peak_of(plan)
    found = fitting_changes(plan, 24e9)
    assert found
    assert all(change.peak <= 24e9 for change in found)
    assert fitting_changes(plan, 1e8) == []
    changed = plan_of(half, "policy.kind=ppo", "lora.rank=16", "runtime.checkpointing=true")
    assert peak_of(changed) == pytest.approx(
        next(c.peak for c in fitting_changes(plan, peak_of(changed)) if "checkpointing" in c.settings), rel=0.5
    )


@pytest.mark.parametrize(
    ("text", "size"), [("24GB", 24e9), ("24 gb", 24e9), ("8000MB", 8e9), ("1.5GiB", 1.5 * 2**30), ("1TB", 1e12)]
)
def test_sizes_are_read(text: str, size: float) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["24", "much", "-1GB", "GB", "0GB", "infGB"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"--memory {text}: expected a size such as 24GB"):
        parse_memory(text)


def test_the_command_prints_a_plan_and_runs_nothing(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, out, err = command("run", "tiny", "--plan", "--memory", "24GB", "--out", str(tmp_path / "run"))
    assert (code, err) == (0, "")
    assert not (tmp_path / "run").exists()
    assert [line.split()[0] for line in out.splitlines()[1:5]] == ["sft", "reward_model", "policy", "evaluation"]
    assert "Computed, not measured" in out
    assert "All stages fit into 24.0 GB, by this estimate." in out


def test_what_does_not_fit_ends_in_one_line(command: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = command("run", "tiny", "--plan", "--memory", "3MB")
    assert code == 2
    assert err.count("\n") == 1
    assert "not fit into 3 MB" in err
    assert "--set " in err or "take a smaller model" in err
    code, _, err = command("run", "tiny", "--memory", "1GB")
    assert (code, err.count("\n")) == (2, 1)
    assert "give --plan too" in err


def test_a_model_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(places, "find_file", lambda *_, **__: None)
    with pytest.raises(ValueError, match=r"some/model: there is no such folder, and its config.json is neither here"):
        plan_memory(config.read("tiny", ["model.base=some/model"]))


def test_a_plan_is_json() -> None:
    table = plan_memory(config.read("tiny")).table()
    assert json.loads(json.dumps(table)) == table
    assert plan_text.verdict(table, 1e12, []) == (True, "All stages fit into 1000.0 GB, by this estimate.")
    assert plan_text.sentences(plan_memory(config.read("nano")).table()) == [
        "trueward:nano is a table: it takes next to no memory."
    ]


def test_frozen_weights_are_counted_in_the_precision_of_products() -> None:
    plain = plan_memory(config.read("tiny", ["lora.rank=4", "runtime.device=cpu"]))
    low = plan_memory(config.read("tiny", ["lora.rank=4", "runtime.device=cpu", "model.dtype=bfloat16"]))
    assert plain.plan is not None
    frozen = plain.plan.shape.weights
    by_name = {stage.stage: stage for stage in plain.stages}
    for stage in low.stages:
        assert stage.weights < by_name[stage.stage].weights or by_name[stage.stage].weights == 0
    saved = by_name["policy"].weights - {stage.stage: stage for stage in low.stages}["policy"].weights
    assert saved % (2 * frozen) == 0, "two bytes of each frozen weight, of however many networks"
    assert any("bfloat16" in note for note in low.table()["notes"])
    assert not any("bfloat16" in note for note in plain.table()["notes"])


def test_parts_divide_what_learns_and_nothing_else(half: ModelShape) -> None:
    """Weights that learn, gradients and moments by N; at the peak whole weights where they are loaded, sampled or evaluated."""
    for changes in (("policy.kind=grpo",), ("policy.kind=ppo",), ("policy.kind=dpo",), ("lora.rank=16",)):
        one = plan_of(half, *changes)
        whole, parts = one.stages(), replace(one, parts=4).stages()
        for alone, part in zip(whole, parts, strict=True):
            assert part.gradients == pytest.approx(alone.gradients / 4, rel=1e-6)
            assert part.optimizer == pytest.approx(alone.optimizer / 4, rel=1e-6)
            assert part.weights <= alone.weights
            assert (part.disk, part.stage) == (alone.disk, alone.stage)
    assert peak_of(replace(plan_of(half, "policy.kind=grpo"), parts=8)) < 0.75 * peak_of(
        plan_of(half, "policy.kind=grpo")
    )
    assert plan_memory(config.read("tiny", ["runtime.shard=full"])).table()["notes"] == [
        'runtime.shard = "full" has no effect in one process: add --launch torchrun --nproc-per-node N',
        KEPT,
    ]
    (note,) = plan_memory(config.read("tiny", ["runtime.shard=full"]), processes=4).table()["notes"][:-1]
    assert note.startswith("every number is that of one of 4 processes")


@pytest.mark.parametrize("rank", [0, 16])
def test_layers_that_do_not_learn_take_no_gradients_and_no_activations(half: ModelShape, rank: int) -> None:
    def stage(name: str, *changes: str) -> StageMemory:
        return next(s for s in plan_of(half, f"lora.rank={rank}", *changes).stages() if s.stage == name)

    for name, section in (("sft", "sft"), ("reward_model", "reward")):
        whole, top = stage(name), stage(name, f"{section}.trainable_layers=6")
        assert top.gradients == pytest.approx((half.adapter(rank, "all-linear") or half.matrices) / 4 * FLOAT)
        assert top.optimizer == 2 * top.gradients
        assert top.activations < whole.activations
        assert top.peak < whole.peak
        assert top.disk < whole.disk


def test_what_frozen_layers_make_of_the_answers_is_counted_and_bounded(half: ModelShape) -> None:
    once = ("reward.trainable_layers=6", "comparisons.count=200", "reward.epochs=1", "reward.learning_curve=false")

    def kept(*changes: str) -> float:
        return plan_of(half, *once, *changes).states

    assert kept() == kept("reward.trainable_layers=0", "reward.epochs=3") == 0  # each is read once, or all layers learn
    some = kept("reward.epochs=3")
    assert some == kept("reward.members=2", "reward.epochs=1") == pytest.approx(200 * 0.9 * 3 * 256 * 896 * 4)
    assert kept("reward.start=probe", "reward.layers=auto") == 2 * some  # half and all of them, for a while
    assert kept("reward.epochs=3", "comparisons.count=100000") == ROOM
    assert kept("reward.epochs=3", "comparisons.source=file", "comparisons.path=a.jsonl") == ROOM
    plan = plan_of(half, *once, "reward.epochs=3")
    stages = [next(s for s in p.stages() if s.stage == "reward_model") for p in (plan, plan_of(half, *once))]
    assert stages[0].peak - stages[1].peak == pytest.approx(some)
    assert any("kept while it is fitted" in note for note in notes(plan))
