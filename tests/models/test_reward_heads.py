"""Reward models from other tools: the head is theirs, under whatever name, or the model is refused. Never one of chance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from families import CPU, WEIGHTS, change, save_model, tensors, variant, words
from safetensors.torch import save_file
from torch import Tensor

from trueward.models import loading
from trueward.records import Completion, Prompt
from trueward.scorers import reward_model
from trueward.scorers.scorer import Scale

META = torch.device("meta")
HEAD = torch.linspace(-1, 1, 16)[None]
NAMES = [
    "score", "score.0", "score.1", "classifier", "v_head", "v_head.summary", "value_head", "value_head.summary", "reward_head",
    "regression_head", "rm_head",
]  # fmt: skip


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("policy") / "policy")


@pytest.fixture(scope="module")
def body(policy: Path) -> dict[str, Tensor]:
    return {name: t for name, t in tensors(policy).items() if name != "lm_head.weight"}


def by_hand(place: Path, text: str, bias: float = 0.0) -> float:
    """The head times the last state of transformers' own inner model."""
    ids = torch.tensor([words()(text)["input_ids"] + [2]])
    model = transformers.AutoModel.from_pretrained(place).eval()
    with torch.no_grad():
        return float(model(input_ids=ids).last_hidden_state[0, -1] @ HEAD[0]) + bias


@pytest.mark.parametrize("bias", [None, 0.5])
@pytest.mark.parametrize("name", NAMES)
def test_heads_by_other_names_are_read(
    name: str, bias: float | None, policy: Path, body: dict[str, Tensor], tmp_path: Path
) -> None:
    head = {f"{name}.weight": HEAD} | ({} if bias is None else {f"{name}.bias": torch.tensor([bias])})
    place = variant(policy, tmp_path / "reward", body | head)
    one, other = (reward_model.load(place, CPU) for _ in range(2))
    done = Completion(prompt=Prompt(text="the film"), response=" is great .")
    assert one.network.model.config.num_labels == 1
    expected = by_hand(policy, "the film is great .", bias or 0.0)
    assert one.raw([done])[0] == pytest.approx(expected, abs=1e-4)
    assert other.raw([done])[0] == one.raw([done])[0]
    loading.reward(place, META)
    one.scale = Scale(1.0, 2.0)
    one.save(tmp_path / "saved")
    again = reward_model.load(tmp_path / "saved", CPU)
    assert again.raw([done])[0] == pytest.approx(expected, abs=1e-4)


def test_a_head_beside_a_language_models_or_inside_of_a_wrapper(
    policy: Path, body: dict[str, Tensor], tmp_path: Path
) -> None:
    whole = tensors(policy)
    trl = {f"pretrained_model.{n}": t for n, t in whole.items()} | {"v_head.summary.weight": HEAD}
    cases = {
        "beside": whole | {"v_head.summary.weight": HEAD},
        "its own beside": whole | {"score.weight": HEAD},
        "trl": trl,
        "module": {f"module.{n}": t for n, t in (body | {"value_head.weight": HEAD}).items()},
        "inner": {n.removeprefix("model."): t for n, t in body.items()} | {"score.weight": HEAD},
    }
    for name, weights in cases.items():
        model = loading.reward(variant(policy, tmp_path / name, weights), CPU).model
        assert torch.equal(model.score.weight, HEAD), name
        for key, t in body.items():
            assert torch.equal(model.state_dict()[key], t), (name, key)
    place = variant(policy, tmp_path / "one label", whole | {"score.weight": HEAD}, num_labels=1)
    assert torch.equal(loading.reward(place, CPU).model.score.weight, HEAD)


def test_a_head_in_a_file_of_its_own_and_in_an_older_file(
    policy: Path, body: dict[str, Tensor], tmp_path: Path
) -> None:
    place = variant(policy, tmp_path / "factory", tensors(policy))
    save_file(
        {"v_head.summary.weight": HEAD, "v_head.summary.bias": torch.tensor([0.25])}, place / "value_head.safetensors"
    )
    model = loading.reward(place, CPU).model
    assert torch.equal(model.score.weight, HEAD)
    assert model.score.bias.item() == 0.25
    older = variant(policy, tmp_path / "older", {})
    (older / WEIGHTS).unlink()
    torch.save(body | {"v_head.weight": HEAD}, older / "pytorch_model.bin")
    assert torch.equal(loading.reward(older, CPU).model.score.weight, HEAD)


REFUSED: dict[str, tuple[dict[str, Tensor], dict[str, Any], str]] = {
    "never saved": ({}, {}, "its files have no score.weight"),
    "never saved, one label": ({}, {"num_labels": 1}, "its files have no score.weight"),
    "an unknown name": ({"thing.weight": HEAD}, {}, "no place for thing.weight"),
    "two heads": ({"v_head.weight": HEAD, "value_head.weight": 2 * HEAD}, {}, "v_head.weight, value_head.weight"),
    "a head of two layers": ({"score.0.weight": torch.ones(16, 16), "score.2.weight": HEAD}, {}, "no place for score.0.weight"),
    "another width": ({"v_head.weight": torch.ones(1, 8)}, {}, "no place for v_head.weight"),
    "two labels": ({"score.weight": torch.ones(2, 16)}, {}, "has 1 label, this one has 2"),
    "two rows for one label": ({"score.weight": torch.ones(2, 16)}, {"num_labels": 1}, "has the shape 2×16"),
    "several attributes": ({"regression_layer.weight": torch.ones(5, 16)}, {}, "no place for regression_layer.weight"),
}  # fmt: skip


@pytest.mark.parametrize("which", REFUSED)
def test_no_head_or_several_are_refused(which: str, policy: Path, body: dict[str, Tensor], tmp_path: Path) -> None:
    head, settings, expected = REFUSED[which]
    place = variant(policy, tmp_path / "reward", body | head, **settings)
    for device in (CPU, META):
        with pytest.raises(ValueError, match="reward") as caught:
            loading.reward(place, device)
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_policy_is_no_reward_model(policy: Path) -> None:
    with pytest.raises(ValueError, match=r"its files have no score\.weight"):
        loading.reward(policy, CPU)


def test_an_encoders_head_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    config = transformers.BertConfig(vocab_size=len(words()), max_position_embeddings=60, num_labels=1, **small)
    made = transformers.BertForSequenceClassification(config).eval()
    made.save_pretrained(tmp_path / "bert")
    words(cls_token="<bos>", sep_token="<eos>").save_pretrained(tmp_path / "bert")
    given = tensors(tmp_path / "bert")
    moved = {n.replace("classifier.", "reward_head."): t for n, t in given.items()}
    place = variant(tmp_path / "bert", tmp_path / "moved", moved)
    assert torch.equal(loading.reward(place, CPU).model.classifier.weight, made.classifier.weight)
    bare = {n: t for n, t in given.items() if not n.startswith("classifier.")}
    place = variant(tmp_path / "bert", tmp_path / "bare", bare)
    with pytest.raises(ValueError, match=r"its files have no classifier\.bias, classifier\.weight"):
        loading.reward(place, CPU)


def test_a_reward_model_starts_from_a_policy_that_is_whole(
    policy: Path, body: dict[str, Tensor], tmp_path: Path
) -> None:
    assert (loading.reward_from_policy(policy, CPU).model.score.weight == 0).all()
    lost = {n: t for n, t in body.items() if n != "model.norm.weight"}
    with pytest.raises(ValueError, match=r"its files have no model\.norm\.weight"):
        loading.reward_from_policy(variant(policy, tmp_path / "lost", lost), CPU)


def test_labels_that_a_configuration_leaves_out_are_not_guessed(policy: Path, tmp_path: Path) -> None:
    place = variant(policy, tmp_path / "reward", tensors(policy))
    change(place / "config.json", num_labels=3)
    with pytest.raises(ValueError, match=r"its files have no score\.weight"):
        loading.reward(place, CPU)
