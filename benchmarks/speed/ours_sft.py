"""Supervised fine-tuning with trueward: every demonstration once."""

from speed import meter, ours
from trueward.algorithms import sft
from trueward.pipeline.process import process_settings
from trueward.training.setup import Supervised

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    rows = ours.demonstrations(asked, ours.total(asked) * asked["batch"])
    recipe = ours.recipe(asked, sft={"epochs": 1.0, "batch_size": asked["batch"], "learning_rate": 2e-5})
    with process_settings(recipe):
        setup = Supervised(**ours.common(recipe), policy=ours.policy(asked), demonstrations=rows)
        ours.timed(clock, sft, recipe.sft, setup)
    lengths = [len(r.prompt.text) + len(r.response) + 1 for r in rows]
    clock.finish(meter.mean(lengths) * asked["batch"])
