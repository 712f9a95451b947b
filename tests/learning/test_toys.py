"""Every algorithm that samples solves what a program can verify, in seconds, from a policy that knows nothing.

A table-lookup policy, 1 for a right answer and 0 for a wrong one. Solved: at most .2 before, at least .9 after, on each
of five seeds. One seed, twice, gives the same weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward.batches import Rollout
from trueward.models.network import Network
from trueward.models.tabular import TabularPolicy, TabularScalar, tokenizer
from trueward.records import Completion, Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import Sample, SamplingParams, sample

pytestmark = pytest.mark.learned
END = 2
BEFORE, AFTER = 0.2, 0.9
ANSWERS = 480


@dataclass(frozen=True)
class Toy:
    """Prompts, the words that an answer may hold, and the one right answer to each prompt."""

    prompts: tuple[str, ...]
    words: tuple[str, ...]
    longest: int  # tokens of an answer, the end included
    key: Callable[[str], str]

    @property
    def vocabulary(self) -> list[str]:
        return list(dict.fromkeys(word for text in (*self.prompts, *self.words) for word in text.split()))

    @property
    def order(self) -> int:
        """So many tokens say what the prompt was and what has been answered so far."""
        return max(len(p.split()) for p in self.prompts) + self.longest - 1

    def verify(self, completion: Completion) -> float:
        return float(completion.finished and completion.response == self.key(completion.prompt.text))

    def policy(self) -> Network:
        """Any word, or the end, with the same probability."""
        pieces = self.vocabulary
        model = TabularPolicy(3 + len(pieces), self.order, 8)
        with torch.no_grad():
            model.table.fill_(-1e4)
            model.table[:, [END, *(3 + pieces.index(word) for word in self.words)]] = 0
        return Network(model, tokenizer(pieces, 8))

    def critic(self) -> Network:
        return Network(TabularScalar(3 + len(self.vocabulary), self.order, 8), tokenizer(self.vocabulary, 8))

    @property
    def params(self) -> SamplingParams:
        return SamplingParams(max_new_tokens=self.longest, max_num_seqs=10_000)

    def sample(self, network: Network, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        return sample(network, prompts, self.params, draws)

    def as_json(self, count: int) -> list[Prompt]:
        return [Prompt(text=text) for text in itertools.islice(itertools.cycle(self.prompts), count)]


COUNTS = ("none", "one", "two", "three")
TOYS = {
    "copy": Toy(("a", "b", "c", "d"), ("a", "b", "c", "d"), 2, lambda prompt: prompt),
    "length": Toy(COUNTS[1:], ("x",), 4, lambda prompt: " ".join("x" * COUNTS.index(prompt))),
    "parity": Toy(
        tuple(" ".join(bits) for bits in itertools.product("01", repeat=3)),
        ("0", "1"),
        2,
        lambda prompt: str(prompt.count("1") % 2),
    ),
}
ON_POLICY = {
    "steps": 25,
    "batch_size": 96,
    "minibatches": 1,
    "learning_rate": 0.3,
    "value_learning_rate": 0.3,
    "kl_coef": 0.05,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": ON_POLICY,
    "grpo": ON_POLICY,
    "rloo": ON_POLICY,
    "online_dpo": {**ON_POLICY, "batch_size": 48, "dpo": {"online": True, "learning_rate": 0.3}},
    "best_of_n": {"best_of_n": {"n": 96}},
    "sft_on_best": {"best_of_n": {"n": 96}, "imitation": {"learning_rate": 0.5, "epochs": 20, "batch_size": 96}},
}


@pytest.fixture
def learn(optimise_by: Callable[..., Any]) -> Callable[..., Any]:
    def run(kind: str, toy: Toy, seed: int, **changes: Any) -> Any:
        return optimise_by(
            kind,
            policy=toy.policy(),
            reference=toy.policy(),
            critic=toy.critic(),
            params=toy.params,
            score=toy.verify,
            prompts=toy.as_json(96),
            seed=seed,
            **{**SETTINGS[kind], **changes},
        )

    return run


def success(toy: Toy, write: Sample, policy: Network, count: int = ANSWERS, seed: int = 77) -> float:
    """Share of right answers among fresh ones."""
    rollout = write(policy, toy.as_json(count), Draws(seed))
    return sum(toy.verify(c) for c in rollout.completions) / count


@pytest.mark.parametrize("name", TOYS)
def test_a_verifier_knows_its_answer_key_and_nothing_else(name: str) -> None:
    toy = TOYS[name]
    for prompt in toy.as_json(len(toy.prompts)):
        right = toy.key(prompt.text)
        assert toy.verify(Completion(prompt=prompt, response=right)) == 1
        wrong = {"", f"{prompt.text} {right}", " ".join(toy.words), " ".join(toy.vocabulary)} - {right}
        wrong |= {toy.key(other) for other in toy.prompts} - {right}
        assert all(toy.verify(Completion(prompt=prompt, response=text)) == 0 for text in wrong)
        assert toy.verify(Completion(prompt=prompt, response=right, finished=False)) == 0


@pytest.mark.parametrize("name", TOYS)
def test_at_the_start_few_answers_are_right(name: str, remembered: None) -> None:
    assert 0 < success(TOYS[name], TOYS[name].sample, TOYS[name].policy()) <= BEFORE


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("kind", SETTINGS)
def test_it_is_solved_on_five_seeds(learn: Any, kind: str, name: str) -> None:
    toy, found = TOYS[name], []
    for seed in range(5):
        made = learn(kind, toy, seed)
        # best_of_n has no seed but that of its answers, and each takes n of them
        found.append(success(toy, made.write, made.policy, 48 if kind == "best_of_n" else ANSWERS, 77 + seed))
    assert min(found) >= AFTER


def weights(policy: Network) -> Tensor:
    return torch.cat([p.detach().flatten() for p in policy.model.parameters()])


@pytest.mark.parametrize("kind", SETTINGS)
def test_one_seed_is_one_result_and_two_seeds_are_two(learn: Any, kind: str) -> None:
    """Weights to the bit; of best_of_n, which trains nothing, answers."""
    toy, made = TOYS["parity"], []
    for seed in (0, 0, 1):
        found = learn(kind, toy, seed, steps=8, best_of_n={"n": 2})
        answers = found.write(found.policy, toy.as_json(24), Draws(seed)).tokens.ids
        made.append(answers.flatten() if kind == "best_of_n" else weights(found.policy))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("kind", ["ppo", "grpo", "rloo", "online_dpo"])
def test_held_by_a_strong_anchor_it_stays(learn: Any, kind: str) -> None:
    """At β = 5 the tilt by 0 or 1 hardly differs from the start."""
    toy, reference = TOYS["parity"], TOYS["parity"].policy()
    rates = [success(toy, toy.sample, learn(kind, toy, 0, kl_coef=beta).policy) for beta in (0.05, 5.0)]
    start = success(toy, toy.sample, reference)
    assert rates[0] > AFTER
    assert rates[1] < start + 0.1


@pytest.mark.parametrize("kind", ["ppo", "rloo", "online_dpo"])
def test_a_network_learns_too(
    make_policy: Callable[..., Network], make_reward: Callable[..., Network], optimise_by: Any, kind: str
) -> None:
    """A Llama with random weights learns to end at once."""
    words = ["red", "blue", "green", "dog", "cat", "bird"]
    shape = {"words": words, "hidden_size": 32, "intermediate_size": 48, "initializer_range": 0.1}
    prompts = [Prompt(text=word) for word in words] * 8
    critic = make_reward(seed=0, **shape)
    torch.nn.init.zeros_(critic.model.score.weight)

    params = SamplingParams(max_new_tokens=4, max_num_seqs=96)

    def ended(completion: Completion) -> float:
        return float(completion.finished and not completion.response)

    def rate(network: Network) -> float:
        rollout = sample(network, prompts * 4, params, Draws(77))
        return sum(ended(c) for c in rollout.completions) / len(rollout.completions)

    policy, reference = make_policy(seed=0, **shape), make_policy(seed=0, **shape)
    before = rate(policy)
    settings = {**SETTINGS[kind], "steps": 20, "batch_size": 24 if kind == "online_dpo" else 48, "learning_rate": 3e-3}
    settings["dpo"] = {"online": True, "learning_rate": 3e-3}
    optimise_by(
        kind,
        policy=policy,
        reference=reference,
        critic=critic,
        params=params,
        score=ended,
        prompts=prompts,
        seed=0,
        **settings,
    )
    assert before < 0.4
    assert rate(policy) > AFTER
