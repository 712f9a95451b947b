"""The models that a recipe names, tried before anything is trained: that each is whole, and that they go together.

Names and shapes are read from their files, and no weights.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from trueward.config import Recipe
from trueward.config.unused import READERS
from trueward.data.collate import Collator
from trueward.data.lengths import nearly_all
from trueward.data.truncation import prompt_lengths
from trueward.models import loading, lora, nf4
from trueward.models.fast import compiled
from trueward.models.layer_states import layers_of
from trueward.models.network import Network
from trueward.models.truncated import too_few
from trueward.pipeline.footprint import model_shape
from trueward.pipeline.parts import Parts
from trueward.pipeline.value_network import reads_the_same_tokens
from trueward.records import Completion, Prompt
from trueward.scorers import hf_reward_model

META = torch.device("meta")


def check_models(recipe: Recipe, prompts: Sequence[Prompt], until: str) -> None:
    """`ValueError` in one line for a model that can't be loaded whole, or that doesn't go with the others.

    until: the last stage; of a model that only later stages need nothing is asked.
    """
    start = recipe.sft.model or recipe.model.base
    policy = None if start.startswith("trueward:") else loading.causal(start, recipe.seed, META)
    if recipe.runtime.compile:
        require_compiled(recipe, policy, start)
    if policy is not None and recipe.lora.rank and recipe.lora.base == nf4.KIND:
        nf4.require_fit(policy.model)
    require_layers(recipe, policy, until)
    if until in ("prepare", "sft"):
        return
    if recipe.sft.model and not recipe.model.base.startswith("trueward:"):
        loading.causal(recipe.model.base, recipe.seed, META)
    for truth in recipe.evaluation.truths:
        if truth.startswith("model:"):
            require_readable(loading.reward(truth.removeprefix("model:"), META), prompts, f"evaluation.truths: {truth}")
    reward = None
    if Parts(recipe).is_model and recipe.reward.model:
        reward = loading.reward(recipe.reward.model, META, recipe.reward.template)
        require_readable(reward, prompts, f"reward.model: {recipe.reward.model}")
        tokenizer, context = loading.tokenizer(start)
        longest = recipe.data.max_prompt_tokens
        if longest is None:
            longest = nearly_all(prompt_lengths(Collator(tokenizer, context), prompts))
        require_room(recipe, reward, context, longest)
    if policy is not None and policy.model.config.model_type != "tabular" and needs_scalar_head(recipe, policy, reward):
        settings = copy.deepcopy(policy.model.config)
        settings.num_labels = 1
        lora.with_scalar_head(policy.model, settings)


def require_layers(recipe: Recipe, policy: Network | None, until: str) -> None:
    """`ValueError` for more layers that learn than there are. policy: what everything starts from; None: one that ships."""
    sft, reward, kind = recipe.sft, recipe.reward, recipe.policy.kind
    wanted: dict[str, int] = {} if sft.model else {"sft.trainable_layers": sft.trainable_layers}
    if until not in ("prepare", "sft"):
        if Parts(recipe).fits and reward.epochs:
            wanted["reward.trainable_layers"] = reward.trainable_layers
        if kind in READERS["trainable_layers"]:
            wanted["policy.trainable_layers"] = recipe.policy.trainable_layers
    if not any(wanted.values()):
        return
    start = sft.model or recipe.model.base
    shape = model_shape.read(start) if policy is None else None
    count = layers_of(policy.model) if policy is not None else shape.layers if shape else 0
    for setting, layers in wanted.items():
        if layers > count:
            raise ValueError(f"{too_few(setting, layers, count or None)} ({start})")
    if reward.layers == "auto" and wanted.get("reward.trainable_layers", 0) > max(1, count // 2):
        raise ValueError(
            f'reward.trainable_layers = {reward.trainable_layers}: layers that learn, but with reward.layers = "auto" the '
            f"reward model may have {count // 2}"
        )


def require_compiled(recipe: Recipe, policy: Network | None, start: str) -> None:
    """`ValueError` where `runtime.compile` would do nothing. policy: None for one that ships, whose layers are Llama's."""
    if recipe.lora.rank:
        raise ValueError("runtime.compile: layers with adapters (lora.rank) aren't compiled; leave the setting out")
    if start == "trueward:nano":
        raise ValueError(f"runtime.compile: {start} is a table, which has no layers; leave the setting out")
    if policy is not None:
        compiled.require_layers(policy.model, start)


def needs_scalar_head(recipe: Recipe, policy: Network, reward: Network | None) -> bool:
    """Whether a reward model, or PPO's value network, is made from the policy's layers. reward: the ready one, if any."""
    if Parts(recipe).fits:
        return True
    if recipe.policy.kind != "ppo" or recipe.policy.critic.trunk == "shared":
        return False
    ready = reward is not None and recipe.policy.critic.start == "reward_model"
    return not (ready and reward is not None and reads_the_same_tokens(reward, policy))


def require_readable(reward: Network, prompts: Sequence[Prompt], where: str) -> None:
    """`ValueError` if the reward model can't read prompts of a kind that occurs: texts, or conversations."""
    kinds = {bool(p.messages): p for p in reversed(prompts)}
    for prompt in kinds.values():
        completion = Completion(prompt=prompt, response="")
        try:
            if hf_reward_model.template(reward) == loading.OWN:
                Collator(reward.tokenizer, reward.context).prompt_ids(prompt)
            else:
                hf_reward_model.encode(reward, completion)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None


def require_room(recipe: Recipe, reward: Network, context: int, prompt: int) -> None:
    """`ValueError` if the reward model would read less than the policy may write. context: the policy's; prompt: the longest.

    One from another tool counts other tokens, and leaves out the beginning of a prompt that is too long, which is counted.
    """
    longest = min(context, prompt + recipe.sampler.max_new_tokens)
    if hf_reward_model.template(reward) == loading.OWN and reward.context < longest:
        raise ValueError(
            f"reward.model: {recipe.reward.model} reads {reward.context} tokens at most, but a prompt "
            f"(data.max_prompt_tokens = {prompt}) and an answer (sampler.max_new_tokens = "
            f"{recipe.sampler.max_new_tokens}) may have {longest}; lower these, or give another model"
        )
