"""Answers drawn by trueward's sampler, with their log-probs."""

from speed import meter, ours
from trueward.seeds import generator

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    context = ours.context(asked)
    policy = ours.policy(asked)
    prompts = ours.prompts(asked, asked["sampled"])
    # The weights stay the same, on both sides; coarser ones are laid out anew each time: what they write is learned from.
    sample = context.sample if context.recipe.sampler.engine.quantize == "none" else context.sample_rollout
    written = []
    clock.start()
    for turn in range(ours.total(asked)):
        rollout = sample(policy, prompts, generator(ours.SEED, "bench", turn))
        clock.tick()
        written.append(float(rollout.tokens.response_lengths.sum()))
    clock.finish(written, answer=meter.mean(written) / asked["sampled"])
