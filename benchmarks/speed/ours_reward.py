"""A reward model with trueward: every comparison once."""

from speed import meter, ours
from trueward.algorithms import reward_model
from trueward.models import loading

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    rows = ours.comparisons(asked, ours.total(asked) * asked["batch"])
    context = ours.context(asked, reward={"epochs": 1.0, "batch_size": asked["batch"], "learning_rate": 1e-4})
    config = context.recipe.reward
    network = loading.reward_from_policy(asked["material"] + "/policy", ours.CPU)
    loop = reward_model.train(
        config,
        network=network,
        comparisons=rows,
        state=reward_model.start(config, network),
        seed=ours.SEED,
        micro_batch_tokens=context.recipe.runtime.micro_batch_tokens,
    )
    clock.start()
    for _ in loop:
        clock.tick()
    clock.finish(asked["batch"])
