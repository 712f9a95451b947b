"""The law of journals: a run in memory, the same on disk, and one that was killed and run again are the same to the last digit.

For every optimiser, on the table and on the small transformer, and for what changes rewards, labels, adapters and rollouts.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from trueward import artifacts, config, pipeline
from trueward.config import Recipe
from trueward.models import loading
from trueward.pipeline import graph, sft
from trueward.pipeline.cache import MemoryCache, RunCache
from trueward.pipeline.graph import Results
from trueward.pipeline.run import plan, run_in_memory
from trueward.pipeline.stage import Stage
from trueward.pipeline.surroundings import run_env
from trueward.progress import Progress
from trueward.training.journal import EVALUATIONS, METRICS, read_log

SMALL = (
    "seed=3",
    "runtime.threads=1",
    "runtime.checkpoint_seconds=0",
    "sft.epochs=0.02",
    "sft.batch_size=16",
    "comparisons.count=80",
    "reward.epochs=1",
    "reward.batch_size=16",
    "reward.learning_curve=false",
    "policy.steps=3",
    "policy.batch_size=16",
    "policy.group.size=4",
    "policy.best_of_n.n=2",
    "policy.best_of_n.prompts=48",
    "sampler.max_new_tokens=8",
    "evaluation.final_prompts=8",
    "evaluation.step_prompts=8",
    "evaluation.every=1",
    "evaluation.control=never",
)
KINDS = {
    "ppo": ("policy.kind=ppo",),
    "grpo": ("policy.kind=grpo",),
    "rloo": ("policy.kind=rloo",),
    "dpo": ("policy.kind=dpo",),
    "online dpo": ("policy.kind=dpo", "policy.dpo.online=true"),
    "best_of_n": ("policy.kind=best_of_n",),
    "sft_on_best": ("policy.kind=sft_on_best",),
}
RELABEL = ("policy.relabel.every=1", "policy.relabel.comparisons=20")
WORST = ("reward.members=3", "reward.combine=worst", "reward.resample=true")
SHAPED = ("reward.members=2", "reward.combine=uncertainty", "reward.shaping=sigmoid", "reward.clip=2")
CHECKED = "reward.cross_check=true"
AVERAGE = ("reward.members=2", "reward.combine=weights", "reward.resample=true")
VERIFIER = ("reward.kind=verifier", "reward.verifier=constraints", 'reward.options={max_words=5,ends_with="."}')
LOW = "model.dtype=bfloat16"
AHEAD = ("sampler.engine.max_staleness=2", "policy.importance_sampling_cap=2")
BEHIND = ("sampler.engine.sync_every=2", "policy.importance_sampling_cap=2")
CASES: dict[str, tuple[str, ...]] = {
    **{f"{base}: {kind}": (base, *settings) for kind, settings in KINDS.items() for base in ("nano", "tiny")},
    "nano: relabelled": ("nano", *RELABEL),
    "nano: the worst of three": ("nano", "policy.kind=rloo", *WORST),
    "nano: relabelled, shaped, mean minus variance": ("nano", "policy.kind=rloo", *RELABEL, *SHAPED),
    "nano: averaged weights": ("nano", *AVERAGE),
    "tiny: averaged weights, shaped": ("tiny", *AVERAGE, "reward.shaping=sigmoid", "reward.clip=2"),
    "tiny: a verifier": ("tiny", *VERIFIER),
    "tiny: a verifier, chosen": ("tiny", "policy.kind=sft_on_best", *VERIFIER),
    "tiny: adapters": ("tiny", "lora.rank=2"),
    "tiny: adapters alone": ("tiny", "policy.kind=grpo", "lora.rank=2", "lora.save=adapter", *BEHIND, *RELABEL),
    "tiny: adapters, in bfloat16": ("tiny", LOW, "policy.kind=rloo", "lora.rank=2", "evaluation.control=never"),
    "tiny: in bfloat16": ("tiny", LOW, "reward.members=2", "evaluation.control=never"),
    "tiny: comparisons with demonstrations": ("tiny", "comparisons.source=demonstrations", "policy.ptx_coef=0.5"),
    "tiny: a sampler that is behind": ("tiny", *BEHIND, "policy.target_kl=0.1"),
    "tiny: a sampler that runs ahead": ("tiny", "policy.kind=grpo", *AHEAD),
    "tiny: cross-checked, and no truth": ("tiny", CHECKED, "evaluation.truths=[]"),
    "tiny: cross-checked adapters": ("tiny", CHECKED, "policy.kind=best_of_n", "lora.rank=2", "lora.save=adapter"),
    "nano: cross-checked, the worst of three": ("nano", CHECKED, "policy.kind=rloo", *WORST),
    "tiny: a head in closed form, answers that end, relabelled": (
        "tiny",
        "reward.start=probe",
        "reward.layers=auto",
        "reward.head_learning_rate=0.001",
        "comparisons.unfinished=redraw",
        "sampler.max_new_tokens=24",
        "sft.epochs=0.4",
        *RELABEL,
    ),
    "tiny: the top layer alone, its states kept": (
        "tiny",
        "sft.trainable_layers=1",
        "reward.trainable_layers=1",
        "reward.epochs=2",
        "reward.members=2",
        LOW,
        "evaluation.control=never",
    ),
    "tiny: adapters in the top layer alone": (
        "tiny",
        "lora.rank=2",
        "lora.save=adapter",
        "sft.trainable_layers=1",
        "reward.trainable_layers=1",
        "reward.start=probe",
        "evaluation.control=never",
    ),
    "nano: closed forms, the worst of three": ("nano", "reward.start=probe", "reward.epochs=0", *WORST),
    "tiny: the control": (
        "tiny",
        "policy.learning_rate=1e-9",
        "evaluation.control=unmoved",
        "evaluation.final_prompts=24",
        "evaluation.step_prompts=24",
    ),
}
UPPER = ("policy", "control", "evaluation", "report")
WEIGHTS = "model.safetensors"
UNTIMED = ("seconds", "peak_memory_mb", "command")
BY_NAME: dict[str, Stage[Any]] = {s.name: s for s in vars(graph).values() if isinstance(s, Stage)}


@dataclass
class Stopping(Progress):
    """Stops at this step of a loop whose name begins so, the first or a later one. A step is told before its checkpoint is
    made."""

    what: str
    step: int
    later: int = 0
    now: bool = False

    def start(self, what: str, total: int) -> None:
        found = what.startswith(self.what)
        self.now = found and not self.later
        self.later -= found and self.later > 0

    def at(self, done: int, note: str = "") -> None:
        if self.now and done == self.step and note != "resumed":
            raise KeyboardInterrupt


def small(name: str, *more: str) -> Recipe:
    base, *settings = CASES[name]
    return config.read(base, [*SMALL, *settings, *more])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def caches() -> dict[str, MemoryCache]:
    """One for each base recipe and precision: their [runtime] is not the same."""
    recipes = {name: config.read(name, SMALL) for name in ("nano", "tiny")}
    recipes[LOW] = config.read("tiny", [*SMALL, LOW])
    return {name: MemoryCache(run_env(recipe, Progress(), tracked=False)) for name, recipe in recipes.items()}


def cache_name(name: str) -> str:
    return LOW if LOW in CASES[name] else CASES[name][0]


@pytest.fixture(autouse=True)
def few_reference_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reward model is put on their scale: with 768 of them that would be most of the time."""
    monkeypatch.setattr(sft, "REFERENCE_PROMPTS", 24)


@pytest.fixture
def only_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages up to the reward are taken over from other runs; those that are compared are made by each run."""
    elsewhere = RunCache._elsewhere
    monkeypatch.setattr(
        RunCache, "_elsewhere", lambda self, name, digest: None if name in UPPER else elsewhere(self, name, digest)
    )


def timeless(value: Any) -> Any:
    """A JSON value without what two equal runs may differ in."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in UNTIMED}
    return [timeless(v) for v in value] if isinstance(value, list | tuple) else value


def contents(file: Path) -> Any:
    raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    if ".jsonl" in file.name:
        return [timeless(json.loads(row)) for row in raw.splitlines()]
    return timeless(json.loads(raw)) if file.suffix == ".json" else raw


def assert_same_weights(written: Path, made: Path) -> None:
    """What memory writes is whole always; a run may have written an adapter alone, which is added in when it's read."""
    if (made / WEIGHTS).is_file():
        assert (written / WEIGHTS).read_bytes() == (made / WEIGHTS).read_bytes(), made
        return
    load = loading.reward if "reward_model" in made.parts else partial(loading.causal, seed=0)
    one, two = (load(str(folder), device=torch.device("cpu")).model.state_dict() for folder in (written, made))
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == [], made


def assert_same(memory: Results, run: Path, folder: Path) -> None:
    """All that a run in memory knows is in the run's directory, and the same."""
    rows = {row["name"]: row["digest"] for row in artifacts.read_json(run / "pipeline.json")}
    assert {name: made.digest for name, made in memory.items()} == rows
    for name, made in memory.items():
        artifact = artifacts.load(run / name)
        assert artifact is not None
        assert timeless(made.summary) == timeless(artifact.summary), name
        target = folder / name
        target.mkdir(parents=True)
        BY_NAME[name].write(made.value, target)
        for file in (f for f in target.rglob("*") if f.is_file() and f.suffix != ".html"):
            place = file.relative_to(target)
            is_whole = "model" not in place.parts[:-1] or (run / name / place.parent / WEIGHTS).is_file()
            if file.name == WEIGHTS:
                assert_same_weights(file.parent, run / name / place.parent)
            elif is_whole and file.name != "tokenizer_config.json":  # which says whether it was read from a directory
                assert contents(file) == contents(run / name / place), f"{name}/{place}"
    policy = memory["policy"].value
    for log, kept in ((EVALUATIONS, policy.evaluations), (METRICS, policy.metrics)):
        assert [timeless(row) for row in kept] == [timeless(row) for row in read_log(run / "policy" / log)], log
    best = run / "policy/best"
    assert (policy.load_best is not None) == best.is_dir()
    if policy.load_best is not None:
        loading.save(policy.load_best(), folder / "best")
        assert_same_weights(folder / "best", best)
    table = json.loads(json.dumps(memory["report"].value.table))
    assert timeless(table) == timeless(artifacts.read_json(run / "report.json"))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("only_lower")
def test_in_memory_on_disk_and_killed_it_is_the_same(
    home: Path, tmp_path: Path, caches: dict[str, MemoryCache], name: str
) -> None:
    recipe = small(name)
    memory = run_in_memory(recipe, caches[cache_name(name)])
    whole, killed = (f"{name} {how}" for how in ("whole", "killed"))
    pipeline.run_pipeline(recipe, home, whole, Progress())
    loop = "evaluation" if recipe.policy.kind == "best_of_n" else f"{recipe.policy.kind}, "
    with pytest.raises(KeyboardInterrupt):
        pipeline.run_pipeline(recipe, home, killed, Stopping(loop, 2))
    pipeline.run_pipeline(recipe, home, killed, Progress())
    assert_same(memory, home / whole, tmp_path / "memory")
    for file in (f for f in (home / whole).rglob("*") if f.is_file()):
        place = file.relative_to(home / whole)
        if "checkpoints" in place.parts or file.suffix == ".html":
            continue
        if file.name in (".lock", "manifest.json", "pipeline.json", "recipe.toml", "adapter_config.json"):
            continue
        assert contents(home / killed / place) == contents(file), place
    planned = plan(recipe)
    assert {stage: planned[stage] for stage in memory} == {stage: made.digest for stage, made in memory.items()}
    assert set(planned) - set(memory) <= {"control"}
    steps = [row["step"] for row in memory["policy"].value.metrics]
    assert steps == ([] if recipe.policy.kind == "best_of_n" else [1, 2, 3])
    if recipe.policy.kind != "best_of_n" and "control" not in name:
        rows = memory["policy"].value.evaluations
        assert [row["step"] for row in rows] == [0, 1, 2, 3]
        assert rows[0]["kl"] == 0.0
        assert rows[-1]["kl"] > 0.0
    assert ("control" in memory) == ("control" in name)
    if CASES[name][0] == "nano":
        table = memory["report"].value.table
        assert "different liked words" in table["annotators"]["description"]
        rows = [*table["history"], *table["policies"].values()]
        assert all(row["length"] == 8 and row["eos_rate"] == 0 for row in rows)
    if recipe.policy.relabel.every:
        assert [row["step"] for row in read_log(home / whole / "policy/relabel.jsonl")] == [1, 2]


CURVE = [("reward model, ", 1, 1), ("reward model, ", 1, 1)]  # its second part, and then its last


@pytest.mark.parametrize(
    ("name", "stops"),
    [
        (
            "nano: relabelled, shaped, mean minus variance",
            [("reward model 1 of 2", 2), ("reward model 2 of 2", 1), *CURVE, ("rloo, ", 1), ("rloo, ", 3)],
        ),
        (
            "nano: cross-checked, the worst of three",
            [
                ("reward model 3 of 3", 1),
                ("second reward model 1 of 3", 2),
                ("second reward model 3 of 3", 1),
                ("rloo, ", 2),
            ],
        ),
        ("tiny: adapters", [("sft", 2), ("reward model", 2), *CURVE, ("ppo, ", 1), ("ppo, ", 3), ("evaluation", 1)]),
    ],
)
def test_killed_in_every_stage_it_ends_the_same(
    tmp_path: Path, caches: dict[str, MemoryCache], name: str, stops: list[tuple[Any, ...]]
) -> None:
    """In SFT, in a reward model, in a part of the learning curve, in the policy and in the evaluation, one after another."""
    recipe = small(name, "reward.learning_curve=true")
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            pipeline.run_pipeline(recipe, tmp_path, "run", Stopping(*stop))
    pipeline.run_pipeline(recipe, tmp_path, "run", Progress())
    assert_same(run_in_memory(recipe, caches[cache_name(name)]), tmp_path / "run", tmp_path / "memory")


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caches: dict[str, MemoryCache]) -> None:
    monkeypatch.chdir(tmp_path)
    run_in_memory(small("nano: relabelled", "seed=5"), caches["nano"])
    assert not list(tmp_path.iterdir())


def test_what_recipes_have_in_common_is_made_once(caches: dict[str, MemoryCache]) -> None:
    """And a policy that is trained leaves what it started from as it was: the next one ends as if it were alone."""
    alone = run_in_memory(small("nano: rloo"))
    shared = MemoryCache()
    run_in_memory(small("nano: ppo"), shared)
    after = run_in_memory(small("nano: rloo"), shared)
    both = [run_in_memory(small(f"nano: {kind}"), shared) for kind in ("ppo", "rloo")]
    lower = ("prepare", "sft", "comparisons", "reward_model")
    assert all(both[0][name] is both[1][name] for name in lower)
    assert both[1]["policy"] is after["policy"]
    for log in ("evaluations", "metrics"):
        one, two = (timeless(getattr(made["policy"].value, log)) for made in (alone, after))
        assert one == two


def test_it_stops_where_it_is_told(caches: dict[str, MemoryCache]) -> None:
    found = run_in_memory(small("nano: ppo"), caches["nano"], until="reward_model")
    assert list(found) == ["prepare", "sft", "comparisons", "reward_model"]
    with pytest.raises(ValueError, match=r"--until reward: with reward\.kind = 'reward_model' there is none"):
        run_in_memory(small("nano: ppo"), caches["nano"], until="reward")
    with pytest.raises(ValueError, match="people are asked by a run on disk"):
        run_in_memory(small("nano: ppo", "evaluation.truths=['people:film']"), caches["nano"])


def test_answers_on_the_terminal(home: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    run = home / "answers"
    pipeline.run_pipeline(small("nano: ppo"), home, run.name, Progress())
    code, out, err = command("sample", str(run), "--prompt", "joy river", "--compare", str(run / "sft"))
    assert (code, err) == (0, "")
    assert "joy river" in out


def test_a_shared_cache_runs_each_recipe_as_its_runtime_says() -> None:
    """A cache without an environment of its own has none of the recipe before; one that was given an environment keeps it."""
    cache = MemoryCache()
    for tokens in (512, 1024):
        recipe = config.read("nano", [*SMALL, f"runtime.micro_batch_tokens={tokens}"])
        run_in_memory(recipe, cache, until="prepare")
        assert cache.env.micro_batch_tokens == tokens
    own = MemoryCache(run_env(config.read("nano", ["runtime.micro_batch_tokens=256"]), Progress(), tracked=False))
    run_in_memory(config.read("nano", SMALL), own, until="prepare")
    assert own.env.micro_batch_tokens == 256
