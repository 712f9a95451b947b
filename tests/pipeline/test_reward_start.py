"""A reward model that starts from a head in closed form: its optimum, what is kept of fine-tuning, and where it is saved.

That it is the same in memory, on disk and after a kill is in test_in_memory.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from trueward import config
from trueward.algorithms import reward_model as algorithm
from trueward.algorithms.reward_model import MemberPlan, member_plan
from trueward.config import LoraConfig, RewardConfig
from trueward.config.unused import notes
from trueward.data.collate import Collator
from trueward.data.nano import CHEERFUL, PLAIN
from trueward.evaluation.probe import fit_probe
from trueward.losses.preference import bradley_terry
from trueward.models import derived, heads, loading, shared_base
from trueward.models.layer_states import layer_states
from trueward.models.linear_head import head_inputs, set_head
from trueward.models.network import Network
from trueward.pipeline import head_start
from trueward.pipeline.head_start import HeadStart, settled
from trueward.pipeline.reward_eval import evaluate_margins, evaluate_reward_model
from trueward.pipeline.reward_training import fit_members
from trueward.pipeline.started_model import StartedModel, are_enough, fit_one, set_aside
from trueward.progress import Progress
from trueward.records import Comparison, Completion, Prompt, Response
from trueward.scorers import reward_model
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale
from trueward.training.env import Env
from trueward.training.journal import MemoryJournal
from trueward.training.setup import Ranking

CPU = torch.device("cpu")
GOOD, BAD = ("great", "warm", "lovely"), ("dull", "slow", "bad")
CLOSED = RewardConfig(start="probe", epochs=0)
TUNED = RewardConfig(start="probe", epochs=2, batch_size=8, learning_rate=1e-3)


class Listening(Progress):
    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, text: str) -> None:
        self.told.append(text)


@pytest.fixture(scope="module")
def policy() -> Network:
    network = loading.causal("trueward:tiny", 0, CPU)
    network.model.requires_grad_(False)
    return network


@pytest.fixture(scope="module")
def table() -> Network:
    return loading.causal("trueward:nano", 0, CPU)


def compared(prompts: int, labels: str = "hard") -> list[Comparison]:
    """Rankings of three answers each, none alike, all pairs: the one with more good words is better, or as soft labels say."""
    draw = np.random.default_rng(0)
    rows = []
    for i in range(prompts):
        picked = [[str(w) for w in draw.choice([*GOOD, *BAD], n)] for n in (2, 3, 4)]
        texts = [" is " + " and ".join(words) + " ." for words in picked]
        worth = [sum(w in GOOD for w in words) + 0.1 * draw.standard_normal() for words in picked]
        for first, second in ((0, 1), (1, 2), (2, 0)):
            p = 1 / (1 + np.exp(-2 * (worth[first] - worth[second])))
            rows.append(
                Comparison(
                    prompt=Prompt(text=f"film {i} the"),
                    first=Response(id=str(first), text=texts[first]),
                    second=Response(id=str(second), text=texts[second]),
                    probability=float(p if labels == "soft" else p > 0.5),
                    source="test",
                )
            )
    return rows


def answers() -> list[Completion]:
    """Two answers to each of some prompts: the scale is taken from them."""
    return [side for c in compared(12)[::3] for side in c.completions()]


def fitted(
    policy: Network,
    rows: Sequence[Comparison],
    reward: RewardConfig,
    lora: LoraConfig | None = None,
    env: Env | None = None,
    unit: Sequence[Completion] = (),
) -> tuple[list[Network], list[dict[str, object]]]:
    made = fit_members(policy, rows, unit or answers(), reward, lora, 0, 0, MemoryJournal(), env or Env())
    return made.networks, [model.row for model in made.started]


def differences(network: Network, rows: Sequence[Comparison]) -> np.ndarray:
    states = head_inputs(network, [side for c in rows for side in c.completions()], 4096).astype(np.float64)
    return np.asarray(states[::2] - states[1::2])


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_the_regularised_loss_has_no_slope_at_the_closed_form(policy: Network, labels: str) -> None:
    """Through the network's own forward pass: the gradient of the mean loss and of the ridge, with respect to the head."""
    rows = compared(40, labels)
    ridge = HeadStart(policy, CLOSED, Env()).fit(rows).ridge
    network = fitted(policy, rows, CLOSED)[0][0]
    x, p = differences(network, rows), torch.tensor([c.probability for c in rows])
    scale = np.sqrt((x**2).mean(axis=0))
    tokens = Collator(network.tokenizer, network.context).tokens([side for c in rows for side in c.completions()])
    raw, score = heads.sequence_scores(network.model, tokens).view(-1, 2), network.model.score.weight
    loss = bradley_terry(raw[:, 0], raw[:, 1], p).mean()
    whole = loss + ridge / 2 * ((score * torch.tensor(scale, dtype=torch.float32)) ** 2).sum()
    slope = torch.autograd.grad(whole, score)[0].squeeze(0).numpy()
    at_zero = (x * (0.5 - p.numpy())[:, None]).mean(axis=0)
    assert np.abs(slope / scale).max() < 1e-3 * np.abs(at_zero / scale).max()


def test_it_is_the_minimum_that_scipy_finds(table: Network) -> None:
    """Of a bag of words, whose states are counts: words that never differ get no weight."""
    draw = np.random.default_rng(1)
    words = [*CHEERFUL[:3], *PLAIN[:3]]
    rows = []
    for i in range(30):
        one, two = (" ".join(draw.choice(words, 4)) for _ in range(2))
        better = sum(w in CHEERFUL for w in one.split()) - sum(w in CHEERFUL for w in two.split())
        sides = [Response(id=text, text=text) for text in (one, two)]
        rows.append(
            Comparison(
                prompt=Prompt(text=f"{PLAIN[i]} {PLAIN[i + 1]}"),
                first=sides[0],
                second=sides[1],
                probability=float((np.sign(better) + 1) / 2),
                source="test",
            )
        )
    head = HeadStart(table, CLOSED, Env()).fit(rows)
    network = fitted(table, rows, CLOSED, unit=[side for c in rows for side in c.completions()])[0][0]
    x, p = differences(network, rows), np.array([c.probability for c in rows])
    used = (x != 0).any(axis=0)
    assert (head.weights[~used] == 0).all()
    scaled = x[:, used] / np.sqrt((x[:, used] ** 2).mean(axis=0))

    def objective(w: np.ndarray) -> float:
        margins = scaled @ w
        return float((np.logaddexp(0, margins) - p * margins).mean() + head.ridge / 2 * (w**2).sum())

    best = minimize(objective, np.zeros(scaled.shape[1]), options={"gtol": 1e-9})
    raw = RewardModel(network, Scale(0.0, 1.0)).raw([side for c in rows for side in c.completions()])
    assert raw[::2] - raw[1::2] == pytest.approx(scaled @ best.x, abs=1e-4)


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)], ids=["whole", "adapters"])
@pytest.mark.parametrize("layers", ["all", 1])
def test_without_training_it_ranks_as_the_probe_does_and_is_saved_like_any_other(
    policy: Network, tmp_path: Path, layers: str | int, lora: LoraConfig | None
) -> None:
    """The probe of the states themselves: after the last norm, which for a middle layer is put on by hand."""
    rows, unseen = compared(40), compared(60)[120:]
    network = fitted(policy, rows, CLOSED.model_copy(update={"layers": layers}), lora)[0][0]
    assert network.model.config.num_hidden_layers == (2 if layers == "all" else 1)
    sides = [side for c in rows + unseen for side in c.completions()]
    states = layer_states(policy, sides, [2 if layers == "all" else 1], 4096)[0]
    if layers != "all":
        with torch.no_grad():
            states = policy.model.base_model.norm(torch.tensor(states).float()).double().numpy()
    x = states[::2] - states[1::2]
    probe = fit_probe(x[: len(rows)], np.array([c.probability for c in rows]), [c.prompt.id for c in rows])
    expected = evaluate_margins(probe.margins(x[len(rows) :]), unseen)
    scorer = RewardModel(network, Scale(0.0, 1.0))
    found = evaluate_reward_model(scorer, unseen)
    assert found["accuracy"] == expected["accuracy"]
    assert found["nll"] == pytest.approx(expected["nll"], abs=2e-4)
    scorer.save(tmp_path / "model")
    again = reward_model.load(tmp_path / "model", CPU)
    assert again.raw(sides) == pytest.approx(scorer.raw(sides), abs=1e-5)
    assert (
        loading.reward(tmp_path / "model", CPU).model.config.num_hidden_layers == network.model.config.num_hidden_layers
    )
    assert policy.model.config.num_hidden_layers == 2 == len(policy.model.base_model.layers), (
        "the policy stays as it is"
    )


def test_fine_tuning_is_kept_only_if_it_lowers_the_loss_on_prompts_set_aside(policy: Network) -> None:
    """What training finds is put in its place: a head that knows the prompts set aside, or one that is turned around."""
    rows, listening = compared(80), Listening()
    env, head = Env(progress=listening), HeadStart(policy, TUNED, Env())
    fit_to, validation = set_aside(rows, TUNED.held_out)
    assert not {c.prompt.id for c in fit_to} & {c.prompt.id for c in validation}
    assert sorted(map(str, [*fit_to, *validation])) == sorted(map(str, rows))
    knowing = head.fit(validation).weights
    seen: list[Sequence[Comparison]] = []

    def trained(sign: float) -> StartedModel:
        def train(settings: RewardConfig, setup: Ranking) -> None:
            seen.append(setup.comparisons)
            assert np.array_equal(setup.network.model.score.weight.detach().numpy()[0], first)
            set_head(setup.network, sign * knowing)

        return fit_one(policy, MemberPlan(TUNED, rows, 0), None, 0, head, train, env, "reward model")

    first = head.fit(fit_to).weights.astype(np.float32)
    better, worse = trained(1.0), trained(-1.0)
    assert list(seen[0]) == list(seen[1]) == list(fit_to), "the prompts set aside are not trained on"
    assert better.row["kept"] == "fine-tuned"
    assert better.row["tuned_nll"] < better.row["probe_nll"]
    assert (better.row["comparisons"], better.row["validation"]) == (len(fit_to), len(validation))
    again = evaluate_reward_model(RewardModel(better.network, Scale(0.0, 1.0)), validation)
    assert again["nll"] == pytest.approx(better.row["tuned_nll"], abs=1e-4)
    assert "the fine-tuned model is kept" in listening.told[0]

    assert worse.row["kept"] == "probe"
    assert worse.row["tuned_nll"] > worse.row["probe_nll"] == better.row["probe_nll"]
    assert worse.row["comparisons"] == len(rows)
    assert "the closed form is kept, fitted to all 240" in listening.told[1]
    whole = fitted(policy, rows, CLOSED)[0][0]
    for ours, theirs in zip(worse.network.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_head_has_a_rate_of_its_own(policy: Network) -> None:
    """After one step AdamW has moved every weight with a gradient by about its rate."""

    def moved(**more: float) -> tuple[float, float]:
        network = derived.scalar_head(policy, None, 0)
        set_head(network, np.ones(network.model.config.hidden_size))
        before = [p.detach().clone() for p in network.model.parameters()]
        rows = compared(8)
        settings = RewardConfig(batch_size=8, learning_rate=1e-4, warmup=0, weight_decay=0, **more)
        setup = Ranking(seed=0, micro_batch_tokens=4096, network=network, comparisons=rows)
        list(algorithm.train(settings, setup, algorithm.start(settings, setup)))
        far = [float((p.detach() - q).abs().max()) for p, q in zip(network.model.parameters(), before, strict=True)]
        return far[-1], max(far[:-1])

    assert moved() == pytest.approx((1e-4, 1e-4), rel=0.05)
    assert moved(head_learning_rate=1e-2) == pytest.approx((1e-2, 1e-4), rel=0.05)


def test_the_layers_are_those_with_the_lower_loss(policy: Network) -> None:
    rows, listening = compared(40), Listening()
    env = Env(progress=listening)
    losses = {n: HeadStart(policy, CLOSED.model_copy(update={"layers": n}), env).fit(rows).loss for n in (1, 2)}
    settings, head, _ = settled(policy, CLOSED.model_copy(update={"layers": "auto"}), rows, env)
    best = min(losses, key=lambda n: losses[n])
    assert settings.layers == (1 if best == 1 else "all")
    assert head is not None
    assert head.fit(rows).loss == losses[best]
    assert f"{best} are kept" in listening.told[-1]


def test_half_and_all_layers_are_read_in_one_go(policy: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same states as each alone, and nothing of an answer is read again afterwards."""
    rows = compared(40)
    half, whole = (HeadStart(policy, CLOSED.model_copy(update={"layers": n}), Env()) for n in (1, "all"))
    half.read_with(whole, rows)
    alone = [HeadStart(policy, CLOSED.model_copy(update={"layers": n}), Env()) for n in (1, "all")]
    expected = [start.differences(rows) for start in alone]
    monkeypatch.setattr(head_start, "head_inputs", None)
    for start, differences in zip((half, whole), expected, strict=True):
        assert start.differences(rows) == pytest.approx(differences, abs=1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 1e-2  # the two depths aren't the same


def test_members_of_bootstrap_samples_differ(policy: Network) -> None:
    settings = CLOSED.model_copy(update={"members": 2, "resample": True})
    networks, rows = fitted(policy, compared(30), settings)
    assert not torch.equal(*(n.model.score.weight for n in networks))
    assert [row["kept"] for row in rows] == ["probe", "probe"]
    plan = member_plan(settings, compared(30), 0, 1)
    alone = fit_one(policy, plan, None, 0, HeadStart(policy, settings, Env()), lambda c, s: None, Env(), "").network
    assert torch.allclose(alone.model.score.weight, networks[1].model.score.weight, atol=1e-5)


def test_too_few_prompts_are_refused(policy: Network, table: Network) -> None:
    assert are_enough(CLOSED, compared(5))
    assert not are_enough(CLOSED, compared(4))
    assert not are_enough(TUNED, compared(4))
    with pytest.raises(ValueError, match="there are comparisons of 4 to fit to"):
        fitted(policy, compared(4), CLOSED)
    with pytest.raises(ValueError, match="comparisons of 4 prompts leave too few to say"):
        fitted(policy, compared(4), TUNED)
    with pytest.raises(ValueError, match=r"reward.layers = 9: the lowest layers of the base, but the model has 2"):
        derived.scalar_head(policy, None, 0, 9)
    with pytest.raises(ValueError, match=r"reward.layers = 1: the lowest layers of the base, but a table has none"):
        derived.scalar_head(table, None, 0, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["reward.epochs=0"], "epochs = 0 trains nothing"),
        (["reward.layers=auto"], "a probe chooses them"),
        (["reward.layers=0"], "reward.layers"),
        (["reward.start=probe", "reward.members=2"], "set resample = true"),
        (["reward.start=probe", "reward.model=x"], "neither start nor layers"),
        (["reward.layers=1", "lora.rank=4", "lora.save=adapter"], 'use lora.save = "merged"'),
    ],
)
def test_settings_that_contradict_each_other(settings: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config.read("tiny", settings)


def test_settings_of_training_do_nothing_without_any() -> None:
    recipe = config.read("tiny", ["reward.start=probe", "reward.epochs=0", "reward.warmup=0.2"])
    assert any(note.startswith("reward.warmup does nothing here: reward.epochs = 0") for note in notes(recipe))


@pytest.mark.parametrize("start", [["reward.start=probe", "reward.epochs=0", "reward.layers=1"], ["reward.layers=1"]])
def test_a_reward_model_of_the_lowest_layers_is_read_beside_the_adapters_of_a_policy(
    climb: Any, tmp_path: Path, start: list[str]
) -> None:
    """It stands on the lowest layers of the base that all networks share, and scores as the model that was saved does."""
    climb(tmp_path, "low", "lora.rank=2", "policy.steps=2", *start, until="evaluation")
    place = tmp_path / "low" / "reward_model" / "model"
    shared = shared_base.reward(place, CPU)
    assert shared.base is not None, "this test is about networks that share their base's weights"
    assert len(shared.model.base_model.layers) == shared.model.config.num_hidden_layers == 1
    sides = [side for c in compared(10) for side in c.completions()]
    alone = RewardModel(loading.reward(place, CPU), Scale(0.0, 1.0)).raw(sides)
    assert RewardModel(shared, Scale(0.0, 1.0)).raw(sides) == pytest.approx(alone, abs=1e-4)
