"""What a policy is paid for a score: clipped, set against reference answers, less a price of length. Off by default.

They answer to reward hacking at another place than the anchor: the reward model is not asked to be right about scores it
hardly ever gave. In this order:

    clip      s ← min(max(s, −c), c), in SDs under the reference policy
    sigmoid   s ← the mean of σ(s − s_ref) over m reference answers to the same prompt (PAR, Fu et al. 2025, arXiv
              2502.18770), put on the scale again (mean 0, SD 1 within a prompt under the reference policy), so that β
              means what it means without
    length    s ← s − p·max(0, tokens − mean tokens of the reference policy's answers); Singhal et al. 2023 (arXiv
              2310.03716) took a price of length too, but one that also pays for being short
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trueward.config import RewardConfig
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.records import Completion, Prompt, Score
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import Sample
from trueward.scorers.scorer import Scale, Scorer, fit_scale, scores
from trueward.scorers.simulated import sigmoid

Refer = Callable[[Sequence[Prompt]], Sequence[Completion]]


def clipped(score: np.ndarray, bound: float) -> np.ndarray:
    """Held to ±bound. [n] -> [n]."""
    return np.asarray(np.clip(score, -bound, bound))


def against(score: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """How likely an answer is to be preferred to a reference answer: the mean of σ(score − reference). [n], [n, m] -> [n]."""
    return np.asarray(sigmoid(score[:, None] - reference).mean(axis=1))


def price_of_length(tokens: np.ndarray, usual: float, penalty: float) -> np.ndarray:
    """What an answer pays for being longer than usual; a shorter one pays and gets nothing. [n] -> [n]."""
    return np.asarray(penalty * np.maximum(0.0, tokens - usual))


def references(sample: Sample, network: Network, count: int, seed: int) -> Refer:
    """`count` answers of the reference policy to each prompt, next to each other.

    They are drawn afresh with every call, by a generator of the prompts' own: what a step is paid is a function of the
    step, and nothing is remembered that a resumed run would not know.
    """

    def refer(prompts: Sequence[Prompt]) -> Sequence[Completion]:
        draws = Draws.purpose(seed, "reference answers", *(p.id for p in prompts))
        return sample(network, [p for p in prompts for _ in range(count)], draws).completions

    return refer


class Shaped:
    """The proxy's score, shaped as [reward] says; `unshaped` among the parts is the proxy's own."""

    def __init__(
        self, config: RewardConfig, proxy: Scorer, answers: Sequence[Completion], network: Network, refer: Refer
    ) -> None:
        """answers: the reference policy's own, two to each prompt in turn. network: for its tokens."""
        self.config, self.proxy, self.network, self.refer = config, proxy, network, refer
        self.usual = float(self.tokens(answers).mean())
        self.scale = Scale(0.0, 1.0)
        if config.shaping == "sigmoid":
            found = self._bounded(scores(proxy, answers), answers)
            self.scale = fit_scale(found.reshape(-1, 2), "reward.shaping")

    def tokens(self, completions: Sequence[Completion]) -> np.ndarray:
        """Length of each answer, end-of-sequence included."""
        reader = Collator(self.network.tokenizer, self.network.context)
        found: np.ndarray = reader.tokens(completions).response_lengths.double().numpy()
        return found

    def _bounded(self, score: np.ndarray, completions: Sequence[Completion]) -> np.ndarray:
        """Clipped, and set against reference answers."""
        bound = np.inf if self.config.clip is None else self.config.clip
        score = clipped(score, bound)
        if self.config.shaping == "none":
            return score
        prompts = list(dict.fromkeys(c.prompt for c in completions))
        place = {prompt: i for i, prompt in enumerate(prompts)}
        theirs = clipped(scores(self.proxy, self.refer(prompts)), bound).reshape(len(prompts), -1)
        return against(score, theirs[[place[c.prompt] for c in completions]])

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        said = self.proxy(completions)
        own = np.array([v.score for v in said], dtype=np.float64)
        paid = self.scale.apply(self._bounded(own, completions))
        paid = paid - price_of_length(self.tokens(completions), self.usual, self.config.length_penalty)
        return [Score(score=float(p), parts={**v.parts, "unshaped": v.score}) for p, v in zip(paid, said, strict=True)]


def shaped(
    config: RewardConfig, proxy: Scorer, answers: Sequence[Completion], network: Network, sample: Sample, seed: int
) -> Scorer:
    """What the policy is paid; the proxy itself if nothing is to be shaped. network: the reference policy."""
    if config.clip is None and config.shaping == "none" and not config.length_penalty:
        return proxy
    return Shaped(config, proxy, answers, network, references(sample, network, config.references, seed))


class SwappableScorer:
    """The scorer of the moment: a loop holds this one while another takes its place behind it, between two steps."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        return self.scorer(completions)
