"""Proximal policy optimisation against a scorer, anchored to the reference policy by KL.

Maximises E[score] − β·KL(π ‖ π_ref), with the score in SDs under the reference policy. Per-token k1 KL in the reward,
the score at the last token, GAE, whitened advantages, clipped policy and value losses, a value network of its own.
Dropout is off, so the ratio of the first update is 1. Losses are token means over a whole minibatch, however it is cut
into micro-batches; every minibatch is one step of both optimisers.

Left out: an entropy bonus, early stopping on the KL to the behaviour policy, reward clipping.
Sources: PPO (Schulman et al. 2017, arXiv 1707.06347); Ziegler et al. 2019 (arXiv 1909.08593) for the anchor and its
controller; InstructGPT (Ouyang et al. 2022, arXiv 2203.02155) for the value network that starts from the reward model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trueward.batches import Rollout, Step, Tokens, by_parts, micro_batches
from trueward.config import Policy
from trueward.losses import advantages as adv
from trueward.losses import kl
from trueward.losses.masks import masked, masked_mean, masked_sum, whiten
from trueward.losses.policy import clipped_surrogate, clipped_value
from trueward.models import heads
from trueward.models.loading import Network
from trueward.models.schedule import generator, learning_rate, rows_at, set_rate
from trueward.models.state import State, adam
from trueward.records import Prompt
from trueward.scorers.scorer import Scale, Scorer, scores

Sample = Callable[[Network, Sequence[Prompt], torch.Generator], Rollout]


@dataclass(frozen=True)
class Critic:
    """The value network: the reward model's, read in the same units. V = (head − mean) / SD."""

    network: Network
    scale: Scale

    def values(self, tokens: Tokens) -> Tensor:
        """[B, T], in SDs of the proxy; 0 outside the response."""
        raw = heads.response_values(self.network.model, tokens)
        return torch.where(tokens.response_mask, (raw - self.scale.mean) / self.scale.sd, 0.0)


def start(config: Policy, policy: Network, critic: Critic) -> State:
    return State(
        {"policy": policy.model, "value": critic.network.model},
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
) -> Iterator[Step]:
    """Trains `policy` and `critic` in place, from `state` on. `temperature` is the sampler's."""
    device = policy.device
    while state.step < config.steps:
        turn = state.step
        beta = state.numbers["kl_coef"]

        # Act. Sample a rollout from the policy as it is now.
        batch = [prompts[i] for i in rows_at(turn, len(prompts), config.batch_size, seed, "prompts").tolist()]
        rollout = sample(policy, batch, generator(seed, "rollout", turn))
        tokens, behaviour = rollout.tokens.to(device), rollout.logprobs.to(device)
        mask = tokens.response_mask

        # Judge. Score it; the KL anchor per token.
        score = torch.as_tensor(scores(scorer, rollout.completions), dtype=torch.float32, device=device)
        cut = torch.tensor([not c.finished for c in rollout.completions], device=device)
        paid = score - config.missing_eos_penalty * cut
        with torch.no_grad():
            anchor = by_parts(
                lambda part: heads.response_logprobs(reference.model, part, temperature), tokens, micro_batch_tokens
            )
            values = by_parts(critic.values, tokens, micro_batch_tokens)
        token_kl = masked(kl.k1(behaviour, anchor), mask)
        rewards = kl.token_rewards(paid, token_kl, mask, beta)

        # Credit. Advantages and the returns that the values should have foretold.
        advantages, returns = adv.gae(rewards, values, mask, config.discount, config.gae_lambda)
        credit = whiten(advantages, mask) if config.whiten_advantages else advantages

        # Learn. Clipped updates in minibatches.
        part_done = learning_rate(1.0, turn, config.steps, config.warmup, config.decay)
        set_rate(state.optimizers["policy"], config.learning_rate * part_done)
        set_rate(state.optimizers["value"], config.value_learning_rate * part_done)
        figures: dict[str, list[float]] = {}
        for epoch in range(config.epochs):
            order = torch.randperm(len(tokens), generator=generator(seed, "minibatches", turn, epoch))
            for chosen in (c for c in order.tensor_split(config.minibatches) if len(c)):
                for name, value in _update(
                    config,
                    policy,
                    critic,
                    state,
                    tokens,
                    behaviour,
                    credit,
                    values,
                    returns,
                    chosen,
                    temperature,
                    micro_batch_tokens,
                ).items():
                    figures.setdefault(name, []).append(value)

        sequence_kl = token_kl.sum(1)
        if config.target_kl is not None:
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
            "policy/entropy_avg": _mean(figures["entropy"]),
            "policy/approxkl_avg": _mean(figures["approxkl"]),
            "policy/clipfrac_avg": _mean(figures["clipfrac"]),
            "loss/policy_avg": _mean(figures["policy_loss"]),
            "loss/value_avg": _mean(figures["value_loss"]),
            "val/clipfrac_avg": _mean(figures["value_clipfrac"]),
            "val/ratio": _mean(figures["ratio"]),
            "val/ratio_first": figures["ratio_worst"][0],
            "val/explained_variance": (1 - missed / spread.clamp(min=1e-8)).item(),
            "val/num_eos_tokens": float((~cut).sum()),
            "policy/grad_norm": _mean(figures["policy_norm"]),
            "val/grad_norm": _mean(figures["value_norm"]),
            "length": tokens.response_lengths.float().mean().item(),
            "lr": config.learning_rate * part_done,
        }
        details = [
            {"score": round(s, 5), "kl": round(k, 5), "length": n}
            for s, k, n in zip(score.tolist(), sequence_kl.tolist(), tokens.response_lengths.tolist(), strict=True)
        ]
        yield Step(state.step, metrics, rollout.completions, details)


def _update(
    config: Policy,
    policy: Network,
    critic: Critic,
    state: State,
    tokens: Tokens,
    behaviour: Tensor,
    credit: Tensor,
    old_values: Tensor,
    returns: Tensor,
    chosen: Tensor,
    temperature: float,
    micro_batch_tokens: int,
) -> dict[str, float]:
    """One step of both optimisers on one minibatch; its figures."""
    batch = tokens.take(chosen)
    count = float(batch.response_lengths.sum())
    sums: dict[str, float] = {}
    for rows in micro_batches(batch.lengths.cpu(), micro_batch_tokens):
        part = batch.take(rows)
        mask, width = part.response_mask, part.ids.shape[1]
        at = chosen[rows]
        logprobs, entropy = heads.response_logprobs_and_entropy(policy.model, part, temperature)
        loss, seen = clipped_surrogate(logprobs, behaviour[at, :width], credit[at, :width], mask, config.clip)
        policy_loss = masked_sum(loss, mask, count)
        policy_loss.backward()

        values = critic.values(part)
        loss, bound = clipped_value(values, old_values[at, :width], returns[at, :width], mask, config.value_clip)
        value_loss = masked_sum(loss, mask, count)
        value_loss.backward()

        for name, value in {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": masked_sum(entropy, mask, count),
            "ratio": masked_sum(seen["ratio"], mask, count),
            "clipfrac": masked_sum(seen["clipped"], mask, count),
            "approxkl": masked_sum(seen["kl"], mask, count),
            "value_clipfrac": masked_sum(bound, mask, count),
        }.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        worst = torch.where(mask, (seen["ratio"] - 1).abs(), 0.0).max().item()
        sums["ratio_worst"] = max(sums.get("ratio_worst", 0.0), worst)
    for name, network in state.networks.items():
        sums[f"{name}_norm"] = float(torch.nn.utils.clip_grad_norm_(network.parameters(), config.max_grad_norm))
        state.optimizers[name].step()
        state.optimizers[name].zero_grad()
    return sums


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
