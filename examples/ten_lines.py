"""The whole workflow in ten lines: SFT, comparisons, a reward model, PPO, and whether it was worth it.

Runs in a quarter of a minute on a laptop, from any folder, with nothing downloaded: python ten_lines.py
"""

import trueward as tw

WARM = {"warm", "lovely", "bright", "fresh", "great", "moving"}


def warmth(text: str) -> int:
    return sum(word in WARM for word in text.split())


def annotator(first: tw.Completion, second: tw.Completion) -> float:
    """What a person would be asked: which answer is better? .5 is a tie."""
    one, other = warmth(first.response), warmth(second.response)
    return 0.5 if one == other else float(one > other)


def truth(completions: list[tw.Completion]) -> list[float]:
    """What is measured and never optimised."""
    return [float(warmth(c.response)) for c in completions]


if __name__ == "__main__":
    quick = {"sampler": {"max_new_tokens": 16}, "runtime": {"threads": 1}}
    sft = tw.sft("trueward:tiny", "trueward:toy", epochs=1, **quick)
    pairs = tw.compare(sft, sft.prompts, annotator=annotator, count=800, **quick)
    reward = tw.fit_reward_model(sft, pairs, **quick)
    policy = tw.optimize(
        sft, reward, kind="ppo", kl_coef=0.1, steps=20, learning_rate=1e-3, truths={"truth": truth}, **quick
    )
    print(tw.evaluate(policy, sft.held_out, against=sft, scorers={"truth": truth}, max_new_tokens=16))
    print(policy.verdict, policy.generate("this is a film", max_new_tokens=16))
