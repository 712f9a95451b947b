"""A task small enough to enumerate: every answer to every prompt, with the optimum that each setting should reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward.algorithms import best_of_n, grpo, online_dpo, ppo, sft
from trueward.batches import Rollout, Step
from trueward.config import PolicyConfig, SftConfig
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.models.tabular import TabularPolicy, TabularScalar, tokenizer
from trueward.records import Completion, Prompt, Score
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.sampler import Sample, SamplingParams, sample
from trueward.scorers.scorer import Scale, Scorer
from trueward.training.critic import Critic
from trueward.training.setup import Algorithm, Online, Setup, Supervised

END, WORDS = 2, ["a", "b"]
State = tuple[int, ...]
Choice = Callable[[State], Tensor]  # a state's distribution over all tokens, float64

ONLINE: dict[str, Algorithm] = {"ppo": ppo, "grpo": grpo, "rloo": grpo, "online_dpo": online_dpo}


def run(algorithm: Algorithm, config: Any, setup: Setup) -> list[Step]:
    """All of a loop's steps."""
    steps = list(algorithm.train(config, setup, algorithm.start(config, setup)))
    assert len(steps) == algorithm.steps(config, setup)
    return steps


def online(
    *,
    policy: Network,
    reference: Network,
    critic: Network,
    params: SamplingParams,
    scorer: Scorer,
    prompts: Sequence[Prompt],
    seed: int,
) -> Online:
    """For any loop that samples; PPO alone reads the critic, in the scorer's own units."""
    return Online(
        seed=seed,
        micro_batch_tokens=10**6,
        policy=policy,
        reference=reference,
        sampler=LocalEngine(params),
        scorer=scorer,
        prompts=prompts,
        critic=Critic(critic, Scale(0.0, 1.0)),
    )


def sampler(params: SamplingParams) -> Sample:
    def write(network: Network, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        return sample(network, prompts, params, draws)

    return write


class Task:
    """Answers of at most `longest` tokens out of two words and the end; a score for every text, a random reference."""

    def __init__(
        self, prompts: Sequence[str], longest: int, seed: int, reference: dict[int, float] | None = None
    ) -> None:
        self.longest, self.context = longest, 8
        self.tokenizer = tokenizer(WORDS, self.context)
        self.prompts = [Prompt(text=text) for text in prompts]
        self.starts = [tuple(self.tokenizer(text)["input_ids"]) for text in prompts]
        self.order = max(map(len, self.starts)) + longest - 1
        self.choices = [END, 3, 4] if reference is None else list(reference)
        draw = torch.Generator().manual_seed(seed)
        model = TabularPolicy(3 + len(WORDS), self.order, self.context)
        with torch.no_grad():
            model.table.fill_(-1e4)  # padding and the beginning are never chosen
            if reference is None:
                model.table[:, self.choices] = torch.randn(model.states, 3, generator=draw)
            else:
                model.table[:, self.choices] = torch.tensor([reference[t] for t in self.choices]).log()
        self.reference = Network(model, self.tokenizer)
        answers = sorted({self.text(answer) for answer in self.answers(self.starts[0])})
        self.scores = dict(
            zip(answers, torch.randn(len(answers), generator=draw, dtype=torch.float64).tolist(), strict=True)
        )

    def text(self, answer: State) -> str:
        return " ".join(WORDS[token - 3] for token in answer if token != END)

    def ended(self, answer: State) -> bool:
        return len(answer) == self.longest or answer[-1:] == (END,)

    def answers(self, start: State, answer: State = ()) -> Iterator[State]:
        if self.ended(answer):
            yield answer
        else:
            for token in self.choices:
                yield from self.answers(start, (*answer, token))

    def of(self, network: Network) -> Choice:
        """A network's distributions."""

        def choice(state: State) -> Tensor:
            ids = torch.tensor([state])
            return network.model(input_ids=ids).logits[0, -1].detach().double().softmax(-1)

        return lru_cache(None)(choice)

    def probabilities(self, choice: Choice) -> Tensor:
        """Of every answer to every prompt: [prompts, answers], from products over tokens."""
        rows = []
        for start in self.starts:
            row = []
            for answer in self.answers(start):
                chances = [choice((*start, *answer[:t]))[token] for t, token in enumerate(answer)]
                row.append(torch.stack(chances).prod())
            rows.append(torch.stack(row))
        return torch.stack(rows)

    def rewards(self) -> Tensor:
        """[answers]"""
        return torch.tensor([self.scores[self.text(a)] for a in self.answers(self.starts[0])], dtype=torch.float64)

    def kl(self, one: Choice, other: Choice) -> float:
        """Mean over the prompts, in nats."""
        p, q = self.probabilities(one), self.probabilities(other)
        return float((p * (p.log() - q.log())).sum(1).mean())

    def backward(self, rule: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Choice:
        """Backward induction: `rule(p, q)` gives a state's distribution and value from its reference and its q."""
        reference, found = self.of(self.reference), {}

        def value(start: State, answer: State) -> Tensor:
            if self.ended(answer):
                return torch.tensor(self.scores[self.text(answer)], dtype=torch.float64)
            q = torch.stack([value(start, (*answer, token)) for token in self.choices])
            state = (*start, *answer)
            chosen, worth = rule(reference(state)[self.choices], q)
            found[state] = torch.zeros(3 + len(WORDS), dtype=torch.float64)
            found[state][self.choices] = chosen
            return worth

        for start in self.starts:
            value(start, ())
        return found.__getitem__

    def tilt(self, beta: float) -> Choice:
        """The optimum of E[score] − β·KL: soft Bellman."""

        def rule(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
            value = beta * (p.log() + q / beta).logsumexp(0)
            return p * ((q - value) / beta).exp(), value

        return self.backward(rule)

    def short_sighted(self, beta: float) -> Choice:
        """Each token tilted by a q that leaves out the KL still to come: the KL differentiated token by token."""

        def rule(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
            chosen = (p.log() + q / beta).softmax(0)
            return chosen, (chosen * q).sum()

        return self.backward(rule)

    def rational(self, beta: float) -> Choice:
        """π = β·p / (β + V − q), V such that it sums to 1: k3 differentiated in the loss."""

        def rule(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
            low, high = (
                q.max() - beta,
                q.max(),
            )  # π sums to more than 1 at the one, less at the other
            for _ in range(200):
                value = (low + high) / 2
                if (beta * p / (beta + value - q)).sum() > 1:
                    low = value
                else:
                    high = value
            return beta * p / (beta + value - q), value

        return self.backward(rule)

    def judge(self, completions: Sequence[Completion]) -> list[Score]:
        return [Score(score=self.scores[c.response]) for c in completions]

    def policy(self) -> Network:
        """Starts at the reference."""
        model = TabularPolicy(3 + len(WORDS), self.order, self.context)
        model.load_state_dict(self.reference.model.state_dict())
        return Network(model, self.tokenizer)

    def critic(self) -> Network:
        return Network(TabularScalar(3 + len(WORDS), self.order, self.context), self.tokenizer)

    @property
    def params(self) -> SamplingParams:
        return SamplingParams(max_new_tokens=self.longest, max_num_seqs=10_000)

    def learned(self, kind: str, config: PolicyConfig, seed: int = 0) -> Network:
        """What a loop that samples makes of the reference. It asks all prompts equally often."""
        policy = self.policy()
        setup = online(
            policy=policy,
            reference=self.reference,
            critic=self.critic(),
            params=self.params,
            scorer=self.judge,
            prompts=self.prompts * (config.batch_size // len(self.prompts)),
            seed=seed,
        )
        run(ONLINE[kind], config, setup)
        return policy


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tokenizer says is remembered: it's the same few texts over and over."""
    read, write = Collator.prompt_ids, Collator.completion
    prompts: dict[str, list[int]] = {}
    completions: dict[tuple[str, State], Any] = {}

    def prompt_ids(self: Collator, prompt: Prompt) -> list[int]:
        if prompt.text not in prompts:
            prompts[prompt.text] = read(self, prompt)
        return prompts[prompt.text]

    def completion(self: Collator, prompt: Prompt, ids: Sequence[int]) -> Completion:
        key = (prompt.text, tuple(ids))
        if key not in completions:
            completions[key] = write(self, prompt, ids)
        return completions[key]

    monkeypatch.setattr(Collator, "prompt_ids", prompt_ids)
    monkeypatch.setattr(Collator, "completion", completion)


@pytest.fixture
def make_task(remembered: None) -> type[Task]:
    return Task


@dataclass(frozen=True)
class Optimised:
    """What an algorithm leaves: a network, and how it answers (best_of_n's is chosen from many)."""

    policy: Network
    write: Sample


def optimise(
    kind: str,
    *,
    policy: Network,
    reference: Network,
    critic: Network,
    params: SamplingParams,
    score: Callable[[Completion], float],
    prompts: Sequence[Prompt],
    seed: int,
    imitation: dict[str, Any] | None = None,
    **changes: Any,
) -> Optimised:
    """Any algorithm that learns from a scorer, through its own loop: a kind of policy, or "online_dpo"."""
    name = "dpo" if kind == "online_dpo" else kind
    config = PolicyConfig(**{"kind": name, "warmup": 0, "missing_eos_penalty": 0, **changes})

    def judge(completions: Sequence[Completion]) -> list[Score]:
        return [Score(score=score(c)) for c in completions]

    if kind in ONLINE:
        setup = online(
            policy=policy,
            reference=reference,
            critic=critic,
            params=params,
            scorer=judge,
            prompts=prompts,
            seed=seed,
        )
        run(ONLINE[kind], config, setup)
        return Optimised(policy, sampler(params))
    best = best_of_n.sampler(config.best_of_n.n, judge, sampler(params), 0.0)
    if kind == "best_of_n":
        return Optimised(policy, best)
    chosen = best(reference, prompts, Draws.purpose(seed, "best of n")).completions
    supervised = SftConfig(**{"warmup": 0, **(imitation or {})})
    run(sft, supervised, Supervised(seed=seed, micro_batch_tokens=10**6, policy=policy, demonstrations=chosen))
    return Optimised(policy, sampler(params))


@pytest.fixture
def optimise_by(remembered: None) -> Callable[..., Optimised]:
    return optimise
