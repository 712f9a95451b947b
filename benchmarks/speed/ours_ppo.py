"""PPO with trueward: the reward model, a value network that starts from it (or a head), an anchor; 4 epochs × `minibatches`."""

from pathlib import Path

from speed import meter, ours
from trueward.algorithms import ppo
from trueward.models.frozen_layers import ValueHead
from trueward.models.network import Network
from trueward.scorers import reward_model
from trueward.scorers.scorer import Scale

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    steps = ours.total(asked)
    settings = {
        "kind": "ppo", "steps": steps, "batch_size": asked["rollouts"], "kl_coef": 0.05, "learning_rate": 3e-6,
        "value_learning_rate": 3e-6, "epochs": 4, "minibatches": asked["minibatches"],
        "critic": {"trunk": asked.get("trunk", "own")},
    }  # fmt: skip
    context = ours.context(asked, policy=settings)
    recipe = context.recipe
    policy, reference = ours.policy(asked), ours.policy(asked)
    reference.model.requires_grad_(False)
    scorer = reward_model.load(Path(asked["material"]) / "reward", ours.CPU)
    scorer.freeze()
    if recipe.policy.critic.trunk == "shared":
        critic = ppo.Critic(Network(ValueHead(policy.model), policy.tokenizer), Scale(0.0, 1.0), policy.model)
    else:
        critic = ppo.Critic(reward_model.load(Path(asked["material"]) / "reward", ours.CPU).network, Scale(0.0, 1.0))
    loop = ppo.train(
        recipe.policy,
        policy=policy,
        reference=reference,
        critic=critic,
        sample=context.sample_rollout,
        scorer=scorer,
        prompts=ours.prompts(asked, steps * asked["rollouts"]),
        temperature=recipe.sampler.temperature,
        state=ppo.start(recipe.policy, policy, critic),
        seed=ours.SEED,
        micro_batch_tokens=recipe.runtime.micro_batch_tokens,
    )
    lengths = []
    clock.start()
    for step in loop:
        clock.tick()
        lengths.append(step.metrics["length"])
    clock.finish(asked["rollouts"], answer=meter.mean(lengths))
