"""The ladder with [lora]: every kind of policy, one base in memory, and the same run after a kill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from trueward import artifacts, config
from trueward.models import adapter_base, heads, loading, lora, shared_base
from trueward.pipeline import optimisation
from trueward.pipeline.answers import exact_sampler
from trueward.pipeline.eval_setup import EvalSetup
from trueward.pipeline.optimisation import Optimisation
from trueward.pipeline.prepare import PREPARE
from trueward.pipeline.records import read_completions
from trueward.pipeline.reward_model import REWARD_MODEL
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.pipeline.sft import SFT
from trueward.pipeline.stage import Stage
from trueward.pipeline.surroundings import run_env
from trueward.progress import Progress
from trueward.sampling.draws import Draws
from trueward.scorers.reward_model import RewardModel
from trueward.training.journal import DirectoryJournal
from trueward.training.state import State

CPU = torch.device("cpu")
ON = ("lora.rank=4", "sft.learning_rate=0.05", "policy.learning_rate=0.02")
KINDS = {
    "ppo": ("policy.ptx_coef=0.5", "policy.critic.start=zero"),
    "grpo": ("policy.kind=grpo", "sampler.engine.sync_every=2"),
    "rloo": ("policy.kind=rloo",),
    "dpo": ("policy.kind=dpo", "policy.dpo.learning_rate=0.02"),
    "online dpo": ("policy.kind=dpo", "policy.dpo.online=true", "policy.dpo.learning_rate=0.02"),
    "sft_on_best": ("policy.kind=sft_on_best", "policy.best_of_n.n=2", "policy.best_of_n.prompts=24"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def run(home: Path, climb: Any) -> Path:
    """A whole run of PPO. Look, don't touch."""
    climb(home, "whole", *ON)
    return home / "whole"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForCausalLM.from_pretrained(folder).named_parameters())


def test_a_whole_run(run: Path) -> None:
    """Each artifact is a model that plain transformers load, and its adapter lies beside it; but SFT's is whole alone."""
    report = artifacts.read_json(run / "report.json")
    assert report["policies"]["policy"]["kl"] > 0
    assert report["policies"]["sft"]["kl"] == pytest.approx(0, abs=1e-9)
    assert adapter_base.find_adapter(run / "sft" / "model") is None
    sft, policy = weights(run / "sft" / "model"), weights(run / "policy" / "model")
    moved = {name for name in sft if not torch.equal(sft[name], policy[name])}
    assert moved == {n for n in sft if n.endswith("proj.weight")}
    reward = AutoModelForSequenceClassification.from_pretrained(run / "reward_model" / "model")
    assert reward.score.weight.abs().max() > 0
    base = loading.causal("trueward:tiny", 0, CPU).model
    assert {n for n, p in base.named_parameters() if not torch.equal(p, sft[n])} == moved


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_policy_learns(home: Path, run: Path, climb: Any, kind: str) -> None:
    """From the same SFT policy and reward model, which are taken over from the run that has them."""
    made = climb(home, kind, *ON, *KINDS[kind], until="policy")
    assert made.summary["steps"] > 0
    sft, policy = weights(home / kind / "sft" / "model"), weights(made.model)
    assert {n for n in sft if not torch.equal(sft[n], policy[n])} == {n for n in sft if n.endswith("proj.weight")}
    rows = [json.loads(row) for row in (made.path / "evaluations.jsonl").read_text().splitlines()]
    assert rows[0]["kl"] == 0
    assert rows[-1]["kl"] > 0


def test_best_of_n_leaves_the_sft_policy_as_it_is(home: Path, run: Path, climb: Any) -> None:
    made = climb(home, "best", *ON, "policy.kind=best_of_n", "policy.best_of_n.n=2", until="policy")
    sft, policy = weights(run / "sft" / "model"), weights(made.model)
    assert all(torch.equal(sft[n], policy[n]) for n in sft)


def given(run: Path, folder: Path) -> Optimisation:
    """What a run's optimiser is given, with what the stages before it left on disk."""
    recipe = config.read(str(run / "recipe.toml"))
    env = run_env(recipe, Progress())

    def read(stage: Stage[Any]) -> Any:
        artifact = artifacts.load(run / stage.name)
        assert artifact is not None
        return stage.read(artifact, env)

    factory = ScorerFactory(env, recipe.seed, recipe.reward, None, recipe.evaluation.options)
    truths = recipe.evaluation.truths
    return Optimisation(
        setup=EvalSetup(read(PREPARE), read(SFT), factory, recipe.sampler, truths, recipe.seed),
        reward=read(REWARD_MODEL),
        comparisons=None,
        config=recipe.policy,
        sampler=recipe.sampler,
        evaluation=recipe.evaluation,
        relabelling=None,
        sft=None,
        lora=recipe.lora,
        seed=recipe.seed,
        env=env,
        journal=DirectoryJournal(folder, env.load),
    )


def shared(model: Any) -> dict[str, torch.Tensor]:
    return {n: p for n, p in model.named_parameters() if ".lora_" not in n and not n.startswith("score")}


def test_four_networks_on_one_base_that_nobody_changes(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a PPO: policy, reference, reward model and value network have their weights in the same places, and those of
    the SFT policy in them, before and after; the adapters are each one's own, and so are the checkpoints."""
    start = given(run, tmp_path)
    critics: list[Any] = []
    make = optimisation.value_network
    monkeypatch.setattr(optimisation, "value_network", lambda *a: critics.append(make(*a)) or critics[0])
    saved: dict[str, set[str]] = {}
    save = State.save

    def spy(state: State, path: Path, more: Any) -> None:
        save(state, path, more)
        saved.update({f.name: set(bases_keys(f)) for f in path.glob("*.safetensors") if "optimizer" not in f.name})

    monkeypatch.setattr(State, "save", spy)
    sft = weights(run / "sft" / "model")
    reference = start.reference.model
    completions = read_completions(run / "sft" / "reference.jsonl")
    assert isinstance(start.proxy, RewardModel)
    before = start.proxy.raw(completions)
    start.online()
    models = [start.policy.model, reference, start.proxy.network.model, critics[0].network.model]
    places = {p.data_ptr() for m in models for p in shared(m).values()}
    assert len(places) == len({p.data_ptr() for p in reference.parameters()}) == len(dict(reference.named_parameters()))
    assert all(torch.equal(p, sft[n]) for n, p in reference.named_parameters())
    own = [p.data_ptr() for m in models if lora.is_adapted(m) for p in lora.own_parameters(m).values()]
    assert len(own) == len(set(own))
    assert [lora.is_adapted(m) for m in models] == [True, False, True, True]
    assert (start.proxy.raw(completions) == before).all()
    assert sorted(saved) == ["policy.safetensors", "value.safetensors"]
    assert all(".lora_" in name or name == "score.weight" for names in saved.values() for name in names)


def bases_keys(file: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return list(opened.keys())


def test_the_anchor_is_the_sft_policy_to_the_bit(run: Path, tmp_path: Path) -> None:
    """And before its first step the policy is too: ratio 1, KL 0."""
    start = given(run, tmp_path)
    prompts = start.setup.prepared.prompts[:8]
    rollout = exact_sampler(start.sampler, start.env)(start.policy, prompts, Draws(0))
    sft = loading.causal(str(run / "sft" / "model"), 0, CPU).model
    policy, anchor, plain = (
        heads.response_logprobs(m, rollout.tokens) for m in (start.policy.model, start.reference.model, sft)
    )
    assert torch.equal(policy, anchor)
    assert torch.equal(anchor, plain)
    metrics = json.loads((run / "policy" / "metrics.jsonl").read_text().splitlines()[0])
    assert metrics["val/ratio_first"] < 1e-4
    evaluations = json.loads((run / "policy" / "evaluations.jsonl").read_text().splitlines()[0])
    assert evaluations["kl"] == 0


def test_adapters_alone(home: Path, run: Path, climb: Any) -> None:
    """lora.save = "adapter": SFT's model is whole still, since the others stand on it; the same policy comes out."""
    climb(home, "alone", *ON, "lora.save=adapter", until="evaluation")
    alone = home / "alone"
    digests = [
        {row["name"]: row["digest"] for row in artifacts.read_json(r / "pipeline.json")}
        for r in (home / "whole", alone)
    ]
    assert digests[0]["sft"] == digests[1]["sft"]
    assert digests[0]["reward_model"] != digests[1]["reward_model"]
    for place in ("reward_model/model", "policy/model", "policy/best"):
        assert not (alone / place / "model.safetensors").exists()
        adapter, other = alone / place / adapter_base.WEIGHTS, run / place / adapter_base.FOLDER / adapter_base.WEIGHTS
        assert adapter.read_bytes() == other.read_bytes()
    size = sum(f.stat().st_size for f in (alone / "policy" / "model").iterdir() if f.suffix == ".safetensors")
    assert size < (run / "policy" / "model" / "model.safetensors").stat().st_size / 4
    plain, whole = (loading.causal(str(r / "policy" / "model"), 0, CPU).model for r in (alone, run))
    assert all(torch.equal(p, q) for p, q in zip(plain.parameters(), whole.parameters(), strict=True))
    tables = [artifacts.read_json(r / "evaluation" / "policies.json")["policy"] for r in (alone, run)]
    assert tables[0] == tables[1]


def test_members_of_an_ensemble_and_relabelling(home: Path, run: Path, climb: Any) -> None:
    """Each member has its own adapter, from a seed of its own; averaged weights are one whole model."""
    relabel = ("policy.relabel.every=2", "policy.relabel.comparisons=20")
    made = climb(home, "members", *ON, "reward.members=2", *relabel, until="policy")
    folder = home / "members" / "reward_model" / "members"
    one, two = (shared_base.reward(folder / n, CPU) for n in "01")
    assert {p.data_ptr() for p in shared(one.model).values()} == {p.data_ptr() for p in shared(two.model).values()}
    a, b = (lora.own_parameters(n.model) for n in (one, two))
    assert not any(torch.equal(a[n], b[n]) for n in a)
    assert len(list((made.path / "relabel").iterdir())) == 1
    average = climb(home, "average", *ON, "reward.members=2", "reward.combine=weights", until="policy")
    assert average.summary["steps"] > 0
    assert adapter_base.find_adapter(home / "average" / "reward_model" / "model") is None
    found = loading.reward(home / "average" / "reward_model" / "model", CPU).model.state_dict()
    parts = [loading.reward(home / "average" / "reward_model" / "members" / n, CPU).model.state_dict() for n in "01"]
    assert all(torch.allclose(found[k], (parts[0][k] + parts[1][k]) / 2, atol=1e-6) for k in found)


def without_paths(made: dict[str, Any]) -> dict[str, Any]:
    """An adapter names its base by its place, and two runs are in two places."""
    for name, value in made.items():
        if name.endswith(adapter_base.CONFIG):
            assert Path(value.pop("base_model_name_or_path")).parts[-2:] == ("sft", "model")
    return made


def test_killed_and_run_again_it_ends_the_same(
    processes: Any, small: Any, tmp_path: Path, home: Path, climb: Any, made_by: Callable[[Path], dict[str, Any]]
) -> None:
    """Killed once in SFT, in the reward model and in the policy, with a sampler that is behind."""
    changes = (*ON, "runtime.checkpoint_seconds=0", "sampler.engine.sync_every=2")
    climb(home, "undisturbed", *changes, until="policy")
    command = [*small(*changes), "--until", "policy", "--out", str(tmp_path / "run")]
    for stage, step in (("sft", 2), ("reward_model", 1), ("policy", 1)):
        processes.start(*command)
        log = tmp_path / "run" / stage / "metrics.jsonl"
        while not processes.ended() and not (log.exists() and log.read_bytes().count(b"\n") >= step):
            pass
        assert processes.kill(), f"it had ended before it was killed in {stage}"
    assert processes.run(*command)[0] == 0
    one, two = (without_paths(made_by(r)) for r in (home / "undisturbed", tmp_path / "run"))
    assert {"policy/model/model.safetensors", "policy/model/adapter/adapter_model.safetensors"} <= set(one)
    for made in (one, two):
        made.pop("pipeline.json")
    assert sorted(one) == sorted(two)
    assert [name for name in one if one[name] != two[name]] == []


def test_a_ready_reward_model_is_read_as_it_is(home: Path, run: Path, climb: Any) -> None:
    """Its value network is an adapter on it."""
    shutil.copytree(run / "reward_model" / "model", home / "ready")
    shutil.rmtree(home / "ready" / "adapter")
    made = climb(home, "given", *ON, f"reward.model={home / 'ready'}", until="policy")
    assert made.summary["steps"] == 3


def test_tables_take_no_adapter(home: Path) -> None:
    from trueward import pipeline

    recipe = config.read("nano", ["lora.rank=2"])
    with pytest.raises(ValueError, match="a table has no linear layers for an adapter"):
        pipeline.run_pipeline(recipe, home, "table", Progress())
