"""PPO with trueward: the reward model, a value network that starts from it (or a head), an anchor; 4 epochs × `minibatches`."""

from speed import meter, ours
from trueward.algorithms import ppo
from trueward.pipeline.process import process_settings

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    steps = ours.total(asked)
    settings = {
        "kind": "ppo", "steps": steps, "batch_size": asked["rollouts"], "kl_coef": 0.05, "learning_rate": 3e-6,
        "value_learning_rate": 3e-6, "epochs": 4, "minibatches": asked["minibatches"],
        "critic": {"trunk": asked.get("trunk", "own")},
    }  # fmt: skip
    recipe = ours.recipe(asked, policy=settings)
    with process_settings(recipe):
        setup = ours.online(asked, recipe, ours.prompts(asked, steps * asked["rollouts"]))
        figures = ours.timed(clock, ppo, recipe.policy, setup)
    clock.finish(asked["rollouts"], answer=meter.mean([f["length"] for f in figures]))
