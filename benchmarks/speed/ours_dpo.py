"""DPO with trueward: every comparison once. The reference's log-probs, computed ahead, count as part of the steps."""

from speed import meter, ours
from trueward.algorithms import dpo

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    steps = ours.total(asked)
    rows = ours.comparisons(asked, steps * asked["batch"])
    context = ours.context(
        asked,
        policy={"kind": "dpo", "steps": steps, "batch_size": asked["batch"], "kl_coef": 0.1, "minibatches": 1,
                "dpo": {"learning_rate": 1e-6}},
    )  # fmt: skip
    config, budget = context.recipe.policy, context.recipe.runtime.micro_batch_tokens
    policy, reference = ours.policy(asked), ours.policy(asked)
    start = clock.now()
    data = dpo.pairs(reference, rows, budget)
    ahead = clock.now() - start
    loop = dpo.train(
        config,
        policy=policy,
        data=data,
        state=dpo.start(config, policy),
        seed=ours.SEED,
        micro_batch_tokens=budget,
    )
    clock.start()
    for _ in loop:
        clock.tick()
    clock.finish(asked["batch"], before=ahead / steps)
