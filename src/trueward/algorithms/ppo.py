"""Proximal policy optimisation against a scorer, anchored to the reference policy by KL.

Maximises E[score] − β·KL(π ‖ π_ref), with the score in SDs under the reference policy. Per-token k1 KL in the reward,
the score at the last token, GAE, whitened advantages, clipped policy and value losses, a value network of its own.
Dropout is off, so the ratio of the first update is 1. Losses are token means over a whole minibatch, however it is cut
into micro-batches; every minibatch is one step of both optimisers. In the first `critic.warmup_steps` only the value
network learns, from what the policy writes as it was given.

Left out: an entropy bonus, early stopping on the KL to the behaviour policy, reward clipping.
Sources: PPO (Schulman et al. 2017, arXiv 1707.06347); Ziegler et al. 2019 (arXiv 1909.08593) for the anchor and its
controller; InstructGPT (Ouyang et al. 2022, arXiv 2203.02155) for the value network that starts from the reward model;
VC-PPO (Yuan et al. 2025, arXiv 2503.01491) and VAPO (Yue et al. 2025, arXiv 2504.05118) for the value network's settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trueward.batches import Rollout, Step, Tokens
from trueward.config import Policy
from trueward.data.collate import Collator
from trueward.fabric import ALONE, Fabric
from trueward.losses import advantages as adv
from trueward.losses import kl
from trueward.losses.importance import importance_weights, mismatch
from trueward.losses.masks import masked, masked_mean, masked_sum, whiten
from trueward.losses.policy import clipped_surrogate, clipped_value
from trueward.models import heads, imitation, trunk
from trueward.models.loading import Network
from trueward.models.schedule import generator, learning_rate, rows_at, set_rate
from trueward.models.state import State, adam, clip
from trueward.models.writer import behind, writer
from trueward.records import Completion, Prompt
from trueward.scorers.scorer import Scale, Scored, Scorer

Sample = Callable[[Network, Sequence[Prompt], torch.Generator], Rollout]
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
class Critic:
    """The value network: the reward model's, read in the same units. V = (head − mean) / SD.

    With a `trunk`, the policy's model, `network` is no more than a scalar head on that one's states.
    """

    network: Network
    scale: Scale
    trunk: Any = None

    @property
    def body(self) -> Any:
        """The model whose states are read."""
        return self.network.model if self.trunk is None else self.trunk

    def values(self, tokens: Tokens) -> Tensor:
        """[B, T], in SDs of the proxy; 0 outside the response. A trunk that is the policy's gets no gradient from here."""
        if self.trunk is None:
            return self.scaled(heads.response_values(self.network.model, tokens), tokens)
        with torch.no_grad():
            states = heads.states_at(self.trunk, tokens, heads.before(tokens.response_mask))
        raw = self.network.model.score(states).squeeze(-1)
        return self.scaled(heads.spread(raw, tokens.response_mask), tokens)

    def scaled(self, raw: Tensor, tokens: Tokens) -> Tensor:
        return torch.where(tokens.response_mask, (raw - self.scale.mean) / self.scale.sd, 0.0)


@dataclass(frozen=True)
class Lesson:
    """What one rollout teaches, by token: all [B, T]. `credit` is None while only the value network learns."""

    tokens: Tokens
    behaviour: Tensor
    credit: Tensor | None
    old_values: Tensor
    returns: Tensor
    importance: Tensor | None = None
    valued: Tokens | None = None  # the same tokens with the value network's own lower layers, if these don't learn


def start(config: Policy, policy: Network, critic: Critic, refresh: int = 1) -> State:
    trunk.train_top(policy.model, config.train_layers)
    if critic.trunk is None:
        trunk.train_top(critic.network.model, config.train_layers)
    return State(
        {"policy": policy.model, "value": critic.network.model, **behind(policy, refresh)},
        {
            "policy": adam(policy.model, config.learning_rate),
            "value": adam(critic.network.model, config.value_learning_rate),
        },
        numbers={"kl_coef": config.kl_coef},
    )


def train(
    config: Policy,
    *,
    policy: Network,
    reference: Network,
    critic: Critic,
    sample: Sample,
    scorer: Scorer,
    prompts: Sequence[Prompt],
    temperature: float,
    state: State,
    seed: int,
    micro_batch_tokens: int,
    demonstrations: Sequence[Completion] = (),
    refresh: int = 1,
    fabric: Fabric = ALONE,
) -> Iterator[Step]:
    """Trains `policy` and `critic` in place, from `state` on. `temperature` is the sampler's.

    demonstrations: what the policy imitates beside its reward, with weight `ptx_coef`. refresh: steps between two times
    that the sampler takes over the policy's weights.
    """
    device, first, cap = policy.device, config.critic.warmup_steps, config.importance_cap
    off_policy = refresh > 1 or cap is not None
    shown = Collator(policy.tokenizer, policy.context).tokens(demonstrations) if config.ptx_coef else None
    while state.step < config.steps:
        turn = state.step
        warming = turn < first
        beta = state.numbers["kl_coef"]

        # Act. Sample a rollout from the policy as it is now, or was a few steps ago.
        batch = [prompts[i] for i in rows_at(turn, len(prompts), config.batch_size, seed, "prompts").tolist()]
        rollout = sample(writer(state, policy, refresh), batch, generator(seed, "rollout", turn))
        plain, behaviour = rollout.tokens.to(device), rollout.logprobs.to(device)
        tokens, mask = plain, plain.response_mask

        # Judge. Score it; the KL anchor per token.
        judged = Scored.of(scorer, rollout.completions)
        score = torch.as_tensor(judged.score, dtype=torch.float32, device=device)
        cut = torch.tensor([not c.finished for c in rollout.completions], device=device)
        paid = score - config.missing_eos_penalty * cut
        with torch.no_grad():
            # The reference and the policy have their lowest layers in common, if these don't learn.
            tokens = trunk.with_lower(policy.model, tokens, config.train_layers, micro_batch_tokens)
            anchor = heads.read_logprobs(reference.model, tokens, temperature, micro_batch_tokens, fabric)
            valued = tokens
            if critic.trunk is None:
                valued = trunk.with_lower(critic.body, plain, config.train_layers, micro_batch_tokens)
            beside = heads.together(critic.body, valued)
            values = fabric.by_parts(critic.values, valued, micro_batch_tokens, beside)
            old = behaviour
            if off_policy:
                old = heads.read_logprobs(policy.model, tokens, temperature, micro_batch_tokens, fabric)
        token_kl = masked(kl.k1(old, anchor), mask)
        rewards = kl.token_rewards(paid, token_kl, mask, beta)

        # Credit. Advantages and the returns that the values should have foretold.
        lam, value_lam = lambdas(config, tokens.response_lengths, warming)
        advantages = adv.gae(rewards, values, mask, config.discount, lam)[0]
        returns = adv.gae(rewards, values, mask, config.discount, value_lam)[1]
        credit = whiten(advantages, mask) if config.whiten_advantages else advantages

        # Learn. Clipped updates in minibatches; while the value network warms up, of it alone.
        share = learning_rate(1.0, turn, config.steps, config.warmup, config.decay)
        set_rate(state.optimizers["value"], config.value_learning_rate * share)
        share = learning_rate(1.0, turn - first, config.steps - first, config.warmup, config.decay)
        rate = 0.0 if warming else config.learning_rate * share
        set_rate(state.optimizers["policy"], rate)
        importance = None if cap is None else importance_weights(old, behaviour, mask, cap)
        denominator = behaviour if cap is None else old
        lesson = Lesson(tokens, denominator, None if warming else credit, values, returns, importance, valued)
        figures: dict[str, list[float]] = {}
        for epoch in range(config.epochs):
            order = torch.randperm(len(tokens), generator=generator(seed, "minibatches", turn, epoch))
            parts = [c for c in order.tensor_split(config.minibatches) if len(c)]
            turns = turn * config.epochs + epoch
            examples = imitation.beside(shown, [len(c) for c in parts], len(tokens), turns, seed)
            for chosen, example in zip(parts, examples, strict=True):
                found = _update(
                    config, policy, critic, state, lesson, chosen, temperature, micro_batch_tokens, example, fabric
                )
                for name, value in found.items():
                    figures.setdefault(name, []).append(value)

        sequence_kl = token_kl.sum(1)
        if config.target_kl is not None and not warming:
            error = float((sequence_kl.mean() / config.target_kl - 1).clamp(-0.2, 0.2))
            state.numbers["kl_coef"] = beta * (1 + 0.1 * error)

        # Hand over.
        state.step += 1
        spread = masked_mean((returns - masked_mean(returns, mask)) ** 2, mask)
        missed = masked_mean((returns - values) ** 2, mask)
        metrics = {
            "objective/scores": paid.mean().item(),
            "objective/kl": sequence_kl.mean().item(),
            "objective/rlhf_reward": rewards.sum(1).mean().item(),
            "objective/kl_coef": beta,
            **judged.metrics(),
            **{name: _mean(figures[figure]) for name, figure in AVERAGED.items() if figure in figures},
            **(mismatch(old, behaviour, mask, cap or math.inf) if off_policy else {}),
            **({"val/ratio_first": figures["ratio_worst"][0]} if "ratio_worst" in figures else {}),
            "val/explained_variance": (1 - missed / spread.clamp(min=1e-8)).item(),
            "val/num_eos_tokens": float((~cut).sum()),
            "length": tokens.response_lengths.float().mean().item(),
            "lr": rate,
        }
        details = [
            {"score": round(s, 5), "kl": round(k, 5), "length": n, **more}
            for s, k, n, more in zip(
                score.tolist(), sequence_kl.tolist(), tokens.response_lengths.tolist(), judged.rows(), strict=True
            )
        ]
        yield Step(state.step, metrics, rollout.completions, details)


def lambdas(config: Policy, lengths: Tensor, warming: bool) -> tuple[float | Tensor, float | Tensor]:
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
    config: Policy,
    policy: Network,
    critic: Critic,
    state: State,
    lesson: Lesson,
    chosen: Tensor,
    temperature: float,
    micro_batch_tokens: int,
    example: Tokens | None = None,
    fabric: Fabric = ALONE,
) -> dict[str, float]:
    """One step of both optimisers, or of the value network's alone, on one minibatch; its figures.

    example: demonstrations that the policy imitates in this step.
    """
    batch, valued = lesson.tokens.take(chosen), (lesson.valued or lesson.tokens).take(chosen)
    shared = critic.trunk is not None and lesson.credit is not None
    count = float(batch.response_lengths.sum())
    sums: dict[str, float] = {}
    for rows in fabric.micro_batches(batch.lengths.cpu(), micro_batch_tokens, heads.together(policy.model, batch)):
        part = batch.take(rows)
        mask, width = part.response_mask, part.ids.shape[1]
        at = chosen[rows]
        found: dict[str, Tensor] = {}
        if lesson.credit is not None:
            old, ahead = lesson.behaviour[at, :width], lesson.credit[at, :width]
            if shared:
                score = critic.network.model.score
                logprobs, entropy, raw = heads.logprobs_entropy_and_values(policy.model, score, part, temperature)
            else:
                logprobs, entropy = heads.response_logprobs_and_entropy(policy.model, part, temperature)
            loss, seen = clipped_surrogate(logprobs, old, ahead, mask, config.clip, dual_clip=config.dual_clip)
            if lesson.importance is not None:
                loss = loss * lesson.importance[at, :width]
            policy_loss = masked_sum(loss, mask, count)
            if not shared:
                policy_loss.backward()
            found = {
                "policy_loss": policy_loss,
                "entropy": masked_sum(entropy, mask, count),
                "ratio": masked_sum(seen["ratio"], mask, count),
                "clipfrac": masked_sum(seen["clipped"], mask, count),
                "approxkl": masked_sum(seen["kl"], mask, count),
            }
            worst = torch.where(mask, (seen["ratio"] - 1).abs(), 0.0).max().item()
            sums["ratio_worst"] = max(sums.get("ratio_worst", 0.0), worst)

        values = critic.scaled(raw, part) if shared else critic.values(valued.take(rows))
        old_values = lesson.old_values[at, :width]
        loss, bound = clipped_value(values, old_values, lesson.returns[at, :width], mask, config.value_clip)
        value_loss = masked_sum(loss, mask, count)
        (found["policy_loss"] + config.critic.coef * value_loss if shared else value_loss).backward()
        found |= {"value_loss": value_loss, "value_clipfrac": masked_sum(bound, mask, count)}
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + value.item()
    if example is not None and lesson.credit is not None:
        sums["ptx_loss"] = imitation.imitate(policy, example, config.ptx_coef, micro_batch_tokens, fabric)
    sums = fabric.figures(sums, ("ratio_worst",))
    for name in ("value",) if lesson.credit is None else ("policy", "value"):
        network = state.networks[name]
        fabric.sum_gradients(network.parameters())
        sums[f"{name}_norm"] = clip(network, config.max_grad_norm)
        state.optimizers[name].step()
        state.optimizers[name].zero_grad()
    return sums


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
