"""A reward model with trueward: every comparison once."""

from speed import meter, ours
from trueward.algorithms import reward_model
from trueward.models import loading
from trueward.pipeline.process import process_settings
from trueward.training.setup import Ranking

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    rows = ours.comparisons(asked, ours.total(asked) * asked["batch"])
    recipe = ours.recipe(asked, reward={"epochs": 1.0, "batch_size": asked["batch"], "learning_rate": 1e-4})
    with process_settings(recipe):
        network = loading.reward_from_policy(asked["material"] + "/policy", ours.CPU)
        setup = Ranking(**ours.common(recipe), network=network, comparisons=rows)
        ours.timed(clock, reward_model, recipe.reward, setup)
    clock.finish(asked["batch"])
