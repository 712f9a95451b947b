"""A reward of your own, and what becomes of it without an anchor: the reward climbs, what you meant by it falls.

The reward pays for every word of praise. What was meant is praise that says something: a word counts once, and saying it
again and again annoys. A minute on a laptop: python own_reward.py
"""

import trueward as tw

PRAISE = {"warm", "lovely", "bright", "fresh", "great", "moving"}


def reward(completions: list[tw.Completion]) -> list[float]:
    return [float(sum(word in PRAISE for word in c.response.split())) for c in completions]


def meant(completions: list[tw.Completion]) -> list[float]:
    """Different words of praise, less what is repeated. Measured beside the reward, and never optimised."""
    scores = []
    for c in completions:
        praise = [word for word in c.response.split() if word in PRAISE]
        scores.append(2.0 * len(set(praise)) - len(praise))
    return scores


if __name__ == "__main__":
    quick = {"sampler": {"max_new_tokens": 16}, "runtime": {"threads": 1}}
    sft = tw.sft("trueward:tiny", "trueward:toy", epochs=1, **quick)
    for kl_coef in (0.0, 0.5):
        policy = tw.optimize(
            sft, reward, kl_coef=kl_coef, steps=25, batch_size=64, learning_rate=1e-3, truths={"meant": meant}, **quick
        )
        print(f"\nβ = {kl_coef}: {policy.verdict}, {policy.generate('this is a film', max_new_tokens=16)!r}")
        print(policy.evaluations[["step", "proxy", "truth", "kl"]].round(2).to_string(index=False))
