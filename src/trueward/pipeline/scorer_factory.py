"""From the recipe to the scorers that it names: the proxy of any kind, on its scale, and the truths that are programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from trueward.algorithms.ppo import Critic
from trueward.artifacts import Artifact, read_json, write_json
from trueward.config import Recipe
from trueward.models import heads
from trueward.models.frozen_layers import ValueHead
from trueward.models.network import Network
from trueward.pipeline import judge_labels
from trueward.pipeline.env import REFERENCE, Env, read_completions
from trueward.pipeline.relabel import newest
from trueward.records import Prompt
from trueward.scorers import custom, ensemble, reward_model
from trueward.scorers.custom import CustomScorer
from trueward.scorers.ensemble import Proxy
from trueward.scorers.mix import Ingredient, Mix, length
from trueward.scorers.normalized import Normalized
from trueward.scorers.scorer import Scale, Scorer, fit_scale, scores
from trueward.scorers.verifiers import catalogue, selftest
from trueward.scorers.verifiers.verifier import Verifier

SCALE = "scale.json"


def build_scorer(
    name: str, options: dict[str, Any], where: str, device: torch.device, recipe: Recipe | None = None
) -> Scorer:
    """The scorer of that name, on its own scale. `where`: what errors call its options. `recipe`: whose judge it is."""
    if name == "judge":
        if options or recipe is None:
            raise ValueError(f"{where}: a judge has a section of its own, [judge], and takes no options here")
        return judge_labels.judge_scorer(recipe, device)
    if name == "length":
        return length
    if name.startswith("model:"):
        return reward_model.load(Path(name.removeprefix("model:")), device)
    if custom.is_custom(name):
        if options:
            raise ValueError(f"{where}: {name} is a function of your own, and takes no options")
        return CustomScorer(name)
    return catalogue.make(name.removeprefix("verifier:"), options, where)


def build_truth(name: str, recipe: Recipe, device: torch.device) -> Scorer:
    """A truth that is a program; without options of its own it takes the proxy's, if that is the same verifier."""
    options = recipe.evaluation.options.get(name)
    if options is None:
        same = recipe.reward.kind == "verifier" and name in (
            recipe.reward.verifier,
            f"verifier:{recipe.reward.verifier}",
        )
        options = recipe.reward.options if same else {}
    return build_scorer(name, options, f"evaluation.options.{name}", device, recipe)


def build_proxy_scorer(recipe: Recipe, device: torch.device, neutral: float | None = None) -> Scorer:
    """The recipe's verifier, mixture or judge, on its own scale. `neutral`: the score where a judge says none."""
    config = recipe.reward
    if config.kind == "judge":
        return judge_labels.judge_scorer(recipe, device, neutral)
    if config.kind == "verifier":
        name = config.verifier if custom.is_custom(config.verifier) else f"verifier:{config.verifier}"
        return build_scorer(name, config.options, "reward.options", device)
    ingredients = [
        Ingredient(
            p.name or p.scorer.removeprefix("verifier:"),
            build_scorer(p.scorer, p.options, f"reward.parts.{i}.options", device, recipe),
            p.weight,
            p.gate,
        )
        for i, p in enumerate(config.parts)
    ]
    return Mix(ingredients, config.floor)


def check(env: Env, prompts: Sequence[Prompt]) -> int:
    """Makes every program that the recipe names and examines it on the recipe's prompts; how many cases that were.

    Before anything is trained: a verifier that pays for the empty answer is found here, and not by the policy.
    """
    recipe = env.recipe
    programs: dict[str, Scorer] = {}
    if judge_labels.uses_judge(recipe):
        judge_labels.build_judge(
            recipe, env.device
        )  # that there is such a model, or a key, is known before anything is trained
    if recipe.reward.kind not in ("reward_model", "judge"):
        found = build_proxy_scorer(recipe, env.device)
        parts = {f"reward.parts {i.name}": i.scorer for i in found.ingredients} if isinstance(found, Mix) else {}
        programs |= parts or {f"reward.verifier = {recipe.reward.verifier!r}": found}
    programs |= {f"evaluation.truths: {name}": build_truth(name, recipe, env.device) for name in programs_among(recipe)}
    verifiers = {where: v for where, v in programs.items() if isinstance(v, Verifier)}
    if verifiers:
        refuse_two_keys(prompts)
    unique = list({p.id: p for p in prompts}.values())
    return sum(selftest.require(v, unique, where) for where, v in verifiers.items())


def programs_among(recipe: Recipe) -> list[str]:
    """The truths that are neither a simulated utility nor a reward model."""
    return [name for name in recipe.evaluation.truths if ":" in name and not name.startswith(("model:", "people:"))]


def refuse_two_keys(prompts: Sequence[Prompt]) -> None:
    """`ValueError` if a prompt is there with two answer keys."""
    keys: dict[str, str] = {}
    for prompt in prompts:
        if keys.setdefault(prompt.id, prompt.answer) != prompt.answer:
            raise ValueError(
                f"data.prompts: the prompt {str(prompt)[:60]!r} has two answer keys, "
                f"{keys[prompt.id][:40]!r} and {prompt.answer[:40]!r}; expected one"
            )


def files(recipe: Recipe) -> list[Path]:
    """The files of scorers that are the user's own, for the fingerprint."""
    config = recipe.reward
    names = [config.verifier] if config.kind == "verifier" else [p.scorer for p in config.parts]
    models = [Path(n[6:]) for n in names if n.startswith("model:")]
    return own_files(names) + [f for m in models if m.is_dir() for f in sorted(m.glob("*.safetensors"))]


def own_files(names: Sequence[str]) -> list[Path]:
    return [file for name in names if custom.is_custom(name) for file in custom.source(name)]


def fit(env: Env, prepared: Artifact, sft: Artifact, work: Path) -> dict[str, Any]:
    """The stage `reward`: what stands for 0 and 1 of a proxy that nothing has to be trained for."""
    config = env.recipe.reward
    answers = read_completions(sft.path / REFERENCE)
    what = "the verifier" if config.kind == "verifier" else "the mixture"
    env.progress.start("reward", 1)
    if config.kind == "judge":
        scale, figures = judge_labels.rate(env, prepared, answers)
        return _measured(env, scale, work) | {"judge": figures}
    found = scores(build_proxy_scorer(env.recipe, env.device), answers).reshape(-1, 2)
    if found.max() == found.min():
        raise ValueError(
            f"{what} gives {found.min():g} to all of the SFT policy's {found.size} answers, so there is nothing to learn "
            "from. "
            + (
                "It never succeeds: give it demonstrations that do, easier prompts, or a reward for a part of the way "
                '(constraints: score = "share"; a mixture)'
                if found.max() <= 0
                else "Take a verifier that it does not satisfy already"
            )
        )
    return _measured(env, fit_scale(found, what), work)


def _measured(env: Env, scale: Scale, work: Path) -> dict[str, Any]:
    write_json(work / SCALE, {"mean": scale.mean, "sd": scale.sd})
    env.progress.end(f"mean {scale.mean:.3f}, SD {scale.sd:.3f} under SFT")
    return {"kind": env.recipe.reward.kind, "mean": round(scale.mean, 6), "sd": round(scale.sd, 6)}


def load(env: Env, reward: Artifact, policy: Artifact | None = None) -> Proxy | Normalized:
    """The proxy in SDs under the reference policy, frozen; with `policy` the last one that it was trained on."""
    if reward.stage == "reward_model":
        found = (
            newest(reward.path, policy.path, env.device, env.shares)
            if policy
            else ensemble.load(reward.path, env.device, env.shares)
        )
        found.freeze()
        return found
    return scaled(env.recipe, reward.path, env.device)


def scaled(recipe: Recipe, folder: Path, device: torch.device) -> Normalized:
    """The recipe's verifier, mixture or judge on the scale that its stage `reward` has measured; `folder`: that stage."""
    table = read_json(folder / SCALE)
    return Normalized(build_proxy_scorer(recipe, device, table["mean"]), Scale(table["mean"], table["sd"]))


def critic(env: Env, sft: Artifact, reward: Artifact, policy: Network) -> Critic:
    """PPO's value network: the reward model's (an ensemble's first), or the SFT policy's with a head of zeros where there's
    none that reads the same tokens, and with `policy.critic.start = "zero"`. With `trunk = "shared"`, a head on the policy's.

    `ValueError` if the policy's own network is no one's to share.
    """
    sd, is_shared = 1.0, env.recipe.policy.critic.trunk == "shared"
    if is_shared and not heads.has_plain_head(policy.model):
        raise ValueError(
            f'policy.critic.trunk = "shared": a value head needs the states that the logits are read from, and with the '
            f'family {policy.model.config.model_type!r} they can\'t be had; use "own"'
        )
    if reward.stage == "reward_model":
        model = reward_model.load(reward.model, env.device, env.shares)
        if not (is_shared or reads_the_same_tokens(model.network, policy)):
            return Critic(env.scalar_head(sft.model, "value"), Scale(0.0, 1.0))
        if env.recipe.policy.critic.start == "reward_model" and not is_shared:
            return Critic(env.trainable(model.network, "value"), model.scale)
        sd = model.scale.sd
    if is_shared:
        return Critic(Network(ValueHead(policy.model), policy.tokenizer), Scale(0.0, sd), policy.model)
    return Critic(env.scalar_head(sft.model, "value"), Scale(0.0, sd))


def reads_the_same_tokens(reward: Network, policy: Network) -> bool:
    """Whether a reward model can be a value network: same vocabulary, room for as much, and a head for every token."""
    same = reward.tokenizer.get_vocab() == policy.tokenizer.get_vocab() and reward.context >= policy.context
    return same and hasattr(reward.model, "score")
