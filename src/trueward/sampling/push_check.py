"""Whether an engine holds the weights that it was given: its log-probs of a few tokens against the learner's own.

Engines have been seen to take new weights, say so, and go on with a part of the old ones: a head that is tied to the embedding,
.25 nats a token off. So after every push some fixed texts are read by both, and a few tokens sampled, and a difference beyond
what rounding makes stops the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trueward.models import precision, vocabulary
from trueward.models.network import Network
from trueward.sampling.vllm_calls import TokenAnswer, TokenRequest
from trueward.seeds import generator

ROWS, TOKENS, SAMPLED = 4, 16, 4
SAMPLED_ALONE = 12
"""Tokens that are sampled where fixed ones aren't read: vLLM 0.32 fails when it reads a prompt's log-probs with adapters."""


@dataclass(frozen=True)
class Tolerance:
    """How far two ways to compute a log-prob may lie apart, in nats: on average, and at most."""

    mean: float
    largest: float


TOLERANCES: Mapping[torch.dtype, Tolerance] = {
    torch.float32: Tolerance(1e-4, 1e-3),
    torch.bfloat16: Tolerance(0.05, 0.5),
}


class PushCheck:
    """Fixed texts of a policy's own tokens.

    temperature: that of the rollouts. dtype: of the engine's products. bias: on the logits of what is sampled. reads: whether
    the texts' own tokens are compared, or only what is sampled after them. name: the engine's, in errors.
    """

    def __init__(
        self,
        network: Network,
        temperature: float,
        dtype: torch.dtype,
        bias: Mapping[int, float],
        reads: bool = True,
        name: str = "vLLM",
    ) -> None:
        self.name = name
        known = torch.tensor(vocabulary.known_ids(network.tokenizer))
        known = known[known < (vocabulary.embeddings(network.model) or len(known))]
        self.reads, self.sampled = reads, SAMPLED if reads else SAMPLED_ALONE
        width = max(2, min(TOKENS + SAMPLED, network.context) - self.sampled)
        draw = generator(0, "fixed tokens")
        self.ids = known[torch.randint(len(known), (ROWS, width), generator=draw)]
        self.temperature, self.tolerance, self.bias = temperature, TOLERANCES[dtype], bias
        self.before: tuple[Tensor, Tensor] | None = None  # the engine's and the learner's log-probs at the last push

    @property
    def fixed(self) -> int:
        """The fixed tokens of a row whose log-probs are compared."""
        return self.ids.shape[1] - 1 if self.reads else 0

    def requests(self) -> list[TokenRequest]:
        """What the engine is asked: to read the texts, and to go on from them."""
        return [
            TokenRequest(row, self.sampled, self.temperature, seed, (), self.bias, reads_prompt=self.reads)
            for seed, row in enumerate(self.ids.tolist())
        ]

    def compare(self, answers: Sequence[TokenAnswer], network: Network, version: int) -> float:
        """The largest difference, in nats. `ValueError` that names it where it's more than rounding makes.

        network: with the weights that were pushed. version: theirs, for the error.
        """
        theirs = torch.tensor([[*a.prompt_logprobs, *a.logprobs] for a in answers])
        ours = self._own(answers, network)
        apart = (theirs - ours).abs().nan_to_num(torch.inf)
        largest, mean = float(apart.max()), float(apart.mean())
        allowed = self.tolerance
        if largest > allowed.largest or mean > allowed.mean:
            where = int(apart.argmax()) % apart.shape[1]
            what = "a fixed token" if where < self.fixed else "a sampled token"
            raise ValueError(
                f"sampler.engine: {self.name} does not hold the weights that it was given (those after step {version}): the "
                f"log-prob of {what} differs from the policy's own by {largest:.3g} nats, on average by {mean:.3g}, where "
                f"rounding makes at most {allowed.largest:g} and {allowed.mean:g}"
            )
        self._refuse_unmoved(theirs, ours, version)
        self.before = theirs, ours
        return largest

    def _refuse_unmoved(self, theirs: Tensor, ours: Tensor, version: int) -> None:
        """A small step hides within the tolerance; but an engine that took it doesn't give the same bits as before."""
        if self.before is None or not self.reads:  # sampled tokens may be others
            return
        read = self.fixed
        moved = float((ours - self.before[1])[:, :read].abs().max())
        if moved > self.tolerance.largest / 10 and torch.equal(theirs[:, :read], self.before[0][:, :read]):
            raise ValueError(
                f"sampler.engine: {self.name} has not taken the weights after step {version}: its log-probs are those of the "
                f"last push to the bit, and the policy's have moved by {moved:.3g} nats"
            )

    @torch.no_grad()
    def _own(self, answers: Sequence[TokenAnswer], network: Network) -> Tensor:
        """[ROWS, fixed + sampled]: the fixed tokens at temperature 1 over all logits, as engines read a prompt; then the
        sampled ones at that of the rollouts, over the tokens that the tokenizer knows."""
        model, width = network.model, self.ids.shape[1]
        whole = torch.cat([self.ids, torch.tensor([list(a.ids) for a in answers], dtype=torch.long)], 1)
        with precision.products(model):
            logits = model(input_ids=whole.to(network.device), use_cache=False).logits.float()
        read = logits[:, : width - 1].log_softmax(-1)
        drawn = (vocabulary.narrow(model, logits[:, width - 1 : -1]) / self.temperature).log_softmax(-1)
        chosen = [
            part.gather(-1, ids.to(network.device)[..., None]).squeeze(-1)
            for part, ids in ((read, whole[:, 1:width]), (drawn, whole[:, width:]))
        ]
        return torch.cat(chosen if self.reads else chosen[1:], 1).cpu()


@torch.no_grad()
def read_fixed(network: Network, ids: Sequence[Sequence[int]]) -> list[list[float]]:
    """The log-probs of a check's fixed tokens from the second on, read by this network itself."""
    whole = torch.tensor(ids, device=network.device)
    with precision.products(network.model):
        logits = network.model(input_ids=whole, use_cache=False).logits.float()
    read: list[list[float]] = logits[:, :-1].log_softmax(-1).gather(-1, whole[:, 1:, None]).squeeze(-1).tolist()
    return read
