"""Weights that don't fit are refused by name, and never replaced by chance; known wrappers around them are taken away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from families import CPU, WEIGHTS, change, save_model, tensors, variant
from torch import Tensor

from trueward.models import loading, whole

Weights = dict[str, Tensor]
META = torch.device("meta")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("base") / "base")


WRAPPED: dict[str, Callable[[str], str]] = {
    "model.": lambda name: "model." + name,
    "model.model.": lambda name: "model.model." + name,
    "base_model.model.": lambda name: "base_model.model." + name,
    "module.": lambda name: "module." + name,
    "_orig_mod.": lambda name: "_orig_mod." + name,
    "module._orig_mod.": lambda name: "module._orig_mod." + name,
    "_orig_mod.module.": lambda name: "_orig_mod.module." + name,
    "pretrained_model.": lambda name: "pretrained_model." + name,
    "transformer.": lambda name: "transformer." + name,
    "actor.model.": lambda name: "actor.model." + name,
    "_fsdp_wrapped_module. inside": lambda name: name.replace("self_attn", "_fsdp_wrapped_module.self_attn"),
    "_orig_mod. inside of module.": lambda name: "module." + name.replace("self_attn", "_orig_mod.self_attn"),
    "the inner model's names": lambda name: name.removeprefix("model."),
    "module. before the inner model's": lambda name: "module." + name.removeprefix("model."),
}


@pytest.mark.parametrize("which", WRAPPED)
def test_known_wrappers_are_taken_away(which: str, base: Path, tmp_path: Path) -> None:
    given = tensors(base)
    place = str(variant(base, tmp_path / "wrapped", {WRAPPED[which](name): t for name, t in given.items()}))
    one, other = (loading.causal(place, seed, CPU) for seed in (1, 2))
    for name, t in given.items():
        assert torch.equal(one.model.state_dict()[name], t), name
        assert torch.equal(other.model.state_dict()[name], t), name
    loading.causal(place, 0, META)
    loading.save(one, tmp_path / "saved")
    assert set(tensors(tmp_path / "saved")) == set(given)  # as other tools know them


FAULTS: dict[str, tuple[Callable[[Weights], Weights], list[str]]] = {
    "an unknown wrapper": (
        lambda w: {f"strange.{name}": t for name, t in w.items()},
        ["no lm_head.weight, model.embed_tokens.weight", "no place for strange.lm_head.weight", "18 more"],
    ),
    "a tensor is gone": (
        lambda w: {name: t for name, t in w.items() if name != "model.layers.1.self_attn.q_proj.weight"},
        ["no model.layers.1.self_attn.q_proj.weight"],
    ),
    "a layer is gone": (lambda w: {n: t for n, t in w.items() if ".layers.1." not in n}, ["no model.layers.1."]),
    "a layer too many": (
        lambda w: w | {n.replace(".layers.1.", ".layers.2."): t.clone() for n, t in w.items()},
        ["no place for model.layers.2."],
    ),
    "no head of a language model": (lambda w: {n: t for n, t in w.items() if n != "lm_head.weight"}, ["no lm_head.weight"]),
    "a value head beside it": (lambda w: w | {"v_head.weight": torch.ones(1, 16)}, ["no place for v_head.weight"]),
    "a reward model's": (
        lambda w: {n: t for n, t in w.items() if n != "lm_head.weight"} | {"score.weight": torch.ones(1, 16)},
        ["no lm_head.weight", "no place for score.weight"],
    ),
    "an adapter that was never merged": (
        lambda w: {n.replace("q_proj.weight", "q_proj.base_layer.weight"): t for n, t in w.items()}
        | {"model.layers.0.self_attn.q_proj.lora_A.default.weight": torch.ones(2, 16)},
        ["no model.layers.0.self_attn.q_proj.weight", "base_layer"],
    ),
    "another shape": (
        lambda w: {n: t[:, :8] if n == "model.layers.0.self_attn.q_proj.weight" else t for n, t in w.items()},
        ["model.layers.0.self_attn.q_proj.weight has the shape 16×8 in its files and 16×16 in the model"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("device", [CPU, META], ids=str)
@pytest.mark.parametrize("which", FAULTS)
def test_what_is_not_whole_is_refused_in_one_line_that_names_it(
    which: str, device: torch.device, base: Path, tmp_path: Path
) -> None:
    make, expected = FAULTS[which]
    place = variant(base, tmp_path / "broken", make(tensors(base)))
    with pytest.raises(ValueError, match="can't be loaded whole as a model") as caught:
        loading.causal(str(place), 0, device)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(place))
    for part in expected:
        assert part in line, line


def test_constants_that_older_files_hold_are_no_weights(base: Path, tmp_path: Path) -> None:
    older = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    loading.causal(str(variant(base, tmp_path / "llama", tensors(base) | older)), 0, CPU)
    gpt2 = save_model(tmp_path / "gpt2", "gpt2")
    older = {
        "transformer.h.0.attn.bias": torch.ones(1, 1, 64, 64),
        "transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
    }
    loading.causal(str(variant(gpt2, tmp_path / "older", tensors(gpt2) | older)), 0, CPU)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "qwen2", "gemma2", "phi3", "mixtral"])
def test_wrappers_and_faults_in_other_families(family: str, tmp_path: Path) -> None:
    base = save_model(tmp_path / "base", family)
    given = tensors(base)
    whole_model = loading.causal(str(base), 0, CPU).model.state_dict()
    place = variant(base, tmp_path / "wrapped", {"module." + name: t for name, t in given.items()})
    for name, t in loading.causal(str(place), 5, CPU).model.state_dict().items():
        assert torch.equal(t, whole_model[name]), name
    lost = next(name for name in sorted(given) if ".1." in name and "expert" not in name)
    place = variant(base, tmp_path / "lost", {name: t for name, t in given.items() if name != lost})
    with pytest.raises(ValueError, match="its files have no "):
        loading.causal(str(place), 0, CPU)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda p: (p / WEIGHTS).unlink(), "no file named model.safetensors"),
    "cut": (lambda p: (p / WEIGHTS).write_bytes((p / WEIGHTS).read_bytes()[:-100]), "file not fully covered"),
    "a word for a number": (lambda p: change(p / "config.json", hidden_size="x"), "hidden_size"),
    "an unknown activation": (lambda p: change(p / "config.json", hidden_act="nope"), "it names 'nope'"),
    "an unknown family": (lambda p: change(p / "config.json", model_type="what"), "model type `what`"),
    "no heads": (lambda p: change(p / "config.json", num_attention_heads=0), "zero"),
}


@pytest.mark.parametrize("which", BROKEN)
def test_broken_files_are_one_line(which: str, base: Path, tmp_path: Path) -> None:
    place = variant(base, tmp_path / "broken", tensors(base))
    BROKEN[which][0](place)
    with pytest.raises(ValueError, match="broken: can't be loaded as a model: ") as caught:
        loading.causal(str(place), 0, CPU)
    assert BROKEN[which][1] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_output_head_that_differs_from_the_embeddings_is_kept(tmp_path: Path) -> None:
    """Although the configuration says that they are one."""
    base = save_model(tmp_path / "base", tie_word_embeddings=True)
    given = tensors(base)
    assert "lm_head.weight" not in given
    twice = given | {"lm_head.weight": 2 * given["model.embed_tokens.weight"]}
    network = loading.causal(str(variant(base, tmp_path / "twice", twice)), 0, CPU)
    loading.save(network, tmp_path / "saved")
    for model in (network.model, loading.causal(str(tmp_path / "saved"), 0, CPU).model):
        assert torch.equal(model.lm_head.weight, twice["lm_head.weight"])
        assert torch.equal(model.model.embed_tokens.weight, given["model.embed_tokens.weight"])


def test_a_prefix_is_taken_from_what_most_names_show() -> None:
    lacking = {"lm_head.weight", "model.norm.weight", "model.layers.0.weight"}
    assert whole.wrapper(lacking, {f"module.{n}" for n in lacking}, "model") == "module."
    assert whole.wrapper(lacking, {f"x.{n}" for n in lacking}, "model") == ""
    assert whole.wrapper(lacking, set(), "model") == ""
