"""Families of models, each tried with tiny random weights of its own; docs/models.md has the table of what came out."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
import transformers
from families import CPU, FAMILIES, GEMMA, TURN_END, change, save_model, tensors, variant, words

from trueward.data.ends import ends
from trueward.models import heads, loading, lora, places, reward_heads, whole
from trueward.models.fast import packed
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.fast import FastDecoder
from trueward.sampling.sampler import SamplingParams, sample

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
PROMPTS = [Prompt(text=t) for t in ("the film is", "the", "the new film is great . the story")] * 4
TEMPERATURE = 0.7


def by_transformers(network: Network, ids: torch.Tensor) -> torch.Tensor:
    """log π of each next token from the library's own forward pass, a row at a time."""
    out = torch.zeros(ids.shape)
    for i, row in enumerate(ids):
        with torch.no_grad():
            logits = network.model(input_ids=row[None]).logits[0, :, : len(network.tokenizer)] / TEMPERATURE
        out[i, 1:] = logits.log_softmax(-1)[:-1].gather(-1, row[1:, None])[:, 0]
    return out


def reward_model(network: Network, folder: Path) -> str:
    """Whether a reward model can be made from it, with the scores that transformers gives it after it was saved."""
    settings = deepcopy(network.model.config)
    settings.num_labels = 1
    try:
        model = lora.with_scalar_head(network.model, settings)
    except ValueError as error:
        return "no" if "transformers has none" in str(error) else str(error)
    with torch.no_grad():
        model.score.weight.copy_(torch.linspace(-1, 1, model.score.in_features)[None])
    loading.save(Network(model, network.tokenizer), folder)
    ids = torch.tensor([network.tokenizer("the film is great")["input_ids"]])
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    own = loading.reward(folder, CPU, "plain").model
    with torch.no_grad():
        expected = theirs(input_ids=ids).logits[0, 0]
        torch.testing.assert_close(own(input_ids=ids).logits[0, 0], expected, atol=1e-5, rtol=1e-5)
        states = heads.hidden_states(own, ids)[:, -1]
        torch.testing.assert_close(own.score(states)[0, 0], expected, atol=1e-4, rtol=1e-4)
    return "yes"


def row(family: str, folder: Path) -> str:
    """The row of the table: everything is checked on the way."""
    place = save_model(folder / family, family, words(GEMMA))
    change(place / "generation_config.json", eos_token_id=[2, 3])
    try:
        network = loading.causal(str(place), 0, CPU)
    except ValueError as error:
        why = "no attention in every layer" if "keep a state in place of keys and values" in str(error) else str(error)
        return f"| {family} | refused: {why} | | | | |"
    wrapped = variant(place, folder / "wrapped", {f"module.{n}": t for n, t in tensors(place).items()})
    for other in (loading.causal(str(wrapped), 1, CPU), loading.causal(str(place), 2, CPU)):
        for name, t in network.model.state_dict().items():
            assert torch.equal(other.model.state_dict()[name], t), name
    assert set(ends(network.tokenizer)) == {2, 3, TURN_END}
    rollout = sample(network, PROMPTS, SamplingParams(TEMPERATURE, 16), Draws.purpose(0, family))
    tokens = rollout.tokens
    assert tokens.ids.max() < len(network.tokenizer) < network.model.config.get_text_config().vocab_size
    learnt = heads.response_logprobs(network.model, tokens, TEMPERATURE)
    torch.testing.assert_close(learnt, rollout.logprobs, atol=5e-5, rtol=0)
    expected = by_transformers(network, tokens.ids) * tokens.response_mask
    torch.testing.assert_close(learnt, expected, atol=5e-5, rtol=0)
    learnt.sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.model.parameters())
    network.model.zero_grad()
    loading.save(network, folder / "saved")
    again = loading.causal(str(folder / "saved"), 0, CPU)
    assert torch.equal(heads.response_logprobs(again.model, tokens, TEMPERATURE), learnt)
    transformers.AutoModelForCausalLM.from_pretrained(folder / "saved")
    drawn = "its own" if FastDecoder.covers(network.model) else "transformers'"
    read = "packed" if packed.covers(network.model) else "transformers'"
    shared = "yes" if heads.has_plain_head(network.model) else "no"
    return f"| {family} | equal | {drawn} | {read} | {reward_model(network, folder / 'reward')} | {shared} |"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_of_families(family: str, tmp_path: Path) -> None:
    made = row(family, tmp_path)
    assert made in PAGE.read_text(encoding="utf-8").splitlines(), made


def test_the_table_has_no_other_rows() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| family |")[2].partition("\n\n")[0]
    named = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert named == list(FAMILIES)


def test_the_page_names_every_head_and_wrapper() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in sorted(reward_heads.HEADS):
        assert f"`{name}`" in page, name
    for name in sorted({*whole.WRAPPERS, *whole.INSIDE}):
        assert f"`{name}.`" in page or name == "rwtranrsformer", name
    for method in ("bitsandbytes", "gptq", "awq"):
        assert f"| `{method}` | `{places.LIBRARIES[method].split()[0]}`" in page
