"""Adapters: they begin as nothing, learn alone, share their base, and merged they are the same model."""

from __future__ import annotations

import hashlib
import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from trueward.batches import Tokens
from trueward.config import LoraConfig
from trueward.losses.masks import masked_sum
from trueward.models import adapter_base, heads, loading, lora, shared_base
from trueward.models.network import Network
from trueward.records import Completion, Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.fast import FastDecoder
from trueward.sampling.sampler import SamplingParams, sample
from trueward.training.state import State, adam

CPU = torch.device("cpu")
FULL = LoraConfig(rank=64)  # as wide as the model


def tokens() -> Tokens:
    return Tokens.collate([([1, 7, 9], [8, 9, 2]), ([1, 11], [12, 30, 17, 2]), ([1, 5, 6, 8], [40])], pad=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy on disk."""
    path = tmp_path_factory.mktemp("lora") / "sft" / "model"
    path.parent.mkdir()
    loading.save(loading.causal("trueward:tiny", 3, CPU), path)
    return path


def learner(folder: Path, config: LoraConfig = FULL, seed: int = 0) -> Network:
    return shared_base.adapted(shared_base.policy(str(folder), 0, CPU), config, seed)


def move(network: Network, seed: int = 1) -> Network:
    """Adapters that do something."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in lora.own_parameters(network.model).values():
            p.add_(0.05 * torch.randn(p.shape, generator=draw))
    return network


def behind() -> LocalEngine:
    """An engine that samples from weights of some steps ago."""
    return LocalEngine(SamplingParams(max_new_tokens=4), sync_every=2)


def digest(model: Any) -> str:
    """Of all weights that are not an adapter's or a head's."""
    mine = lora.own_parameters(model) if lora.is_adapted(model) else {}
    result = hashlib.sha256()
    for name, p in model.named_parameters():
        if name not in mine:
            result.update(p.detach().numpy().tobytes())
    return result.hexdigest()


def storages(*models: Any) -> list[int]:
    """Where the weights lie that are no adapter's and no head's, each place once."""
    return sorted(
        {p.data_ptr() for m in models for n, p in m.named_parameters() if ".lora_" not in n and "score" not in n}
    )


def test_a_fresh_adapter_changes_nothing(folder: Path) -> None:
    """At full rank too: B is zero, so the ratio is 1 and the KL 0, to the last bit."""
    policy, reference, plain = (
        learner(folder),
        shared_base.policy(str(folder), 0, CPU),
        loading.causal(str(folder), 0, CPU),
    )
    result, ref_logprobs, sft = (heads.response_logprobs(n.model, tokens()) for n in (policy, reference, plain))
    assert torch.equal(result, ref_logprobs)
    assert torch.equal(ref_logprobs, sft)
    assert torch.equal((result - ref_logprobs).exp(), torch.ones_like(result))
    assert any(p.abs().max() > 0 for n, p in lora.own_parameters(policy.model).items() if "lora_A" in n)
    assert all(p.abs().max() == 0 for n, p in lora.own_parameters(policy.model).items() if "lora_B" in n)


def test_the_reference_stays_the_sft_policy_while_the_adapter_learns(folder: Path) -> None:
    policy, reference = learner(folder), shared_base.policy(str(folder), 0, CPU)
    before = heads.response_logprobs(reference.model, tokens())
    move(policy)
    assert torch.equal(heads.response_logprobs(reference.model, tokens()), before)
    assert (heads.response_logprobs(policy.model, tokens()) - before).abs().max() > 1e-3


@pytest.mark.parametrize("config", [FULL, LoraConfig(rank=2, alpha=1.5, targets=("q_proj", "down_proj"))])
def test_merged_is_the_same_model(folder: Path, config: LoraConfig) -> None:
    policy = move(learner(folder, config))
    whole = lora.merged(policy.model)
    one, two = (heads.response_logprobs(m, tokens()) for m in (policy.model, whole))
    assert (one - two).abs().max() < 1e-5
    assert not any("lora" in name for name, _ in whole.named_modules())
    # By hand: W + alpha / r · B·A.
    layer = policy.model.model.layers[1].mlp.down_proj
    by_hand = layer.base_layer.weight.double() + config.alpha / config.rank * (
        layer.lora_B["default"].weight.double() @ layer.lora_A["default"].weight.double()
    )
    assert (whole.model.layers[1].mlp.down_proj.weight.double() - by_hand).abs().max() < 1e-6
    assert torch.equal(lora.weight(layer), whole.model.layers[1].mlp.down_proj.weight)


def test_merging_leaves_base_and_adapter_as_they_are(folder: Path) -> None:
    policy = move(learner(folder))
    before, base = heads.response_logprobs(policy.model, tokens()), digest(policy.model)
    lora.merged(policy.model)
    FastDecoder(policy.model)
    assert digest(policy.model) == base
    assert torch.equal(heads.response_logprobs(policy.model, tokens()), before)


def test_an_adapter_of_no_numbers_is_not_merged(folder: Path) -> None:
    policy = learner(folder, LoraConfig(rank=2))
    base = digest(policy.model)
    with torch.no_grad():
        policy.model.model.layers[0].mlp.up_proj.lora_B["default"].weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="NaNs detected in the merged weights"):
        lora.merged(policy.model)
    assert digest(policy.model) == base


def test_the_sampler_sees_merged_weights(folder: Path) -> None:
    """Its log-probs are those of the adapted model, far from the base's."""
    policy = move(learner(folder), 5)
    prompts = [Prompt(text=t) for t in ("the film is", "a drama about dogs", "this movie")]
    rollout = sample(policy, prompts, SamplingParams(1.0, 12, 4), Draws(0))
    again = heads.response_logprobs(policy.model, rollout.tokens)
    base = heads.response_logprobs(shared_base.policy(str(folder), 0, CPU).model, rollout.tokens)
    assert (again - rollout.logprobs).abs().max() < 1e-4
    assert (base - rollout.logprobs).abs().max() > 0.1


def test_gradients_flow_into_adapters_and_heads_alone(folder: Path) -> None:
    policy, value = learner(folder), shared_base.reward_from_policy(str(folder), FULL, 1, CPU)
    base = digest(policy.model)
    optimizers = [adam(n.model, 0.01) for n in (policy, value)]
    for _ in range(3):
        loss = -masked_sum(heads.response_logprobs(policy.model, tokens()), tokens().response_mask, 8.0)
        (loss + (heads.response_values(value.model, tokens()) - 1).pow(2).sum()).backward()
        for network in (policy, value):
            got = {n for n, p in network.model.named_parameters() if p.grad is not None}
            assert got == set(lora.own_parameters(network.model))
            assert all(".lora_" in n or n == "score.weight" for n in got)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert digest(policy.model) == base == digest(value.model)
    assert heads.sequence_scores(value.model, tokens()).abs().max() > 0


def test_one_base_in_memory(folder: Path, tmp_path: Path) -> None:
    """Policy, reference, reward model, value network and a sampler that is behind: each weight lies in one place."""
    policy, reference = learner(folder), shared_base.policy(str(folder), 0, CPU)
    fresh = shared_base.reward_from_policy(str(folder), FULL, 1, CPU)
    loading.save(fresh, tmp_path / "model")
    rewards = [shared_base.reward(tmp_path / "model", CPU) for _ in range(2)]
    older = behind().hold(policy)["sampler"]
    everyone = [n.model for n in (policy, reference, fresh, *rewards)] + [older]
    names = [n for n, _ in reference.model.named_parameters()]
    assert len(storages(*everyone)) == len(names) == len(storages(reference.model))
    own = [p.data_ptr() for m in everyone for p in (lora.own_parameters(m) if lora.is_adapted(m) else {}).values()]
    assert len(own) == len(set(own))
    assert len(storages(loading.causal(str(folder), 0, CPU).model, reference.model)) == 2 * len(names)


def test_a_base_goes_when_nothing_stands_on_it(folder: Path) -> None:
    policy = shared_base.policy(str(folder), 0, CPU)
    gone = weakref.ref(policy.base)
    assert shared_base.policy(str(folder), 0, CPU).base is policy.base
    del policy
    assert gone() is None


def test_a_state_holds_what_is_trained_and_comes_back_to_the_bit(folder: Path, tmp_path: Path) -> None:
    def made() -> tuple[State, Network, Network]:
        policy, value = (
            learner(folder, LoraConfig(rank=4)),
            shared_base.reward_from_policy(str(folder), LoraConfig(rank=4), 1, CPU),
        )
        optimizers = {"policy": adam(policy.model, 0.01), "value": adam(value.model, 0.01)}
        networks = {"policy": policy.model, "value": value.model, **behind().hold(policy)}
        return State(networks, optimizers), policy, value

    def step(state: State, policy: Network, value: Network) -> None:
        loss = -heads.response_logprobs(policy.model, tokens()).sum()
        (loss + heads.sequence_scores(value.model, tokens()).sub(1).pow(2).sum()).backward()
        for optimizer in state.optimizers.values():
            optimizer.step()
            optimizer.zero_grad()
        state.step += 1

    state, policy, value = made()
    step(state, policy, value)
    state.save(tmp_path / "saved", {})
    step(state, policy, value)
    other, again, its_value = made()
    other.load(
        tmp_path / "saved",
    )
    step(other, again, its_value)
    for name, network in state.networks.items():
        mine, theirs = lora.own_parameters(network), lora.own_parameters(other.networks[name])
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    bytes_saved = sum(f.stat().st_size for f in (tmp_path / "saved").glob("*.safetensors"))
    whole = 4 * loading.parameters(loading.causal(str(folder), 0, CPU).model)
    names = {k for f in ("policy", "value", "sampler") for k in loaded(tmp_path / "saved" / f"{f}.safetensors")}
    assert all(".lora_" in n or n == "score.weight" for n in names)
    assert bytes_saved < whole


def loaded(file: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return list(opened.keys())


def test_a_sampler_that_is_behind_takes_over_the_adapter_alone(folder: Path) -> None:
    policy, engine = learner(folder), behind()
    older = engine.hold(policy)["sampler"]
    move(policy)
    before = heads.response_logprobs(older, tokens())
    assert not torch.equal(before, heads.response_logprobs(policy.model, tokens()))
    engine.publish(policy, 2)
    assert torch.equal(heads.response_logprobs(older, tokens()), heads.response_logprobs(policy.model, tokens()))


@pytest.mark.parametrize("form", ["merged", "adapter"])
def test_saved_and_loaded_again(folder: Path, tmp_path: Path, form: Any) -> None:
    """A policy, by us with a shared base and without, and by plain transformers or peft: the same log-probs."""
    policy = move(learner(folder, LoraConfig(rank=3, save=form)))
    expected = heads.response_logprobs(policy.model, tokens())
    loading.save(policy, tmp_path / "policy")
    shared = shared_base.policy(str(tmp_path / "policy"), 0, CPU)
    assert torch.equal(heads.response_logprobs(shared.model, tokens()), expected)
    assert storages(shared.model) == storages(policy.model)
    plain = loading.causal(str(tmp_path / "policy"), 0, CPU)
    assert not lora.is_adapted(plain.model)
    assert all(p.requires_grad for p in plain.model.parameters())
    assert (heads.response_logprobs(plain.model, tokens()) - expected).abs().max() < 1e-5
    whole = (tmp_path / "policy" / "model.safetensors").exists()
    assert whole == (form == "merged")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "policy")  # with peft installed, an adapter too
    assert (heads.response_logprobs(theirs.eval(), tokens()) - expected).abs().max() < 1e-5


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # what peft asks transformers
def test_an_adapter_alone_is_what_peft_reads(folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    policy = move(learner(folder, LoraConfig(rank=3, save="adapter")))
    loading.save(policy, tmp_path / "policy")
    table = json.loads((tmp_path / "policy" / "adapter_config.json").read_text())
    assert Path(table["base_model_name_or_path"]) == folder
    assert table["target_modules"] == sorted(table["target_modules"])
    base = AutoModelForCausalLM.from_pretrained(table["base_model_name_or_path"])
    theirs = PeftModel.from_pretrained(base, tmp_path / "policy").merge_and_unload()
    expected = heads.response_logprobs(policy.model, tokens())
    assert (heads.response_logprobs(theirs.eval(), tokens()) - expected).abs().max() < 1e-5


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # what peft asks transformers
@pytest.mark.parametrize("form", ["merged", "adapter"])
def test_a_reward_model_saved_and_loaded_again(folder: Path, tmp_path: Path, form: Any) -> None:
    from peft import PeftModel

    from trueward.scorers import reward_model
    from trueward.scorers.scorer import Scale

    network = move(shared_base.reward_from_policy(str(folder), LoraConfig(rank=3, save=form), 1, CPU))
    answers = [Completion(prompt=Prompt(text="the film is"), response=" warm and bright ."), *answer_pairs()]
    made = reward_model.RewardModel(network, Scale(0.5, 2.0))
    made.save(tmp_path / "reward")
    shared, plain = (reward_model.load(tmp_path / "reward", CPU, shared) for shared in (True, False))
    assert (shared.raw(answers) == made.raw(answers)).all()
    assert shared.scale == plain.scale == made.scale
    assert abs(plain.raw(answers) - made.raw(answers)).max() < 1e-5
    assert lora.is_adapted(shared.network.model)
    assert not lora.is_adapted(plain.network.model)
    kind = AutoModelForSequenceClassification
    if form == "merged":
        theirs: Any = kind.from_pretrained(tmp_path / "reward")
    else:
        base = kind.from_pretrained(folder, num_labels=1)
        theirs = PeftModel.from_pretrained(base, tmp_path / "reward").merge_and_unload()
    result = theirs.eval()(input_ids=tokens().ids, attention_mask=tokens().ids != 0).logits.squeeze(-1)
    assert (result - heads.sequence_scores(network.model, tokens())).abs().max() < 1e-5


def answer_pairs() -> list[Completion]:
    return [
        Completion(prompt=Prompt(text="a drama"), response=r, finished=f)
        for r, f in ((" is dull .", True), (" was very funny", False))
    ]


def test_a_frozen_reward_model_and_the_value_network_from_it_share_no_head(folder: Path, tmp_path: Path) -> None:
    """Neither with an adapter of its own, nor one that came whole."""
    whole = loading.reward_from_policy(folder, CPU)
    loading.save(whole, tmp_path / "reward")
    proxy = shared_base.reward(tmp_path / "reward", CPU)
    value = shared_base.adapted(shared_base.reward(tmp_path / "reward", CPU), FULL, 1)
    assert storages(proxy.model) == storages(value.model)
    before = heads.sequence_scores(proxy.model, tokens())
    move(value)
    assert torch.equal(heads.sequence_scores(proxy.model, tokens()), before)
    assert not any(p.requires_grad for p in proxy.model.parameters())


def test_a_run_that_was_moved_finds_its_base(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder, run / "sft" / "model")
    policy = move(
        shared_base.adapted(
            shared_base.policy(str(run / "sft" / "model"), 0, CPU), LoraConfig(rank=2, save="adapter"), 0
        )
    )
    loading.save(policy, run / "policy" / "model")
    expected = heads.response_logprobs(policy.model, tokens())
    run.rename(tmp_path / "elsewhere")
    result = loading.causal(str(tmp_path / "elsewhere" / "policy" / "model"), 0, CPU)
    assert (heads.response_logprobs(result.model, tokens()) - expected).abs().max() < 1e-5
    shutil.rmtree(tmp_path / "elsewhere" / "sft")
    with pytest.raises(ValueError, match="the model that this adapter is for is gone"):
        loading.causal(str(tmp_path / "elsewhere" / "policy" / "model"), 0, CPU)


def test_a_run_that_was_copied_has_its_own_base(folder: Path, tmp_path: Path) -> None:
    run, copy = tmp_path / "run", tmp_path / "copy"
    shutil.copytree(folder, run / "sft" / "model")
    base = shared_base.policy(str(run / "sft" / "model"), 0, CPU)
    policy = move(shared_base.adapted(base, LoraConfig(rank=2, save="adapter"), 0))
    loading.save(policy, run / "policy" / "model")
    expected = heads.response_logprobs(policy.model, tokens())
    shutil.copytree(run, copy)
    loading.save(loading.causal("trueward:tiny", 4, CPU), run / "sft" / "model")  # the run was made again
    result = loading.causal(str(copy / "policy" / "model"), 0, CPU)
    assert (heads.response_logprobs(result.model, tokens()) - expected).abs().max() < 1e-5
    assert json.loads((copy / "policy" / "model" / adapter_base.PLACE).read_text()) == {"place": "../../sft/model"}
    for damaged in ("{}", "[]", '{"place": 3}', '{"place": "/etc"}', "not JSON"):
        (copy / "policy" / "model" / adapter_base.PLACE).write_text(damaged)
        with pytest.raises(ValueError, match="damaged"):
            loading.causal(str(copy / "policy" / "model"), 0, CPU)


def test_another_base_under_the_same_name_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "base")
    loading.save(
        shared_base.adapted(shared_base.policy(str(tmp_path / "base"), 0, CPU), LoraConfig(rank=2, save="adapter"), 0),
        tmp_path / "policy",
    )
    loading.save(loading.causal("trueward:tiny", 4, CPU), tmp_path / "base")
    for load in (loading.causal, shared_base.policy):
        with pytest.raises(ValueError, match="its base has changed since this adapter was trained"):
            load(str(tmp_path / "policy"), 0, CPU)


def test_targets_are_checked(folder: Path) -> None:
    with pytest.raises(
        ValueError, match=r"lora.targets: 'query' is no linear layer of this model; there are down_proj, g"
    ):
        learner(folder, LoraConfig(rank=2, targets=("query",)))
    with pytest.raises(ValueError, match="a table has no linear layers"):
        shared_base.adapted(loading.causal("trueward:nano", 0, CPU), LoraConfig(rank=2), 0)
    policy = learner(folder, LoraConfig(rank=2, targets=("q_proj",)))
    assert {n.split(".")[4] for n in lora.own_parameters(policy.model)} == {"q_proj"}


def test_a_seed_is_an_adapter(folder: Path) -> None:
    one, same, other = (lora.own_parameters(learner(folder, LoraConfig(rank=2), seed).model) for seed in (1, 1, 2))
    assert all(torch.equal(one[n], same[n]) for n in one)
    assert not any(torch.equal(one[n], other[n]) for n in one if "lora_A" in n)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "qwen2"])
def test_other_families(family: str, tmp_path: Path) -> None:
    """GPT-2's layers lie the other way round, NeoX has q, k and v in one: merged and adapted they say the same."""
    from transformers import AutoConfig

    tokenizer = loading.causal("trueward:tiny", 0, CPU).tokenizer
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    small = {"n_embd": 32, "n_layer": 2, "n_head": 2} if family == "gpt2" else small
    small |= {"num_key_value_heads": 2} if family == "qwen2" else {}
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=2, pad_token_id=0, **small
    )
    torch.manual_seed(0)
    loading.save(Network(AutoModelForCausalLM.from_config(config).eval(), tokenizer), tmp_path / "base")
    policy = move(learner(tmp_path / "base", LoraConfig(rank=2)))
    value = move(shared_base.reward_from_policy(str(tmp_path / "base"), LoraConfig(rank=2), 1, CPU))
    one, two = (heads.response_logprobs(m, tokens()) for m in (policy.model, lora.merged(policy.model)))
    assert (one - two).abs().max() < 1e-5
    assert (
        one - heads.response_logprobs(shared_base.policy(str(tmp_path / "base"), 0, CPU).model, tokens())
    ).abs().max() > 1e-3
    loading.save(value, tmp_path / "reward")
    result = heads.sequence_scores(loading.reward(tmp_path / "reward", CPU).model, tokens())
    assert (result - heads.sequence_scores(value.model, tokens())).abs().max() < 1e-5
