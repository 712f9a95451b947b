"""A rollout engine of several processes: each samples its share of the prompts, and all of them get the whole rollout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from trueward.batches import Rollout, Tokens
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.parallel.fabric import Fabric
from trueward.records import Completion, Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.engine import Plan, RolloutEngine


class SharedEngine:
    """Wraps each process's own `engine`. Rollouts are those that one process alone would sample, whatever the shares are."""

    def __init__(self, fabric: Fabric, engine: RolloutEngine) -> None:
        self.fabric, self.engine = fabric, engine
        self.params, self.sync_every = engine.params, engine.sync_every
        self.pad = 0

    def hold(self, policy: Network) -> dict[str, nn.Module]:
        """As `RolloutEngine`."""
        self.pad = Collator(policy.tokenizer, policy.context).pad
        return self.engine.hold(policy)

    def plan(self, request: Plan, steps: int) -> None:
        """As `RolloutEngine`: each process's own engine is told of its share."""

        def share(step: int) -> tuple[Sequence[Prompt], Draws]:
            prompts, draws = request(step)
            mine = self.fabric.share(len(prompts))
            return [prompts[i] for i in mine.tolist()], draws.take(mine, len(prompts))

        self.engine.plan(request if self.fabric.is_alone else share, steps)

    def publish(self, policy: Network, version: int) -> None:
        """As `RolloutEngine`."""
        self.engine.publish(policy, version)

    def sync(self, policy: Network, step: int) -> None:
        """As `RolloutEngine`."""
        self.engine.sync(policy, step)

    @property
    def version(self) -> int:
        """As `RolloutEngine`."""
        return self.engine.version

    def sample(self, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        """As `RolloutEngine`: samples this process's share and gathers the others'."""
        if self.fabric.is_alone:
            return self.engine.sample(prompts, draws)
        return sample_shares(self.fabric, self.engine.sample, prompts, draws, self.pad)

    def close(self) -> None:
        """As `RolloutEngine`."""
        self.engine.close()


def sample_shares(
    fabric: Fabric,
    sample: Callable[[Sequence[Prompt], Draws], Rollout],
    prompts: Sequence[Prompt],
    draws: Draws,
    pad: int,
) -> Rollout:
    """The whole rollout on every process, each of which samples its share. All call it with the same prompts and draws.

    pad: the padding's token. `DivergedError` that names a rank whose prompts or draws are others.
    """
    mine = fabric.share(len(prompts))
    part = sample([prompts[i] for i in mine.tolist()], draws.take(mine, len(prompts)))
    whole = f"{draws.seed} {[prompt.as_json() for prompt in prompts]}"
    mine_packed = [packed(part, i) for i in range(len(part.completions))]
    rows = fabric.gather_rows(mine_packed, "the prompts or the seed of what is sampled", whole)
    return unpacked(rows, prompts, part.version, pad)


def packed(rollout: Rollout, row: int) -> dict[str, Any]:
    """One row of a rollout as JSON."""
    prompt, response = int(rollout.tokens.prompt_lengths[row]), int(rollout.tokens.response_lengths[row])
    ids = rollout.tokens.ids[row, : prompt + response].tolist()
    completion = rollout.completions[row]
    return {
        "prompt": ids[:prompt],
        "response": ids[prompt:],
        "logprobs": rollout.logprobs[row, prompt : prompt + response].tolist(),
        "text": completion.response,
        "finished": completion.finished,
    }


def unpacked(rows: Sequence[dict[str, Any]], prompts: Sequence[Prompt], version: int, pad: int) -> Rollout:
    """A rollout of such rows, to the bit. pad: the padding's token."""
    tokens = Tokens.collate([(row["prompt"], row["response"]) for row in rows], pad)
    logprobs = torch.zeros(tokens.ids.shape)
    logprobs[tokens.response_mask] = torch.tensor([x for row in rows for x in row["logprobs"]])
    completions = [
        Completion(prompt=prompt, response=row["text"], finished=row["finished"])
        for prompt, row in zip(prompts, rows, strict=True)
    ]
    return Rollout(tokens, logprobs, completions, version)
