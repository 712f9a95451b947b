"""GRPO and RLOO: several answers to each prompt, each set against its own group, no value network.

GRPO (Shao et al. 2024, arXiv 2402.03300) takes the group's mean as the baseline, RLOO (Ahmadian et al. 2024, arXiv
2402.14740) that of the others. With the KL in the reward (k1, the default) a group's advantages are those of
score − β·KL of the whole answer, and the gradient is that of E[score] − β·KL(π ‖ π_ref), for GRPO times (G−1)/G. With k2
or k3 in the loss the anchor is another one: docs/algorithms says which. Groups without a signal can be replaced by other
prompts' in further rounds of the same step (DAPO, Yu et al. 2025, arXiv 2503.14476).

Left out: a moving reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trueward import transfers
from trueward.batches import Step, Tokens
from trueward.config import PolicyConfig
from trueward.data.collate import Collator
from trueward.losses import kl
from trueward.losses.advantages import group_advantages
from trueward.losses.importance import deviation, importance_weights, mismatch
from trueward.losses.masks import masked, masked_sum
from trueward.losses.policy import token_weights
from trueward.models import frozen_layers, heads, precision
from trueward.models.network import Network
from trueward.parallel.fabric import ALONE, Fabric
from trueward.sampling.draws import Draws
from trueward.scorers.scorer import ScoredBatch
from trueward.seeds import generator
from trueward.token_budget import Budget, within_memory
from trueward.training import ptx
from trueward.training.figures import Figures
from trueward.training.policy_loss import PolicyLoss, importance_cap, own_figures, policy_loss
from trueward.training.schedule import learning_rate, rollout_plan, rows_at, set_rate
from trueward.training.scored_groups import ScoredGroups
from trueward.training.setup import Online
from trueward.training.state import State, adam, clip

AVERAGED = {  # a figure of every update, and what its mean over a step's updates is called
    "policy/entropy_avg": "entropy",
    "policy/approxkl_avg": "approxkl",
    "policy/clipfrac_avg": "clipfrac",
    "loss/policy_avg": "policy_loss",
    "loss/kl_avg": "kl_loss",
    "loss/ptx_avg": "ptx_loss",
    "val/ratio": "ratio",
    "policy/grad_norm": "policy_norm",
}


@dataclass(frozen=True)
class GroupBatch:
    """A rollout with all that an update needs of it, by token: all [B, T]."""

    tokens: Tokens
    sampler_logprobs: Tensor
    ref_logprobs: Tensor
    advantages: Tensor
    importance: Tensor | None = None


def steps(config: PolicyConfig, setup: Online) -> int:
    """Steps, each with one rollout: `policy.steps`."""
    return config.steps


def start(config: PolicyConfig, setup: Online) -> State:
    """The policy and its AdamW, the sampler's copy, if it has one, and β as `kl_coef`."""
    model = setup.policy.model
    frozen_layers.freeze_lower_layers(model, config.trainable_layers)
    return State(
        {"policy": model, **setup.sampler.hold(setup.policy)},
        {"policy": adam(model, config.learning_rate)},
        numbers={"kl_coef": config.kl_coef},
    )


def train(config: PolicyConfig, setup: Online, state: State) -> Iterator[Step]:
    """Trains `setup.policy` in place, from `state` on."""
    policy, reference, sampler, fabric = setup.policy, setup.reference, setup.sampler, setup.fabric
    prompts, seed, budget, temperature = setup.prompts, setup.seed, setup.micro_batch_tokens, sampler.params.temperature
    device, longest = policy.device, sampler.params.max_new_tokens
    group, cap = config.group, importance_cap(config, policy)
    surrogate, off_policy = policy_loss(config), sampler.sync_every > 1 or cap is not None
    ptx_tokens = Collator(policy.tokenizer, policy.context).tokens(setup.demonstrations) if config.ptx_coef else None
    sampler.plan(rollout_plan(prompts, config.batch_size // group.size, seed, group.size), config.steps)
    while state.step < config.steps:
        step = state.step

        sampler.sync(policy, step)
        rounds: list[ScoredGroups] = []
        used: list[int] = []
        missing = config.batch_size // group.size
        while missing and len(rounds) <= group.refill and len(used) < len(prompts):
            # Act. Sample a group of answers to each prompt from the policy as it is now, or was a few steps ago.
            picked = next_prompts(step, len(rounds), missing, len(prompts), used, seed)
            used += picked
            purpose = ("refill", step, len(rounds)) if rounds else ("rollout", step)
            repeated = [prompts[i] for i in picked for _ in range(group.size)]
            sampled = sampler.sample(repeated, Draws.purpose(seed, *purpose))
            lengths, rollout = sampled.tokens.response_lengths, sampled.to(device)
            # The reference and the policy have their lowest layers in common, if these don't learn.
            lower = frozen_layers.with_lower_states(policy.model, rollout.tokens, config.trainable_layers, budget)
            rollout = replace(rollout, tokens=lower)
            tokens, sampler_logprobs = rollout.tokens, rollout.logprobs

            # Judge. Score it; the KL anchor per token.
            scored = ScoredBatch.of(setup.scorer, rollout.completions)
            score = torch.as_tensor(scored.score, dtype=sampler_logprobs.dtype)
            truncated = torch.tensor([not c.finished for c in rollout.completions])
            rewards = score - config.missing_eos_penalty * truncated
            rewards = rewards - overlong(lengths, longest, group.overlong_tokens)
            with torch.no_grad():
                ref_logprobs = heads.read_logprobs(reference.model, tokens, temperature, budget, fabric)
                old = sampler_logprobs
                if off_policy:
                    old = heads.read_logprobs(policy.model, tokens, temperature, budget, fabric)
            if group.kl == "reward":
                (anchor,) = transfers.read([masked(kl.k1(old, ref_logprobs), tokens.response_mask).sum(1)])
                rewards = rewards - config.kl_coef * anchor
            rounds.append(ScoredGroups(rollout, old, ref_logprobs, score, rewards, scored))
            missing -= int(rounds[-1].alive(group.size).sum())

        # Credit. Each answer against its group; groups of equal reward carry no signal and can be left out.
        groups = ScoredGroups.join(rounds)
        rollout, old, ref_logprobs = groups.rollout, groups.old, groups.ref_logprobs
        score, rewards = groups.score, groups.rewards
        tokens, sampler_logprobs, mask = rollout.tokens, rollout.logprobs, rollout.tokens.response_mask
        truncated = torch.tensor([not c.finished for c in rollout.completions])
        lengths = tokens.host.response_lengths
        sequence_kl = masked(kl.k1(old, ref_logprobs), mask).sum(1)
        grouped, alive = rewards.view(-1, group.size), groups.alive(group.size)
        baseline = "others" if config.kind == "rloo" else "mean"
        advantages = transfers.moved(group_advantages(grouped, baseline, group.std).reshape(-1, 1), device)
        kept = alive.repeat_interleave(group.size) if group.drop_equal_groups else torch.ones_like(truncated)
        importance = None if cap is None else importance_weights(old, sampler_logprobs, mask, cap)
        denominator = sampler_logprobs if cap is None else old
        experience = GroupBatch(tokens, denominator, ref_logprobs, advantages.expand(mask.shape), importance)

        # Learn. Clipped updates in minibatches.
        rate = config.learning_rate * learning_rate(1.0, step, config.steps, config.warmup, config.decay)
        set_rate(state.optimizers["policy"], rate)
        figures: dict[str, list[float]] = {}
        rows = kept.nonzero().squeeze(1)
        for epoch in range(config.epochs if len(rows) else 0):
            order = rows[torch.randperm(len(rows), generator=generator(seed, "minibatches", step, epoch))]
            parts = [c for c in order.tensor_split(config.minibatches) if len(c)]
            passes = step * config.epochs + epoch
            examples = ptx.ptx_batches(ptx_tokens, [len(c) for c in parts], config.batch_size, passes, seed)
            for chosen, example in zip(parts, examples, strict=True):
                update = _update(
                    config, policy, state, experience, chosen, temperature, longest, budget, surrogate, example, fabric
                )
                for name, value in update.items():
                    figures.setdefault(name, []).append(value)

        # Hand over.
        state.step += 1
        off = mismatch(old, sampler_logprobs, mask, cap or math.inf) if off_policy else {}
        if precision.is_low(policy.model):
            off |= deviation(old, sampler_logprobs, mask, int(tokens.host.response_lengths.sum()))
        sequence_kl, *off_values = transfers.read([sequence_kl, *off.values()])
        metrics = {
            "objective/scores": (score - config.missing_eos_penalty * truncated).mean().item(),
            "objective/kl": sequence_kl.mean().item(),
            "objective/rlhf_reward": (rewards if group.kl == "reward" else rewards - config.kl_coef * sequence_kl)
            .mean()
            .item(),
            "objective/kl_coef": config.kl_coef,
            **groups.scored.metrics(),
            "objective/group_sd": grouped.std(1).mean().item(),
            "objective/equal_groups": 1.0 - alive.float().mean().item(),
            "length": lengths.float().mean().item(),
            "val/num_eos_tokens": float((~truncated).sum()),
            "lr": rate,
        }
        if group.refill:
            metrics |= {"refill/rounds": len(rounds) - 1.0, "refill/dropped": float((~alive).sum())}
        metrics |= {name: value.item() for name, value in zip(off, off_values, strict=True)}
        if figures:
            metrics |= {name: _mean(figures[figure]) for name, figure in AVERAGED.items() if figure in figures}
            metrics |= {name: _mean(values) for name, values in figures.items() if name.startswith("loss/")}
            metrics["val/ratio_first"] = figures["ratio_worst"][0]
        details = [
            {"score": round(s, 5), "kl": round(k, 5), "length": n, **more}
            for s, k, n, more in zip(
                score.tolist(), sequence_kl.tolist(), lengths.tolist(), groups.scored.rows(), strict=True
            )
        ]
        yield Step(state.step, metrics, rollout.completions, details)


def next_prompts(step: int, round_number: int, count: int, prompts: int, used: Sequence[int], seed: int) -> list[int]:
    """The prompts of a step's sampling round, from 0: first the step's own, then others that aren't among the used ones."""
    if not round_number:
        return [int(i) for i in rows_at(step, prompts, count, seed, "prompts")]
    order = torch.randperm(prompts, generator=generator(seed, "other prompts", step, round_number)).tolist()
    known = set(used)
    return [i for i in order if i not in known][:count]


def overlong(lengths: Tensor, longest: int, buffer: int) -> Tensor:
    """What an answer's length costs in its last `buffer` tokens before the limit: 0 to 1, linear (DAPO, eq. 13). [B]."""
    if buffer == 0:
        return torch.zeros(len(lengths), device=lengths.device)
    return ((lengths - (longest - buffer)).clamp(min=0) / buffer).clamp(max=1.0)


def _anchored(placement: str, logprobs: Tensor, ref_logprobs: Tensor, sampler_logprobs: Tensor) -> Tensor:
    """The KL term by token, [B, T]. Which objective each one belongs to: docs/algorithms/grpo.md.

    Minibatches after the first are off policy and weighted by ρ = π/π_sampler: detached for k2; differentiated in
    "k3-weighted", which makes its gradient that of the KL; "k3" is the GRPO paper's, with no weight.
    """
    if placement == "k2":
        return kl.k2(logprobs, ref_logprobs) * (logprobs - sampler_logprobs).exp().detach()
    if placement == "k3":
        return kl.k3(logprobs, ref_logprobs)
    return kl.k3(logprobs, ref_logprobs) * (logprobs - sampler_logprobs).exp()


def _update(
    config: PolicyConfig,
    policy: Network,
    state: State,
    batch: GroupBatch,
    chosen: Tensor,
    temperature: float,
    longest: int,
    micro_batch_tokens: Budget,
    surrogate: PolicyLoss,
    example: Tokens | None = None,
    fabric: Fabric = ALONE,
) -> dict[str, float]:
    """One step of the optimiser on one minibatch; its figures.

    surrogate: the policy's loss by token. example: demonstrations for policy.ptx_coef.
    """
    group = config.group
    tokens = batch.tokens.take(chosen)
    total = float(tokens.host.response_lengths.sum())

    def attempt() -> Figures:
        sums = Figures()
        for rows in fabric.micro_batches(
            tokens.host.lengths, micro_batch_tokens, heads.prompt_groups(policy.model, tokens)
        ):
            part = tokens.take(rows)
            mask, width, at = part.response_mask, part.ids.shape[1], transfers.moved(chosen[rows], policy.device)
            weights = token_weights(mask, group.reducer, total, len(tokens), longest)
            if batch.importance is not None:
                weights = weights * batch.importance[at, :width]
            logprobs, entropy = heads.response_logprobs_and_entropy(policy.model, part, temperature)
            old, advantages = batch.sampler_logprobs[at, :width], batch.advantages[at, :width]
            loss, ratios = surrogate(logprobs, old, advantages, mask)
            loss = (loss * weights).sum()
            kl_loss = torch.zeros((), dtype=loss.dtype, device=loss.device)
            if group.kl != "reward":
                by_token = _anchored(
                    group.kl, logprobs, masked(batch.ref_logprobs[at, :width], mask), masked(old, mask)
                )
                kl_loss = config.kl_coef * (masked(by_token, mask) * weights).sum()
            (loss + kl_loss).backward()
            sums.add_all(
                {
                    "policy_loss": loss,
                    "kl_loss": kl_loss,
                    "entropy": masked_sum(entropy, mask, total),
                    "ratio": masked_sum(ratios["ratio"], mask, total),
                    "clipfrac": masked_sum(ratios["clipped"], mask, total),
                    "approxkl": masked_sum(ratios["kl"], mask, total),
                    **{name: masked_sum(value, mask, total) for name, value in own_figures(ratios).items()},
                }
            )
            sums.largest("ratio_worst", torch.where(mask, (ratios["ratio"] - 1).abs(), 0.0))
        if example is not None:
            for part_loss in ptx.accumulate_ptx(policy, example, config.ptx_coef, micro_batch_tokens, fabric):
                sums.add("ptx_loss", part_loss)
        return sums

    sums = within_memory(micro_batch_tokens, attempt, state.zero_grad)
    fabric.sum_gradients(policy.model.parameters())
    sums.alike("policy_norm", clip(policy.model, config.max_grad_norm))
    state.optimizers["policy"].step()
    state.optimizers["policy"].zero_grad()
    return sums.read(fabric)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
