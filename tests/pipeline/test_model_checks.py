"""The models that a recipe names are tried before anything is trained: each alone, and policy and reward model together."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from trueward import config
from trueward.artifacts import read_json
from trueward.data.collate import Collator
from trueward.data.ends import ends
from trueward.models import loading, vocabulary
from trueward.models.network import Network
from trueward.pipeline import run as pipeline
from trueward.pipeline.announcements import announcements
from trueward.pipeline.value_network import reads_the_same_tokens
from trueward.records import Completion, Prompt
from trueward.scorers import hf_reward_model
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale
from trueward.training.env import Env

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))  # the tiny models of families.py
from families import CPU, GEMMA, TURN_END, change, save_model, tensors, variant, words


def check(*changes: str, until: str = "report") -> None:
    pipeline.check_inputs(config.read("tiny", [*changes]), Env(), until)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "base", "qwen2", spare=20)


@pytest.fixture(scope="module")
def reward(base: Path) -> Path:
    """A reward model of trueward's own on the same layers, with embeddings for the tokenizer's tokens alone."""
    network = loading.reward_from_policy(base, CPU)
    network.model.resize_token_embeddings(len(network.tokenizer), mean_resizing=False)
    with torch.no_grad():
        network.model.score.weight.copy_(torch.linspace(-1, 1, 16)[None])
    RewardModel(network, Scale(0.0, 1.0)).save(base.parent / "reward")
    return base.parent / "reward"


def test_whole_models_that_go_together_pass(base: Path, reward: Path) -> None:
    check(f"model.base={base}", f"reward.model={reward}", f"evaluation.truths=['model:{reward}']")
    check(f"model.base={base}")
    check(f"sft.model={base}", f"model.base={base}")
    check(f"reward.model={reward}")


def test_a_broken_base_is_refused_whatever_comes_first(base: Path, tmp_path: Path) -> None:
    given = tensors(base)
    lost = {n: t for n, t in given.items() if n != "model.norm.weight"}
    place = variant(base, tmp_path / "lost", lost)
    for changes in ([f"model.base={place}"], [f"sft.model={place}"], [f"sft.model={base}", f"model.base={place}"]):
        with pytest.raises(
            ValueError, match=r"lost: can't be loaded whole as a model: its files have no model\.norm\.weight"
        ):
            check(*changes)
    with pytest.raises(ValueError, match=r"its files have no model\.norm\.weight"):
        check(f"model.base={place}", until="sft")


def test_a_reward_model_without_its_head_is_refused_before_anything_is_trained(base: Path, command: Any) -> None:
    with pytest.raises(ValueError, match=r"its files have no score\.weight"):
        check(f"evaluation.truths=['model:{base}']")
    code, out, err = command("run", "tiny", "--quiet", "--set", f"reward.model={base}", "--out", "run")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "its files have no score.weight" in err
    check(f"reward.model={base}", until="sft")  # of it, these stages need nothing


def test_a_reward_model_that_reads_less_than_the_policy_writes(reward: Path, tmp_path: Path) -> None:
    network = loading.reward(reward, CPU)
    network.model.config.max_position_embeddings = 20
    loading.save(network, tmp_path / "short")
    lengths = ["data.max_prompt_tokens=12", "sampler.max_new_tokens=12"]
    with pytest.raises(ValueError, match=r"short reads 20 tokens at most, .* may have 24; lower these"):
        check(f"reward.model={tmp_path / 'short'}", *lengths)
    check(f"reward.model={tmp_path / 'short'}", lengths[0], "sampler.max_new_tokens=8")
    plain = f"reward.model={tmp_path / 'short'}", "reward.template=plain", *lengths
    check(*plain)  # one from another tool counts other tokens, and loses the prompt's beginning, which is counted


def test_answers_that_a_ready_reward_model_would_cut_are_counted(reward: Path) -> None:
    network = loading.reward(reward, CPU)
    prompt = Prompt(text="the film")
    room = network.context - len(Collator(network.tokenizer, network.context).prompt_ids(prompt)) - 1  # the end is one
    answers = [Completion(prompt=prompt, response=" great" * n) for n in (1, 5, room, room + 1, 90)]
    assert hf_reward_model.too_long(network, answers) == 2
    loading.save(network, reward.parent / "plain")
    plain = loading.reward(reward.parent / "plain", CPU, "plain")
    assert hf_reward_model.too_long(plain, answers) == 0


def test_conversations_need_a_template_on_both_sides(base: Path, reward: Path, tmp_path: Path) -> None:
    chat = save_model(tmp_path / "chat", tokenizer=words(GEMMA))
    file = tmp_path / "chat.jsonl"
    turns = [{"role": "user", "content": "the film"}]
    rows = [{"messages": [*turns, {"role": "assistant", "content": f"is great {i}"}]} for i in range(40)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    changes = (f"data.demonstrations={file}", f"sft.model={chat}", "evaluation.truths=[]")
    with pytest.raises(
        ValueError, match=rf"reward\.model: {reward}: the prompts are conversations, but .* no chat template"
    ):
        check(*changes, f"reward.model={reward}")
    network = loading.reward(reward, CPU)
    network.tokenizer.chat_template = GEMMA
    loading.save(network, tmp_path / "talking")
    check(*changes, f"reward.model={tmp_path / 'talking'}")
    with pytest.raises(ValueError, match=r"evaluation\.truths: model:.*no chat template"):
        check(*changes[:2], f"reward.model={tmp_path / 'talking'}", f"evaluation.truths=['model:{reward}']")


def test_a_family_of_which_no_reward_model_can_be_made(reward: Path, tmp_path: Path) -> None:
    place = save_model(tmp_path / "cohere", "cohere")
    for changes in ([], [f"reward.model={reward}", "policy.critic.start=zero"]):
        with pytest.raises(
            ValueError, match="no reward model and no value network can be made from the family 'cohere'"
        ):
            check(f"model.base={place}", *changes)
    check(f"model.base={place}", f"reward.model={reward}")  # the reward model is the value network
    check(f"model.base={place}", f"reward.model={reward}", "policy.kind=rloo")


def test_the_value_network_needs_an_embedding_for_each_of_the_policys_tokens(base: Path, reward: Path) -> None:
    policy, ready = loading.causal(str(base), 0, CPU), loading.reward(reward, CPU)
    assert vocabulary.embeddings(ready.model) == len(policy.tokenizer)
    assert reads_the_same_tokens(ready, policy)
    ready.model.resize_token_embeddings(len(policy.tokenizer) - 1, mean_resizing=False)
    assert not reads_the_same_tokens(Network(ready.model, ready.tokenizer), policy)


def test_embeddings_wider_than_the_tokenizer_through_ppo(base: Path, reward: Path, tmp_path: Path, climb: Any) -> None:
    """The value network has no row for what the tokenizer lacks, so an unknown id would be an error in the middle."""
    wide = tensors(base)
    wide["lm_head.weight"] = wide.get("lm_head.weight", wide["model.embed_tokens.weight"]).clone()
    wide["lm_head.weight"][-20:] *= 5  # they would be drawn all the time
    place = variant(base, tmp_path / "wide", wide, tie_word_embeddings=False)
    change(place / "generation_config.json", eos_token_id=[2, TURN_END])
    run = climb(
        tmp_path,
        "run",
        f"sft.model={place}",
        f"model.base={place}",
        f"reward.model={reward}",
        "policy.steps=2",
        until="policy",
    )
    rows = [json.loads(row) for row in (run.path / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert any(row["finished"] for row in rows)
    policy = loading.causal(str(run.path / "model"), 0, CPU)
    assert set(ends(policy.tokenizer)) == {2, TURN_END}
    assert read_json(run.path / "model" / "config.json")["vocab_size"] == len(policy.tokenizer) + 20


def test_sampling_settings_that_are_set_aside_are_said_before_a_run(base: Path, tmp_path: Path) -> None:
    place = variant(base, tmp_path / "base", tensors(base))
    change(place / "generation_config.json", temperature=0.6, top_p=0.9, do_sample=True)
    lines = announcements(config.read("tiny", [f"model.base={place}"]), tmp_path / "run")
    assert [line for line in lines if "temperature = 0.6, top_p = 0.9: set aside" in line] == lines[-1:]
    assert lines[-1].startswith("model.base: ")
    lines = announcements(config.read("tiny", [f"sft.model={place}"]), tmp_path / "run")
    assert lines[-1].startswith("sft.model: ")
    assert not any("set aside" in line for line in announcements(config.read("tiny", []), tmp_path / "run"))


def test_sample_says_what_is_set_aside_and_its_answers_alone_are_on_standard_output(
    base: Path, tmp_path: Path, command: Any
) -> None:
    place = variant(base, tmp_path / "base", tensors(base))
    change(place / "generation_config.json", repetition_penalty=1.1)
    code, out, err = command("sample", str(place), "--prompt", "the film", "--max-new-tokens", "2")
    assert code == 0
    tokenizer, *notes = err.splitlines()  # a Qwen 2 with the vocabulary of trueward:tiny
    assert "its tokenizer.json is read as it is" in tokenizer
    assert notes == [
        f"trueward: note: {place}: generation_config.json asks for repetition_penalty = 1.1: set aside, since tokens are "
        "drawn by trueward's own settings alone"
    ]
    assert "set aside" not in out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            ["sft.trainable_layers=3"],
            r"sft\.trainable_layers = 3: layers that learn, but the model has 2 \(trueward:tiny\)",
        ),
        (["reward.trainable_layers=3"], r"reward\.trainable_layers = 3: layers that learn, but the model has 2"),
        (["policy.trainable_layers=3"], r"policy\.trainable_layers = 3: layers that learn, but the model has 2"),
        (["sft.trainable_layers=3", "model.base={base}"], r"sft\.trainable_layers = 3: .* the model has 2 "),
        (
            ["reward.trainable_layers=2", "reward.start=probe", "reward.layers=auto"],
            r'with reward\.layers = "auto" the reward model may have 1',
        ),
    ],
)
def test_more_layers_that_learn_than_there_are(base: Path, changes: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(*(change.format(base=base) for change in changes))


def test_layers_that_learn_are_counted_where_something_learns(base: Path) -> None:
    check("sft.trainable_layers=2", "reward.trainable_layers=2", "policy.trainable_layers=2")
    check("sft.trainable_layers=9", f"sft.model={base}")
    check("reward.trainable_layers=9", until="sft")
    check("policy.trainable_layers=9", "policy.kind=best_of_n")
    with pytest.raises(
        ValueError, match=r"reward: trainable_layers = 2: layers that learn, but the reward model has 1"
    ):
        check("reward.trainable_layers=2", "reward.layers=1")


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "smollm3"])
def test_families_whose_layers_are_compiled(family: str, tmp_path: Path) -> None:
    check(f"model.base={save_model(tmp_path / family, family)}", "runtime.compile=true", until="sft")


@pytest.mark.parametrize("family", ["qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "gpt2"])
def test_where_compiling_would_do_nothing_it_is_refused(family: str, tmp_path: Path) -> None:
    place = save_model(tmp_path / family, family)
    check(f"model.base={place}", until="sft")
    said = rf"^runtime\.compile: \S+: layers of this kind \(family '{family}'\) aren't compiled; [^\n]+ leave the setting out$"
    with pytest.raises(ValueError, match=said):
        check(f"model.base={place}", "runtime.compile=true", until="sft")


def test_adapters_and_tables_are_not_compiled(base: Path) -> None:
    for changes in (("lora.rank=2",), (f"model.base={base}", "lora.rank=2")):
        with pytest.raises(
            ValueError, match=r"^runtime\.compile: layers with adapters \(lora\.rank\) aren't compiled; "
        ):
            check(*changes, "runtime.compile=true", until="sft")
    check("runtime.compile=true", until="sft")
