"""`trueward.optimize`: the SFT policy trained against a reward, anchored to itself, measured by truths on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from trueward.api.call import calling, recipe_of
from trueward.api.frames import frame
from trueward.api.learned_reward import LearnedReward
from trueward.api.policy import Policy
from trueward.api.reward import comparisons_made
from trueward.api.scorers import as_scorer, identity, named_scorers, require_columns
from trueward.api.sft import SupervisedPolicy, as_supervised, base_of
from trueward.api.text import GivenText, as_they_are, digest, read_prompts
from trueward.config import Recipe
from trueward.pipeline.cache import cached
from trueward.pipeline.output_cache import OutputCache
from trueward.pipeline.own_code import check_policy_code
from trueward.pipeline.parts import Parts
from trueward.pipeline.policy import POLICY
from trueward.pipeline.prepare import PREPARE
from trueward.pipeline.program_reward import REWARD
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.pipeline.stage import Made
from trueward.pipeline.trained_policy import TrainedPolicy
from trueward.scorers.scorer import Scorer
from trueward.training.journal import EVALUATIONS, METRICS, ROLLOUTS, SAMPLES, Row, read_log

OWN = "given"  # what the recipe calls a reward that is a function


class OptimizedPolicy(Policy):
    """A tuned policy as it was after the last step, and how it got there: what `trueward.optimize` returns.

    Tables are pandas frames where pandas is installed, else lists of dicts; docs/metrics.md explains each column.
    """

    def __init__(self, made: Made[TrainedPolicy], cache: OutputCache, name: str) -> None:
        super().__init__(lambda: made.value.load(), name)
        self.made, self._cache = made, cache

    @cached_property
    def best(self) -> Policy | None:
        """The checkpoint with the highest truth in training, step 0 aside; None if no truth was measured."""
        load = self.made.value.load_best
        return None if load is None else Policy(load, f"{self.name}, best")

    @property
    def summary(self) -> Row:
        """How it went: `steps`, `best_step` (None without truths), `stopped` (why, if it ended early), `kl_coef_last`
        and so on, by kind."""
        return self.made.summary

    @property
    def verdict(self) -> str:
        """The last evaluation's verdict in a word: learning, over-optimised, hacking …; empty if no truth was
        measured."""
        rows = self._rows(EVALUATIONS)
        return str((rows[-1].get("verdict") or "") if rows else "")

    @property
    def evaluations(self) -> Any:
        """An evaluation on held-out prompts a row: step, proxy, truth (SDs under SFT), kl (nats), win_rate … with
        standard errors."""
        return frame(self._rows(EVALUATIONS))

    @property
    def metrics(self) -> Any:
        """A training step a row."""
        return frame(self._rows(METRICS))

    @property
    def samples(self) -> Any:
        """A held-out prompt and step a row, with the answer and its scores."""
        return frame(self._rows(SAMPLES))

    @property
    def rollouts(self) -> Any:
        """Every answer that was sampled to learn from a row, with its score and KL."""
        return frame(self._rows(ROLLOUTS))

    @property
    def directory(self) -> Path | None:
        """The directory that `out=` named; None if it was made in memory."""
        path = self.made.artifact.path
        return path if path.parts else None

    def _rows(self, log: str) -> list[Row]:
        journal = self._cache.journals.get(POLICY.name)
        return journal.rows(log) if journal is not None else read_log(self.made.artifact.path / log)


def optimize(
    sft: Any,
    reward: Any,
    prompts: Any = None,
    *,
    held_out: Any = None,
    truths: Any = None,
    comparisons: Any = None,
    demonstrations: Any = None,
    out: str | Path | None = None,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> OptimizedPolicy:
    """Train the SFT policy against a reward, with a KL anchor to itself, and measure truths on the way.

    `kl_coef` is β, the price of a nat of KL in SDs of the reward under SFT. Trains in this thread; not thread-safe.

    Args:
        sft: The policy of `trueward.sft`, its directory, or a model's name, which is then taken as it is.
        reward: What is optimised: the model of `trueward.fit_reward_model`; a function from a list of `Completion`s
            to numbers or `Score`s, one each, higher is better; or a scorer's name (`"verifier:NAME"`,
            `"module:function"`).
        prompts: Strings, dicts, `Prompt`s, a path or a data set. None: those of `trueward.sft`.
        held_out: Prompts to evaluate on. None: those that `trueward.sft` held out, if `prompts` are its own; else a
            share of `prompts` (`data={"held_out": 0.1}`), which is then not trained on.
        truths: Scorers that nothing is trained on, by name (`{"truth": my_scorer}`), or one, or a list. The first
            says which checkpoint is the best, and gives the verdict.
        comparisons: What `kind="dpo"` learns from, as for `trueward.fit_reward_model`.
        demonstrations: What is imitated beside the reward with `ptx_coef`, as for `trueward.sft`.
        out: A directory to keep the result in. The same call goes on there from its last checkpoint, to the same
            weights bit for bit; a call with other data or settings is refused. None: in memory.
        seed: Of every random draw.
        progress: Whether to show progress, as in `trueward.sft`.
        **settings: Settings of [policy] by keyword: `kind` ("ppo", "grpo", "rloo", "dpo", "best_of_n", "sft_on_best"
            or "module:NAME"), `kl_coef`, `steps`, `batch_size`, `learning_rate`, `group={"size": 4}`,
            `loss="module:function"` …; of other sections as dicts: `sampler={}`, `evaluation={"every": 5}`,
            `lora={}`, `reward={"clip": 3}`, `runtime={}`.

    Returns:
        The policy after the last step, with its logs; `best` is the checkpoint of the highest truth.

    Raises:
        ValueError: In one line, before anything is trained, for data or a setting that can't be used; or when a
            scorer returns anything but one finite number a completion.
    """
    where = "trueward.optimize"
    _refuse(where, sft, prompts, comparisons, settings)
    is_its_own = isinstance(sft, SupervisedPolicy) and sft.has(prompts)
    if held_out is None and is_its_own:
        held_out = sft.held_out
    prompts = sft.prompts if prompts is None else prompts
    unseen = [] if held_out is None else read_prompts(held_out, f"{where}: held_out", settings).rows
    text = GivenText.of(where, settings, demonstrations=demonstrations, prompts=prompts)
    base, named = base_of(sft, where), named_scorers(truths, f"{where}: truths")
    for name in named:
        if name == OWN or name.startswith("people:"):
            raise ValueError(f"{where}: truths: {name!r} has a meaning of its own; choose another name")
    data = {**text.names, **(as_they_are(base, settings) if is_its_own else {})}
    recipe = _recipe(where, settings, seed, isinstance(reward, LearnedReward), list(named), data, base)
    shared = {name: settings[name] for name in ("sampler", "runtime", "lora") if name in settings}
    check_policy_code(recipe.policy)
    with calling(recipe, progress, out, POLICY.name) as call:
        cache, part = call.cache, Parts(recipe)
        factory = ScorerFactory.of(recipe, cache.env)
        given: dict[str, Scorer] = {
            name: as_scorer(f"{where}: truths {name!r}", scorer, factory) for name, scorer in named.items()
        }
        if not isinstance(reward, LearnedReward) and any(reward == scorer for scorer in list(named.values())[:1]):
            cache.env.progress.tell("proxy = truth: the first of truths is the reward, so a hack of it can't be seen")
        contents = [f"{name}:{identity(scorer, where, out)}" for name, scorer in named.items()]
        start = as_supervised(sft, prompts, where, cache.env, seed, progress=progress, **shared)
        source = replace(text.source(recipe), held_out=unseen)
        rows = [*text.digests, f"held_out:{digest(unseen)}"]
        prepared = cached(cache, PREPARE, {}, part.preparing, source.files, {"source": source}, rows)
        if not isinstance(reward, LearnedReward):
            given[OWN] = as_scorer(f"{where}: reward", reward, factory)
        require_columns(given, prepared.value.prompts, where)
        if isinstance(reward, LearnedReward):
            proxy: Made[Any] = reward.made
        else:
            contents.append(f"{OWN}:{identity(reward, where, out)}")
            inputs: dict[str, Made[Any] | None] = {"prepared": prepared, "sft": start.made}
            proxy = cached(cache, REWARD, inputs, part.scaling, (), {"given": given}, contents[-1:])
        pairs = None
        if comparisons is not None:
            pairs = comparisons_made(comparisons, start.made.value, recipe.data, where, cache.env)
        lower: dict[str, Made[Any] | None] = {
            "prepared": prepared,
            "sft": start.made,
            "reward": proxy,
            "comparisons": pairs,
        }
        made = cached(cache, POLICY, lower, part.optimising, part.policy_files, {"given": given}, contents)
        return OptimizedPolicy(made, cache, _name(recipe))


def _name(recipe: Recipe) -> str:
    """What tables call it: its kind and β."""
    return f"{recipe.policy.kind}, β = {recipe.policy.kl_coef:g}"


def _refuse(where: str, sft: Any, prompts: Any, comparisons: Any, settings: Mapping[str, Any]) -> None:
    """`ValueError` for what is missing, before anything is made."""
    own = {**settings.get("policy", {}), **settings}
    if own.get("kind") == "dpo" and not dict(own.get("dpo") or {}).get("online") and comparisons is None:
        raise ValueError(f'{where}: kind="dpo" learns from comparisons=; or dpo={{"online": True}} from the reward')
    if dict(own.get("relabel") or {}).get("every"):
        raise ValueError(f"{where}: relabel: who compares new answers is part of a recipe; use trueward.run")
    if prompts is None and not isinstance(sft, SupervisedPolicy):
        raise ValueError(f"{where}: expected prompts")


def _recipe(
    where: str,
    settings: Mapping[str, Any],
    seed: int,
    is_learned: bool,
    truths: Sequence[str],
    data: Mapping[str, Any],
    base: str,
) -> Recipe:
    """The recipe that the call stands for."""
    fixed: dict[str, Mapping[str, Any]] = {
        "model": {"base": base},
        "data": data,
        "evaluation": {"truths": truths},
    }
    if not data["demonstrations"]:
        fixed["sft"] = {"model": base}
    if not is_learned:
        fixed["reward"] = {"kind": "verifier", "verifier": OWN}
    return recipe_of(where, "policy", settings, seed, **fixed)
