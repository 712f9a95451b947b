"""Supervised fine-tuning with trueward: every demonstration once."""

from speed import meter, ours
from trueward.algorithms import sft

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    rows = ours.demonstrations(asked, ours.total(asked) * asked["batch"])
    context = ours.context(asked, sft={"epochs": 1.0, "batch_size": asked["batch"], "learning_rate": 2e-5})
    config, policy = context.recipe.sft, ours.policy(asked)
    loop = sft.train(
        config,
        policy=policy,
        demonstrations=rows,
        state=sft.start(config, policy),
        seed=ours.SEED,
        micro_batch_tokens=context.recipe.runtime.micro_batch_tokens,
    )
    clock.start()
    for _ in loop:
        clock.tick()
    lengths = [len(r.prompt.text) + len(r.response) + 1 for r in rows]
    clock.finish(meter.mean(lengths) * asked["batch"])
