"""Answers drawn by trueward's sampler, with their log-probs."""

from speed import meter, ours
from trueward.pipeline.answers import exact_sampler
from trueward.pipeline.process import process_settings
from trueward.sampling.draws import Draws
from trueward.training.env import Env

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    recipe = ours.recipe(asked)
    with process_settings(recipe):
        policy = ours.policy(asked)
        prompts = ours.prompts(asked, asked["sampled"])
        # The weights stay the same, on both sides; coarser ones are laid out anew each time: what they write is learned from.
        exact, engine = exact_sampler(recipe.sampler, Env()), ours.engine(recipe)
        engine.hold(policy)
        is_exact = recipe.sampler.engine.quantize == "none"
        written = []
        clock.start()
        for turn in range(ours.total(asked)):
            draws = Draws.purpose(ours.SEED, "bench", turn)
            rollout = exact(policy, prompts, draws) if is_exact else engine.sample(prompts, draws)
            clock.tick()
            written.append(float(rollout.tokens.response_lengths.sum()))
    clock.finish(written, answer=meter.mean(written) / asked["sampled"])
