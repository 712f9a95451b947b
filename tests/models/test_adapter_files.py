"""What lies in an adapter's folder beside it: its own tokenizer, chat template and roles win over its base's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from families import CPU, GEMMA, TURN_END, change, save_model, words

from trueward.config import LoraConfig
from trueward.data.collate import Collator
from trueward.data.ends import ends, written_end
from trueward.models import adapter_base, adapter_files, loading, lora, shared_base
from trueward.records import Message, Prompt

QUESTION = Prompt(messages=(Message(role="user", content="the film"),))
OTHER = "{% for m in messages %}<bos>{{ m['content'] }}<eos>{% endfor %}{% if add_generation_prompt %}<bos>{% endif %}"


def adapter(folder: Path, template: str = "") -> Path:
    """An adapter as another tool saves it: no tokenizer, no configuration of the model."""
    base = save_model(folder / "base", tokenizer=words(template))
    network = shared_base.adapted(shared_base.policy(str(base), 0, CPU), LoraConfig(rank=2, save="adapter"), 0)
    with torch.no_grad():
        for name, p in lora.own_parameters(network.model).items():
            p.copy_(torch.linspace(-1, 1, p.numel()).view_as(p) if ".lora_" in name else p)
    loading.save(network, folder / "adapter")
    for file in (folder / "adapter").iterdir():
        if file.name not in (adapter_base.CONFIG, adapter_base.WEIGHTS):
            file.unlink()
    return folder / "adapter"


def everywhere(place: Path) -> list[Any]:
    return [
        loading.causal(str(place), 0, CPU).tokenizer,
        shared_base.policy(str(place), 0, CPU).tokenizer,
        loading.tokenizer(str(place))[0],
    ]


def test_without_anything_the_bases_tokenizer_is_used(tmp_path: Path) -> None:
    place = adapter(tmp_path, GEMMA)
    for tokenizer in everywhere(place):
        assert tokenizer.chat_template == GEMMA
        assert written_end(tokenizer) == TURN_END


@pytest.mark.parametrize(
    "how", ["a whole tokenizer", "a template in a file", "a template in the settings", "an older file"]
)
def test_its_own_template_wins(how: str, tmp_path: Path) -> None:
    place = adapter(tmp_path, GEMMA)
    if how == "a whole tokenizer":
        words(OTHER).save_pretrained(place)
    elif how == "a template in a file":
        (place / adapter_files.TEMPLATE).write_text(OTHER, encoding="utf-8")
    else:
        file = adapter_files.SETTINGS if how == "a template in the settings" else adapter_files.OLDER_TEMPLATE
        change(place / file, chat_template=OTHER)
    for tokenizer in everywhere(place):
        assert tokenizer.chat_template == OTHER
        assert written_end(tokenizer) == tokenizer.eos_token_id == 2
        ids = Collator(tokenizer, 64).prompt_ids(QUESTION)
        assert tokenizer.convert_ids_to_tokens(ids) == ["<bos>", "the", "▁film", "<eos>", "<bos>"]
    assert loading.tokenizer(str(tmp_path / "base"))[0].chat_template == GEMMA  # the base's is as it was
    assert shared_base.policy(str(tmp_path / "base"), 0, CPU).tokenizer.chat_template == GEMMA


def test_a_template_that_only_the_adapter_has(tmp_path: Path) -> None:
    place = adapter(tmp_path)
    words(GEMMA, eos_token="<end_of_turn>").save_pretrained(place)
    for tokenizer in everywhere(place):
        assert tokenizer.eos_token_id == TURN_END
        assert set(ends(tokenizer)) == {2, TURN_END}  # the base's end is one, too


def test_what_ends_an_answer_by_the_bases_files_still_does(tmp_path: Path) -> None:
    place = adapter(tmp_path)
    change(tmp_path / "base" / "generation_config.json", eos_token_id=[2, 9])
    words(OTHER).save_pretrained(place)
    for tokenizer in everywhere(place):
        assert set(ends(tokenizer)) == {2, 9}


def test_its_tokenizer_has_to_fit_the_base(tmp_path: Path) -> None:
    place = adapter(tmp_path)
    tokenizer = words("{{ '<new0>' }}{{ messages[0]['content'] }}")
    tokenizer.add_tokens([f"<new{i}>" for i in reversed(range(9))])
    tokenizer.save_pretrained(place)
    for load in (loading.causal, shared_base.policy):
        with pytest.raises(
            ValueError, match=r"adapter: its tokenizer knows '<new\d>' as number \d+, but the model has"
        ):
            load(str(place), 0, CPU)


def test_a_reward_adapter_from_another_tool(tmp_path: Path) -> None:
    """No configuration of the model beside it, and its own template."""
    base = save_model(tmp_path / "base")
    network = shared_base.reward_from_policy(str(base), LoraConfig(rank=2, save="adapter"), 0, CPU)
    with torch.no_grad():
        network.model.score.weight.copy_(torch.linspace(-1, 1, 16)[None])
    loading.save(network, tmp_path / "reward")
    for file in (tmp_path / "reward").iterdir():
        if file.name not in (adapter_base.CONFIG, adapter_base.WEIGHTS):
            file.unlink()
    words(OTHER).save_pretrained(tmp_path / "reward")
    for load in (loading.reward, shared_base.reward):
        model = load(tmp_path / "reward", CPU)
        assert torch.equal(model.model.score.weight, torch.linspace(-1, 1, 16)[None])
        assert model.model.config.num_labels == 1
        assert model.tokenizer.chat_template == OTHER
    loading.reward(tmp_path / "reward", torch.device("meta"))
    from safetensors.torch import load_file, save_file

    file = tmp_path / "reward" / adapter_base.WEIGHTS
    save_file({n: t for n, t in load_file(file).items() if "score" not in n}, file)
    with pytest.raises(ValueError, match=r"not the adapter that adapter_config\.json describes.*score\.weight"):
        loading.reward(tmp_path / "reward", CPU)


def test_broken_files_are_named_in_one_line(tmp_path: Path) -> None:
    place = adapter(tmp_path)
    (place / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="adapter: can't be loaded as a tokenizer") as caught:
        loading.causal(str(place), 0, CPU)
    assert "\n" not in str(caught.value)
    assert json.loads((place / adapter_base.CONFIG).read_text(encoding="utf-8"))["peft_type"] == "LORA"
