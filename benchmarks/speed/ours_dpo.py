"""DPO with trueward: every comparison once. The reference's log-probs, computed ahead, count as part of the steps."""

from speed import meter, ours
from trueward.algorithms import dpo
from trueward.pipeline.process import process_settings
from trueward.training.setup import Offline

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    steps = ours.total(asked)
    rows = ours.comparisons(asked, steps * asked["batch"])
    recipe = ours.recipe(
        asked,
        policy={"kind": "dpo", "steps": steps, "batch_size": asked["batch"], "kl_coef": 0.1, "minibatches": 1,
                "dpo": {"learning_rate": 1e-6}},
    )  # fmt: skip
    with process_settings(recipe):
        policy, reference = ours.policy(asked), ours.policy(asked)
        start = clock.now()
        pairs = dpo.reference_pairs(reference, rows, recipe.runtime.micro_batch_tokens)
        ahead = clock.now() - start
        ours.timed(clock, dpo, recipe.policy, Offline(**ours.common(recipe), policy=policy, pairs=pairs))
    clock.finish(asked["batch"], before=ahead / steps)
