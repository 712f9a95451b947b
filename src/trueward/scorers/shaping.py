"""Reward shaping: scores clipped, compared with reference answers, and reduced by a length penalty. Off by default.

These limit reward hacking in another way than the KL anchor: by trusting the reward model less where its scores are extreme.
They are applied in this order:

    clip      s ← min(max(s, −c), c), in SDs under the reference policy
    sigmoid   s ← the mean of σ(s − s_ref) over m reference answers to the same prompt (PAR, Fu et al. 2025, arXiv
              2502.18770), put on the scale again (mean 0, SD 1 within a prompt under the reference policy), so that β
              means what it means without
    length    s ← s − p·max(0, tokens − mean tokens of the reference policy's answers); Singhal et al. 2023 (arXiv
              2310.03716) used a length penalty too, but one that also rewards being short
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trueward.config import RewardConfig
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.records import Completion, Prompt, Score
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import Sample
from trueward.scorers.judge.relative import Refer
from trueward.scorers.scorer import Scale, Scorer, fit_scale, is_deterministic, scores
from trueward.scorers.simulated import sigmoid


def clipped(score: np.ndarray, bound: float) -> np.ndarray:
    """Scores limited to ±bound, [n] -> [n]."""
    return np.asarray(np.clip(score, -bound, bound))


def against(score: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The mean probability of being preferred to a reference answer, σ(score − reference): [n], [n, m] -> [n]."""
    return np.asarray(sigmoid(score[:, None] - reference).mean(axis=1))


def price_of_length(tokens: np.ndarray, usual: float, penalty: float) -> np.ndarray:
    """The length penalty of each answer: penalty·max(0, tokens − usual), [n] -> [n].

    usual: mean tokens of the reference policy's answers. A shorter answer gets neither penalty nor bonus.
    """
    return np.asarray(penalty * np.maximum(0.0, tokens - usual))


def references(sample: Sample, network: Network, count: int, seed: int) -> Refer:
    """A function that samples `count` answers of the reference policy to each prompt, the answers to one prompt in a row.

    They are drawn afresh with every call, by a generator seeded by the prompts, so that the shaped reward of a step is a
    function of the step alone, and a resumed run needs no state.
    """

    def refer(prompts: Sequence[Prompt]) -> Sequence[Completion]:
        draws = Draws.purpose(seed, "reference answers", *(p.id for p in prompts))
        return sample(network, [p for p in prompts for _ in range(count)], draws).completions

    return refer


class Shaped:
    """The proxy's score, shaped as the section `reward` of the recipe sets; the part `unshaped` is the proxy's own."""

    def __init__(
        self, config: RewardConfig, proxy: Scorer, answers: Sequence[Completion], network: Network, refer: Refer
    ) -> None:
        """answers: the reference policy's own, two to each prompt in a row. network: its tokenizer counts the tokens."""
        self.config, self.proxy, self.network, self.refer = config, proxy, network, refer
        self.usual = float(self.tokens(answers).mean())
        self.scale = Scale(0.0, 1.0)
        if config.shaping == "sigmoid":
            shaped_scores = self._bounded(scores(proxy, answers), answers)
            self.scale = fit_scale(shaped_scores.reshape(-1, 2), "reward.shaping")

    @property
    def deterministic(self) -> bool:
        """As the proxy, but that answers of the reference policy are drawn for all prompts of a call together."""
        return self.config.shaping == "none" and is_deterministic(self.proxy)

    def tokens(self, completions: Sequence[Completion]) -> np.ndarray:
        """Length of each answer in tokens, end-of-sequence included, [n]."""
        reader = Collator(self.network.tokenizer, self.network.context)
        lengths: np.ndarray = reader.tokens(completions).response_lengths.double().numpy()
        return lengths

    def _bounded(self, score: np.ndarray, completions: Sequence[Completion]) -> np.ndarray:
        """Clipped, and compared with reference answers, where the recipe sets that; [n]."""
        bound = np.inf if self.config.clip is None else self.config.clip
        score = clipped(score, bound)
        if self.config.shaping == "none":
            return score
        prompts = list(dict.fromkeys(c.prompt for c in completions))
        place = {prompt: i for i, prompt in enumerate(prompts)}
        theirs = clipped(scores(self.proxy, self.refer(prompts)), bound).reshape(len(prompts), -1)
        return against(score, theirs[[place[c.prompt] for c in completions]])

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """The shaped score of each completion, with the proxy's parts."""
        scored = self.proxy(completions)
        own = np.array([v.score for v in scored], dtype=np.float64)
        rewards = self.scale.apply(self._bounded(own, completions))
        rewards = rewards - price_of_length(self.tokens(completions), self.usual, self.config.length_penalty)
        return [
            Score(score=float(p), parts={**v.parts, "unshaped": v.score}) for p, v in zip(rewards, scored, strict=True)
        ]


def shaped(
    config: RewardConfig, proxy: Scorer, answers: Sequence[Completion], network: Network, sample: Sample, seed: int
) -> Scorer:
    """The scorer that the policy is trained on: the proxy, shaped if the recipe says so. network: the reference policy."""
    if config.clip is None and config.shaping == "none" and not config.length_penalty:
        return proxy
    return Shaped(config, proxy, answers, network, references(sample, network, config.references, seed))


class SwappableScorer:
    """A scorer that can be replaced between two steps, while the training loop holds this one object."""

    def __init__(self, scorer: Scorer) -> None:
        """scorer: the one to begin with."""
        self.scorer = scorer

    @property
    def deterministic(self) -> bool:
        """As the present scorer."""
        return is_deterministic(self.scorer)

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """The scores of the present scorer."""
        return self.scorer(completions)
