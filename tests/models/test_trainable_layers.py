"""`sft.trainable_layers` and `reward.trainable_layers`: the numbers of a model whose lower layers were frozen by hand.

The oracle freezes parameters by their names and computes everything anew; what is kept of the frozen layers is never there.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from families import save_model
from safetensors.torch import load_file
from torch import Tensor

from trueward.algorithms import reward_model as ranking
from trueward.algorithms import sft
from trueward.config import LoraConfig, RewardConfig, SftConfig
from trueward.data.collate import Collator
from trueward.models import derived, heads, loading, lora, state_cache
from trueward.models.fast import packed
from trueward.models.network import Network
from trueward.models.state_cache import StateCache
from trueward.pipeline.head_start import settled
from trueward.pipeline.reward_training import fit_members
from trueward.progress import Progress
from trueward.records import Comparison, Completion, Prompt, Response
from trueward.scorers.ensemble import averaged
from trueward.token_budget import TokenBudget
from trueward.training.env import Env
from trueward.training.journal import MemoryJournal
from trueward.training.setup import Ranking, Supervised

CPU = torch.device("cpu")
LAYERS, TOP = 3, 1
LORA = LoraConfig(rank=2, alpha=8)
IMITATING: dict[str, Any] = {"batch_size": 4, "epochs": 1.5, "learning_rate": 1e-3, "weight_decay": 0.1}
FITTING: dict[str, Any] = {"batch_size": 3, "epochs": 2, "learning_rate": 1e-3, "weight_decay": 0.1}
MANY = 24  # prompts, of which resamples and folds are taken
WORDS = ("great", "warm", "dull", "slow", "lovely", "bad")


class Listening(Progress):
    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, text: str) -> None:
        self.told.append(text)


def completions(count: int = 9) -> list[Completion]:
    return [
        Completion(prompt=Prompt(text=f"the film {'is ' * (i % 3)}"), response=f" {WORDS[i % 6]} and {WORDS[i % 4]} .")
        for i in range(count)
    ]


def comparisons(prompts: int = 8) -> list[Comparison]:
    """Three answers to each prompt, of which the first is in two comparisons."""
    rows = []
    for i in range(prompts):
        texts = [f" {WORDS[i % 6]} ", f" {WORDS[(i + 2) % 6]} and {WORDS[i % 4]} .", f" very {WORDS[(i + 3) % 6]} "]
        sides = [Response(id=str(n), text=text, finished=n != 2) for n, text in enumerate(texts)]
        for other in (1, 2):
            p = (i + other) % 3 / 2
            prompt = Prompt(text=f"this story {'was ' * (i % 4)}{WORDS[i % 5]} but the {WORDS[i % 6]} {WORDS[i // 6]}")
            rows.append(Comparison(prompt=prompt, first=sides[0], second=sides[other], probability=p, source="test"))
    return rows


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Network:
    folder = save_model(tmp_path_factory.mktemp("base"), request.param, num_hidden_layers=LAYERS)
    network = loading.causal(str(folder), 0, CPU)
    network.model.requires_grad_(False)
    return network


def in_type(network: Network, dtype: torch.dtype) -> Network:
    return Network(copy.deepcopy(network.model).to(dtype), network.tokenizer)


def named(model: Any) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def freeze_by_name(model: Any) -> Any:
    """The oracle: everything below the top layers, by the names of transformers, and no adapter there."""
    for name, parameter in model.named_parameters():
        above = any(f"layers.{n}." in name for n in range(len(model.base_model.layers) - TOP, LAYERS))
        learns = above or name.startswith(("model.norm.", "score."))
        parameter.requires_grad_(learns and (not lora.is_adapted(model) or ".lora_" in name or "score" in name))
    return model


def same_adapters(oracle: Any, ours: Any) -> None:
    """The oracle has adapters everywhere; those of the top layers begin as ours do."""
    mine = dict(ours.named_parameters())
    with torch.no_grad():
        for name, parameter in oracle.named_parameters():
            if ".lora_" in name and name in mine:
                parameter.copy_(mine[name])


def close(ours: Any, oracle: Any, bound: float) -> None:
    """The weights that both have; adapters that ours hasn't are zero in the oracle."""
    mine, theirs = ({name.replace(".base_layer", ""): p for name, p in named(m).items()} for m in (ours, oracle))
    assert mine.keys() <= theirs.keys()
    for name, weight in theirs.items():
        if name in mine:
            torch.testing.assert_close(mine[name], weight, rtol=0, atol=bound, msg=name)
        elif "lora_B" in name:
            assert not weight.any()


PRECISIONS = [(torch.float64, 1e-10), (torch.float32, 1e-5)]


@pytest.mark.parametrize(("dtype", "bound"), PRECISIONS)
@pytest.mark.parametrize("adapter", [None, LORA], ids=["full", "lora"])
def test_sft_is_that_of_layers_frozen_by_hand(
    base: Network, adapter: LoraConfig | None, dtype: torch.dtype, bound: float
) -> None:
    ours = in_type(derived.trainable(base, adapter, 3, TOP), dtype)
    oracle = in_type(derived.trainable(base, adapter, 3), dtype)
    same_adapters(freeze_by_name(oracle.model), ours.model)
    before = named(ours.model)
    assert packed.covers(ours.model) == (dtype == torch.float32)
    for network, layers in ((ours, TOP), (oracle, 0)):
        config = SftConfig(trainable_layers=layers, **IMITATING)
        setup = Supervised(policy=network, demonstrations=completions(), seed=1, micro_batch_tokens=24)
        list(sft.train(config, setup, sft.start(config, setup)))
    close(ours.model, oracle.model, bound)
    moved = {name for name, weight in named(ours.model).items() if not torch.equal(weight, before[name])}
    own = ("model.layers.2.",) if adapter else ("model.layers.2.", "model.norm.")
    assert moved
    assert all(name.startswith(own) for name in moved)
    assert all(".lora_" in name for name in moved) == bool(adapter)


@pytest.mark.parametrize("layers", [0, 2])
@pytest.mark.parametrize(("dtype", "bound"), PRECISIONS)
@pytest.mark.parametrize("adapter", [None, LORA], ids=["full", "lora"])
def test_a_reward_model_is_that_of_layers_frozen_by_hand(
    base: Network, adapter: LoraConfig | None, dtype: torch.dtype, bound: float, layers: int
) -> None:
    """With the states of the frozen layers kept, where there is a packed path; in one micro-batch and in several."""
    config = RewardConfig(trainable_layers=TOP, **FITTING, layers=layers or "all")
    policy = in_type(base, dtype)
    start = settled(policy, config, comparisons(), Env())
    assert (start.states is not None) == (dtype == torch.float32)
    for budget in (2000, 30):
        ours = in_type(derived.scalar_head(base, adapter, 3, layers, TOP), dtype)
        oracle = in_type(derived.scalar_head(base, adapter, 3, layers), dtype)
        same_adapters(freeze_by_name(oracle.model), ours.model)
        for network, top, states in ((ours, TOP, start.states), (oracle, 0, None)):
            own = config.model_copy(update={"trainable_layers": top})
            setup = Ranking(
                network=network, comparisons=comparisons(), seed=1, micro_batch_tokens=budget, states=states
            )
            list(ranking.train(own, setup, ranking.start(own, setup)))
        close(ours.model, oracle.model, bound)
        assert ours.model.score.weight.abs().max() > 1e-3


def fitted(policy: Network, config: RewardConfig, env: Env, adapter: LoraConfig | None = None) -> list[Network]:
    answers = [side for row in comparisons()[::2] for side in row.completions()]
    made = fit_members(policy, comparisons(MANY), answers, config, adapter, 0, 0, MemoryJournal(), env)
    assert made is not None
    return made.networks


@pytest.mark.parametrize("adapter", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("more", [{}, {"start": "probe", "held_out": 0.3}, {"layers": "auto", "start": "probe"}])
def test_an_ensemble_reads_what_is_kept_once(
    base: Network, adapter: LoraConfig | None, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same members without anything kept; and the frozen layers are computed once for all of them."""
    config = RewardConfig(trainable_layers=TOP, members=2, resample=True, **{**FITTING, "epochs": 1, **more})
    progress, read = Listening(), []
    lower = packed.lower_states
    monkeypatch.setattr(packed, "lower_states", lambda m, t, n: read.append(len(t)) or lower(m, t, n))
    quick = fitted(base, config, Env(progress=progress), adapter)
    answers = len({side for row in comparisons(MANY) for side in row.completions()})
    widths = 1 if more.get("layers") != "auto" else sum(n > TOP for n in (LAYERS, LAYERS // 2))
    assert sum(read) == answers * widths
    assert any(f" MB of {answers} answers" in line and "is kept" in line for line in progress.told)

    monkeypatch.setattr(state_cache, "ROOM", 0)
    anew = Listening()
    slow = fitted(base, config, Env(progress=anew), adapter)
    assert any("computed anew in every pass" in line for line in anew.told)
    for one, other in zip(quick, slow, strict=True):
        close(one.model, other.model, 1e-5)
    averaged(quick)


def test_states_are_kept_for_each_token_once(base: Network) -> None:
    tokens = Collator(base.tokenizer, base.context).tokens([s for row in comparisons() for s in row.completions()])
    cache = StateCache(base.model, 2, tokens)
    pairs = {
        (tuple(ids[:p].tolist()), tuple(ids[p : p + r].tolist()))
        for ids, p, r in zip(tokens.ids, tokens.prompt_lengths.tolist(), tokens.response_lengths.tolist(), strict=True)
    }
    assert cache.rows == sum(len(p) for p in {p for p, _ in pairs}) + sum(len(r) for _, r in pairs)
    cache.fill(TokenBudget(20))
    with torch.no_grad():
        expected = base.model.base_model(input_ids=tokens.ids, output_hidden_states=True).hidden_states[2]
    joined = cache.joined(tokens)
    assert joined.lower is not None
    assert joined.lower.at is not None
    real = torch.arange(tokens.ids.shape[1]) < tokens.lengths[:, None]
    torch.testing.assert_close(joined.lower.states[joined.lower.at][real], expected[real], rtol=1e-5, atol=1e-4)
    some = joined.take(torch.tensor([5, 2, 3]))
    plain = tokens.take(torch.tensor([5, 2, 3]))
    score = heads.states_at(base.model, plain, plain.before)
    torch.testing.assert_close(heads.states_at(base.model, some, some.before), score, rtol=1e-5, atol=1e-4)
    # What isn't known is read as ever.
    other = Collator(base.tokenizer, base.context).tokens(completions())
    assert cache.joined(other).lower is None


def test_a_checkpoint_holds_what_learns_and_goes_on_from_there(base: Network, tmp_path: Path) -> None:
    """Killed in the second pass: the states are computed anew, to the bit."""
    config = RewardConfig(trainable_layers=TOP, **FITTING)

    def begun() -> tuple[Ranking, Any]:
        states = settled(base, config, comparisons(), Env()).states
        assert states is not None
        setup = Ranking(
            network=derived.scalar_head(base, None, 3, 0, TOP),
            comparisons=comparisons(),
            seed=1,
            micro_batch_tokens=30,
            states=states,
        )
        return setup, ranking.start(config, setup)

    whole, state = begun()
    list(ranking.train(config, whole, state))
    killed, half = begun()
    list(islice(ranking.train(config, killed, half), 4))
    half.save(tmp_path / "state", {})
    saved = load_file(tmp_path / "state" / "reward.safetensors")
    assert saved
    assert all(name.startswith(("model.layers.2.", "model.norm.", "score.")) for name in saved)
    again, resumed = begun()
    resumed.load(tmp_path / "state")
    list(ranking.train(config, again, resumed))
    for name, weight in named(whole.network.model).items():
        assert torch.equal(weight, dict(again.network.model.named_parameters())[name]), name


@pytest.mark.parametrize(
    ("begin", "words"),
    [
        (
            lambda b: derived.trainable(b, LORA, 0, 9),
            r"sft\.trainable_layers = 9: layers that learn, but the model has 3",
        ),
        (lambda b: derived.scalar_head(b, LORA, 0, 2, 3), r"reward\.trainable_layers = 3: .* but the model has 2"),
        (
            lambda b: settled(b, RewardConfig(trainable_layers=4, epochs=2), comparisons(), Env()),
            r"reward\.trainable_layers = 4: layers that learn, but the model has 3",
        ),
    ],
)
def test_more_layers_than_there_are(base: Network, begin: Callable[[Network], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        begin(base)


def test_an_adapter_of_some_layers_is_saved_and_read(base: Network, tmp_path: Path) -> None:
    network = derived.scalar_head(base, LORA, 3, 0, TOP)
    with torch.no_grad():
        for parameter in lora.own_parameters(network.model).values():
            parameter.add_(0.1)
    lora.save(network.model, tmp_path / "adapter", "base", "")
    other = derived.shared_scalar_head(base)
    lora.attach(other.model, tmp_path / "adapter", "")
    close(other.model, network.model, 0.0)
    assert named(other.model).keys() == named(network.model).keys()
