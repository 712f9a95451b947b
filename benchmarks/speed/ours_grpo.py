"""GRPO with trueward, against the reward model, anchored to the reference."""

from pathlib import Path

from speed import meter, ours
from trueward.algorithms import grpo
from trueward.scorers import reward_model

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    steps = ours.total(asked)
    settings = {
        "kind": "grpo", "steps": steps, "batch_size": asked["rollouts"], "kl_coef": 0.05, "learning_rate": 1e-6,
        "epochs": 1, "minibatches": 1, "group": {"size": 8, "std": "sample", "kl": "k3"},
    }  # fmt: skip
    context = ours.context(asked, policy=settings)
    recipe = context.recipe
    policy, reference = ours.policy(asked), ours.policy(asked)
    reference.model.requires_grad_(False)
    scorer = reward_model.load(Path(asked["material"]) / "reward", ours.CPU)
    scorer.freeze()
    loop = grpo.train(
        recipe.policy,
        policy=policy,
        reference=reference,
        sample=context.sample_rollout,
        scorer=scorer,
        prompts=ours.prompts(asked, steps * asked["rollouts"] // 8),
        temperature=recipe.sampler.temperature,
        longest=recipe.sampler.max_new_tokens,
        state=grpo.start(recipe.policy, policy),
        seed=ours.SEED,
        micro_batch_tokens=recipe.runtime.micro_batch_tokens,
    )
    lengths = []
    clock.start()
    for step in loop:
        clock.tick()
        lengths.append(step.metrics["length"])
    clock.finish(asked["rollouts"], answer=meter.mean(lengths))
