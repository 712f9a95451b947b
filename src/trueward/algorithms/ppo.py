"""Proximal policy optimisation against a scorer, anchored to the reference policy by KL.

Maximises E[score] − β·KL(π ‖ π_ref), with the score in SDs under the reference policy. Per-token k1 KL in the reward,
the score at the last token, GAE, whitened advantages, clipped policy and value losses, a value network of its own.
Dropout is off, so the ratio of the first update is 1. Losses are token means over a whole minibatch, however it is cut
into micro-batches; every minibatch is one step of both optimisers. In the first `critic.warmup_steps` only the value
network learns, from rollouts of the unchanged policy.

Left out: an entropy bonus, early stopping on the KL to the behaviour policy, reward clipping.
Sources: PPO (Schulman et al. 2017, arXiv 1707.06347); Ziegler et al. 2019 (arXiv 1909.08593) for the anchor and its
controller; InstructGPT (Ouyang et al. 2022, arXiv 2203.02155) for the value network that starts from the reward model;
VC-PPO (Yuan et al. 2025, arXiv 2503.01491) and VAPO (Yue et al. 2025, arXiv 2504.05118) for the value network's settings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trueward import transfers
from trueward.batches import Step, Tokens
from trueward.config import PolicyConfig
from trueward.data.collate import Collator
from trueward.losses import advantages as adv
from trueward.losses import kl
from trueward.losses.importance import deviation, importance_weights, mismatch
from trueward.losses.masks import masked, masked_mean, masked_sum, whiten
from trueward.losses.policy import clipped_value
from trueward.models import frozen_layers, heads, precision
from trueward.models.network import Network
from trueward.parallel.fabric import ALONE, Fabric
from trueward.scorers.scorer import ScoredBatch
from trueward.seeds import generator
from trueward.token_budget import Budget, within_memory
from trueward.training import ptx
from trueward.training.critic import Critic
from trueward.training.figures import Figures
from trueward.training.policy_loss import PolicyLoss, importance_cap, own_figures, policy_loss
from trueward.training.schedule import learning_rate, rollout_plan, set_rate
from trueward.training.setup import Online
from trueward.training.state import State, adam, clip

AVERAGED = {  # a figure of every update, and what its mean over a step's updates is called
    "policy/entropy_avg": "entropy",
    "policy/approxkl_avg": "approxkl",
    "policy/clipfrac_avg": "clipfrac",
    "loss/policy_avg": "policy_loss",
    "loss/value_avg": "value_loss",
    "loss/ptx_avg": "ptx_loss",
    "val/clipfrac_avg": "value_clipfrac",
    "val/ratio": "ratio",
    "policy/grad_norm": "policy_norm",
    "val/grad_norm": "value_norm",
}


@dataclass(frozen=True)
class RolloutBatch:
    """What one rollout teaches, by token: all [B, T]. `advantages` is None while only the value network learns."""

    tokens: Tokens
    sampler_logprobs: Tensor
    advantages: Tensor | None
    old_values: Tensor
    returns: Tensor
    importance: Tensor | None = None
    value_tokens: Tokens | None = (
        None  # the same tokens with the value network's own lower layers, if these don't learn
    )


def steps(config: PolicyConfig, setup: Online) -> int:
    """Steps, each with one rollout: `policy.steps`, those that warm up the value network included."""
    return config.steps


def start(config: PolicyConfig, setup: Online) -> State:
    """The policy and the value network with an AdamW each, the sampler's copy, if it has one, and β as `kl_coef`."""
    policy, critic = setup.policy.model, setup.critic
    assert critic is not None, "PPO needs a value network"
    frozen_layers.freeze_lower_layers(policy, config.trainable_layers)
    if critic.trunk is None:
        frozen_layers.freeze_lower_layers(critic.network.model, config.trainable_layers)
    return State(
        {"policy": policy, "value": critic.network.model, **setup.sampler.hold(setup.policy)},
        {
            "policy": adam(policy, config.learning_rate),
            "value": adam(critic.network.model, config.value_learning_rate),
        },
        numbers={"kl_coef": config.kl_coef},
    )


def train(config: PolicyConfig, setup: Online, state: State) -> Iterator[Step]:
    """Trains `setup.policy` and `setup.critic` in place, from `state` on."""
    policy, reference, sampler, fabric = setup.policy, setup.reference, setup.sampler, setup.fabric
    prompts, seed, budget, temperature = setup.prompts, setup.seed, setup.micro_batch_tokens, sampler.params.temperature
    critic = setup.critic
    assert critic is not None, "PPO needs a value network"
    device, warmup_steps, cap = policy.device, config.critic.warmup_steps, importance_cap(config, policy)
    off_policy = sampler.sync_every > 1 or cap is not None
    surrogate = policy_loss(config)
    ptx_tokens = Collator(policy.tokenizer, policy.context).tokens(setup.demonstrations) if config.ptx_coef else None
    wanted = rollout_plan(prompts, config.batch_size, seed)
    sampler.plan(wanted, config.steps)
    while state.step < config.steps:
        step = state.step
        warming = step < warmup_steps
        beta = state.numbers["kl_coef"]

        # Act. Sample a rollout from the policy as it is now, or was a few steps ago.
        sampler.sync(policy, step)
        rollout = sampler.sample(*wanted(step))
        plain, sampler_logprobs = rollout.tokens.to(device), transfers.moved(rollout.logprobs, device)
        tokens, mask, lengths = plain, plain.response_mask, rollout.tokens.response_lengths

        # Judge. Score it; the KL anchor per token.
        scored = ScoredBatch.of(setup.scorer, rollout.completions)
        raw_scores = torch.as_tensor(scored.score, dtype=torch.float32)
        truncated = torch.tensor([not c.finished for c in rollout.completions])
        scores = raw_scores - config.missing_eos_penalty * truncated
        with torch.no_grad():
            # The reference and the policy have their lowest layers in common, if these don't learn.
            tokens = frozen_layers.with_lower_states(policy.model, tokens, config.trainable_layers, budget)
            ref_logprobs = heads.read_logprobs(reference.model, tokens, temperature, budget, fabric)
            value_tokens = tokens
            if critic.trunk is None:
                value_tokens = frozen_layers.with_lower_states(critic.body, plain, config.trainable_layers, budget)
            groups = heads.prompt_groups(critic.body, value_tokens)
            values = fabric.by_parts(critic.values, value_tokens, budget, groups)
            old = sampler_logprobs
            if off_policy:
                old = heads.read_logprobs(policy.model, tokens, temperature, budget, fabric)
        token_kl = masked(kl.k1(old, ref_logprobs), mask)
        rewards = kl.token_rewards(transfers.moved(scores, device), token_kl, mask, beta)

        # Credit. Advantages and value targets.
        lam, value_lam = lambdas(config, tokens.response_lengths, warming)
        advantages = adv.gae(rewards, values, mask, config.discount, lam)[0]
        returns = adv.gae(rewards, values, mask, config.discount, value_lam)[1]
        advantages = whiten(advantages, mask) if config.whiten_advantages else advantages

        # Learn. Clipped updates in minibatches; while the value network warms up, of it alone.
        scale = learning_rate(1.0, step, config.steps, config.warmup, config.decay)
        set_rate(state.optimizers["value"], config.value_learning_rate * scale)
        scale = learning_rate(1.0, step - warmup_steps, config.steps - warmup_steps, config.warmup, config.decay)
        rate = 0.0 if warming else config.learning_rate * scale
        set_rate(state.optimizers["policy"], rate)
        importance = None if cap is None else importance_weights(old, sampler_logprobs, mask, cap)
        denominator = sampler_logprobs if cap is None else old
        experience = RolloutBatch(
            tokens, denominator, None if warming else advantages, values, returns, importance, value_tokens
        )
        figures: dict[str, list[float]] = {}
        for epoch in range(config.epochs):
            order = torch.randperm(len(tokens), generator=generator(seed, "minibatches", step, epoch))
            parts = [c for c in order.tensor_split(config.minibatches) if len(c)]
            passes = step * config.epochs + epoch
            examples = ptx.ptx_batches(ptx_tokens, [len(c) for c in parts], len(tokens), passes, seed)
            for chosen, example in zip(parts, examples, strict=True):
                update = _update(
                    config, policy, critic, state, experience, chosen, temperature, budget, surrogate, example, fabric
                )
                for name, value in update.items():
                    figures.setdefault(name, []).append(value)

        variance = masked_mean((returns - masked_mean(returns, mask)) ** 2, mask)
        residual = masked_mean((returns - values) ** 2, mask)
        off = mismatch(old, sampler_logprobs, mask, cap or math.inf) if off_policy else {}
        if precision.is_low(policy.model):
            off |= deviation(old, sampler_logprobs, mask, int(tokens.host.response_lengths.sum()))
        explained = 1 - residual / variance.clamp(min=1e-8)
        sequence_kl, reward, explained, *off_values = transfers.read(
            [token_kl.sum(1), rewards.sum(1).mean(), explained, *off.values()]
        )
        if config.target_kl is not None and not warming:
            error = float((sequence_kl.mean() / config.target_kl - 1).clamp(-0.2, 0.2))
            state.numbers["kl_coef"] = beta * (1 + 0.1 * error)

        # Hand over.
        state.step += 1
        metrics = {
            "objective/scores": scores.mean().item(),
            "objective/kl": sequence_kl.mean().item(),
            "objective/rlhf_reward": reward.item(),
            "objective/kl_coef": beta,
            **scored.metrics(),
            **{name: _mean(figures[figure]) for name, figure in AVERAGED.items() if figure in figures},
            **{name: _mean(values) for name, values in figures.items() if name.startswith("loss/")},
            **{name: value.item() for name, value in zip(off, off_values, strict=True)},
            **({"val/ratio_first": figures["ratio_worst"][0]} if "ratio_worst" in figures else {}),
            "val/explained_variance": explained.item(),
            "val/num_eos_tokens": float((~truncated).sum()),
            "length": lengths.float().mean().item(),
            "lr": rate,
        }
        details = [
            {"score": round(s, 5), "kl": round(k, 5), "length": n, **more}
            for s, k, n, more in zip(
                raw_scores.tolist(), sequence_kl.tolist(), lengths.tolist(), scored.rows(), strict=True
            )
        ]
        yield Step(state.step, metrics, rollout.completions, details)


def lambdas(config: PolicyConfig, lengths: Tensor, warming: bool) -> tuple[float | Tensor, float | Tensor]:
    """λ of the policy's advantages, one or by answer, and λ of the value network's returns. lengths: [B] tokens."""
    settings = config.critic
    lam: float | Tensor = config.gae_lambda
    if settings.adaptive_lambda is not None:
        lam = adv.adaptive_lambda(lengths, settings.adaptive_lambda)
    if warming:
        return lam, 1.0
    if settings.gae_lambda is not None:
        return lam, settings.gae_lambda
    return lam, config.gae_lambda


def _update(
    config: PolicyConfig,
    policy: Network,
    critic: Critic,
    state: State,
    batch: RolloutBatch,
    chosen: Tensor,
    temperature: float,
    micro_batch_tokens: Budget,
    surrogate: PolicyLoss,
    example: Tokens | None = None,
    fabric: Fabric = ALONE,
) -> dict[str, float]:
    """One step of both optimisers, or of the value network's alone, on one minibatch; its figures.

    surrogate: the policy's loss by token. example: demonstrations for policy.ptx_coef.
    """
    tokens, value_tokens = batch.tokens.take(chosen), (batch.value_tokens or batch.tokens).take(chosen)
    shared = critic.trunk is not None and batch.advantages is not None
    count = float(tokens.host.response_lengths.sum())

    def attempt() -> Figures:
        sums = Figures()
        for rows in fabric.micro_batches(
            tokens.host.lengths, micro_batch_tokens, heads.prompt_groups(policy.model, tokens)
        ):
            part = tokens.take(rows)
            mask, width = part.response_mask, part.ids.shape[1]
            at = transfers.moved(chosen[rows], policy.device)
            figures: dict[str, Tensor] = {}
            if batch.advantages is not None:
                old, advantages = batch.sampler_logprobs[at, :width], batch.advantages[at, :width]
                if shared:
                    score = critic.network.model.score
                    logprobs, entropy, raw = heads.logprobs_entropy_and_values(policy.model, score, part, temperature)
                else:
                    logprobs, entropy = heads.response_logprobs_and_entropy(policy.model, part, temperature)
                loss, ratios = surrogate(logprobs, old, advantages, mask)
                if batch.importance is not None:
                    loss = loss * batch.importance[at, :width]
                policy_loss = masked_sum(loss, mask, count)
                if not shared:
                    policy_loss.backward()
                figures = {
                    "policy_loss": policy_loss,
                    "entropy": masked_sum(entropy, mask, count),
                    "ratio": masked_sum(ratios["ratio"], mask, count),
                    "clipfrac": masked_sum(ratios["clipped"], mask, count),
                    "approxkl": masked_sum(ratios["kl"], mask, count),
                    **{name: masked_sum(value, mask, count) for name, value in own_figures(ratios).items()},
                }
                sums.largest("ratio_worst", torch.where(mask, (ratios["ratio"] - 1).abs(), 0.0))

            values = critic.scaled(raw, part) if shared else critic.values(value_tokens.take(rows))
            old_values = batch.old_values[at, :width]
            loss, clipped = clipped_value(values, old_values, batch.returns[at, :width], mask, config.value_clip)
            value_loss = masked_sum(loss, mask, count)
            (figures["policy_loss"] + config.critic.coef * value_loss if shared else value_loss).backward()
            figures |= {"value_loss": value_loss, "value_clipfrac": masked_sum(clipped, mask, count)}
            sums.add_all(figures)
        if example is not None and batch.advantages is not None:
            for part_loss in ptx.accumulate_ptx(policy, example, config.ptx_coef, micro_batch_tokens, fabric):
                sums.add("ptx_loss", part_loss)
        return sums

    sums = within_memory(micro_batch_tokens, attempt, state.zero_grad)
    for name in ("value",) if batch.advantages is None else ("policy", "value"):
        network = state.networks[name]
        fabric.sum_gradients(network.parameters())
        sums.alike(f"{name}_norm", clip(network, config.max_grad_norm))
        state.optimizers[name].step()
        state.optimizers[name].zero_grad()
    return sums.read(fabric)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
