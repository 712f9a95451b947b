"""Online DPO: pairs of answers from the policy as it is, labelled by the scorer (Guo et al. 2024, arXiv 2402.04792).

DPO's optimum on Bradley–Terry labels is the tilt for any pairs that cover all answers, so also for the policy's own. The
label of a pair is σ(score_1 − score_2), scores in SDs under the reference: the optimum at β is π_ref·e^{score/β}/Z, that
of PPO at the same β, and there every pair's gradient is 0. With `policy.dpo.labels = "hard"` the higher score wins, and
there is no finite optimum: margins grow for ever, towards the best answer alone. Nothing is differentiated through
the sampling.

All log-probs are at the sampler's temperature, as in PPO: the policy that is tilted is the one that answers.

Left out: more than one update on a batch (it would be off policy), a language model as the annotator.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trueward import transfers
from trueward.batches import Pairs, Step
from trueward.config import PolicyConfig
from trueward.losses import kl, preference
from trueward.losses.masks import masked
from trueward.models import heads
from trueward.models.frozen_layers import freeze_lower_layers
from trueward.sampling.draws import Draws
from trueward.scorers.scorer import ScoredBatch
from trueward.training.preference_step import accumulate
from trueward.training.schedule import learning_rate, rows_at, set_rate
from trueward.training.setup import Online
from trueward.training.state import State, adam, clip


def steps(config: PolicyConfig, setup: Online) -> int:
    """Steps, each with one batch of answers and one update: `policy.steps`."""
    return config.steps


def start(config: PolicyConfig, setup: Online) -> State:
    """The policy and its AdamW, and the sampler's copy, if it has one."""
    model = setup.policy.model
    freeze_lower_layers(model, config.trainable_layers)
    return State(
        {"policy": model, **setup.sampler.hold(setup.policy)}, {"policy": adam(model, config.dpo.learning_rate)}
    )


def train(config: PolicyConfig, setup: Online, state: State) -> Iterator[Step]:
    """Trains `setup.policy` in place, from `state` on. A step takes `config.batch_size` prompts, two answers to each."""
    policy, reference, sampler, fabric = setup.policy, setup.reference, setup.sampler, setup.fabric
    prompts, seed, budget, temperature = setup.prompts, setup.seed, setup.micro_batch_tokens, sampler.params.temperature
    device = policy.device
    while state.step < config.steps:
        step = state.step

        # Act. Two answers to each prompt from the policy as it is now.
        picked = rows_at(step, len(prompts), config.batch_size, seed, "prompts").tolist()
        sampler.publish(policy, step)
        rollout = sampler.sample([prompts[i] for i in picked for _ in range(2)], Draws.purpose(seed, "rollout", step))
        tokens, sampler_logprobs = rollout.tokens.to(device), transfers.moved(rollout.logprobs, device)

        # Judge. Score them; the reference's log-probs, once a step.
        with torch.no_grad():
            ref_logprobs = heads.read_logprobs(reference.model, tokens, temperature, budget, fabric)
        scored = ScoredBatch.of(setup.scorer, rollout.completions)
        score = torch.as_tensor(scored.score, dtype=ref_logprobs.dtype)
        truncated = torch.tensor([not c.finished for c in rollout.completions])
        rewards = score - config.missing_eos_penalty * truncated
        sequence_kl = masked(kl.k1(sampler_logprobs, ref_logprobs), tokens.response_mask).sum(1)

        # Credit. Each answer against the other one; two equal ones carry no signal.
        first, second = rewards.view(-1, 2).unbind(1)
        labels = transfers.moved(preference.labels(first, second, config.dpo.labels), device)
        batch = Pairs(tokens, ref_logprobs.sum(1), labels)
        figures = accumulate(config, policy, batch, budget, temperature, fabric)

        # Learn.
        figures.alike("policy/grad_norm", clip(policy.model, config.max_grad_norm))
        rate = config.dpo.learning_rate * learning_rate(1.0, step, config.steps, config.warmup, config.decay)
        set_rate(state.optimizers["policy"], rate)
        state.optimizers["policy"].step()
        state.optimizers["policy"].zero_grad()

        # Hand over.
        state.step += 1
        (kls,) = transfers.read([sequence_kl])
        sides = zip(rollout.completions[::2], rollout.completions[1::2], strict=True)
        same = sum((a.response, a.finished) == (b.response, b.finished) for a, b in sides)
        metrics = {
            "objective/scores": rewards.mean().item(),
            "objective/kl": kls.mean().item(),
            "objective/rlhf_reward": (rewards - config.kl_coef * kls).mean().item(),
            "objective/kl_coef": config.kl_coef,
            "objective/scores_margin": (first - second).abs().mean().item(),
            "objective/equal_pairs": same / len(first),
            **scored.metrics(),
            **figures.read(fabric),
            "val/num_eos_tokens": float((~truncated).sum()),
            "length": rollout.tokens.response_lengths.float().mean().item(),
            "lr": rate,
        }
        details = [
            {"score": round(s, 5), "kl": round(k, 5), "length": n, **more}
            for s, k, n, more in zip(
                score.tolist(), kls.tolist(), rollout.tokens.response_lengths.tolist(), scored.rows(), strict=True
            )
        ]
        yield Step(state.step, metrics, rollout.completions, details)
