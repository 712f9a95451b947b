"""GRPO with trueward, against the reward model, anchored to the reference."""

from speed import meter, ours
from trueward.algorithms import grpo
from trueward.pipeline.process import process_settings

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    steps = ours.total(asked)
    settings = {
        "kind": "grpo", "steps": steps, "batch_size": asked["rollouts"], "kl_coef": 0.05, "learning_rate": 1e-6,
        "epochs": 1, "minibatches": 1, "group": {"size": 8, "std": "sample", "kl": "k3"},
    }  # fmt: skip
    recipe = ours.recipe(asked, policy=settings)
    with process_settings(recipe):
        setup = ours.online(asked, recipe, ours.prompts(asked, steps * asked["rollouts"] // 8))
        figures = ours.timed(clock, grpo, recipe.policy, setup)
    clock.finish(asked["rollouts"], answer=meter.mean([f["length"] for f in figures]))
