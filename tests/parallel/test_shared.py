"""Rollouts and scores of several processes: each does its share, and all get those of one process, to the bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from trueward.models.network import Network
from trueward.parallel.fabric import ALONE, Fabric
from trueward.records import Completion, Prompt, Score
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.sampler import SamplingParams
from trueward.sampling.shared import SharedEngine
from trueward.scorers.custom import FunctionScorer
from trueward.scorers.ensemble import Ensemble
from trueward.scorers.judge.rating import JudgeScorer
from trueward.scorers.mix import Ingredient, Mix, length
from trueward.scorers.normalized import Normalized
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale, is_deterministic
from trueward.scorers.shaping import SwappableScorer
from trueward.scorers.shared import SharedScorer
from trueward.scorers.verifiers import catalogue
from trueward.scorers.verifiers.code import Code
from trueward.scorers.verifiers.gym import Gym

Processes = Callable[..., Path]
Found = list[dict[str, Any]]  # by rank
COUNTS = (0, 1, 2, 5, 8)
EXACT = ("llama", "llama, another padding", "tabular")


@pytest.fixture(scope="module")
def found(start_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Found]:
    """What so many processes were given."""
    folder = start_processes("shared_rollouts.py", tmp_path_factory.mktemp("shared"), 1, 2, 3)

    def of(world: int) -> Found:
        return [json.loads((folder / str(world) / f"found-{rank}.json").read_text()) for rank in range(world)]

    return of


worlds = pytest.mark.parametrize("world", [2, 3])


@worlds
@pytest.mark.parametrize("network", EXACT)
def test_every_process_gets_the_rollout_of_one(found: Callable[[int], Found], network: str, world: int) -> None:
    """Tokens, padding, log-probs, texts, versions; also with nothing to sample and with fewer prompts than processes."""
    (alone,) = found(1)
    assert set(alone[network]["rollouts"]) == {str(n) for n in COUNTS}
    lengths = alone[network]["rollouts"]["8"]["response_lengths"]
    assert len(set(lengths)) > 1
    for rank in range(world):
        for count, expected in alone[network]["rollouts"].items():
            assert found(world)[rank][network]["rollouts"][count] == expected, (rank, count)
            assert expected["version"] == 3


@worlds
def test_rows_that_are_read_together_differ_in_their_last_bits_alone(found: Callable[[int], Found], world: int) -> None:
    """A matrix product of fewer rows is rounded otherwise: the same tokens, and every process has the same numbers."""
    name = "llama, rows together"
    (alone,), first = found(1), found(world)[0]
    for count, expected in alone[name]["rollouts"].items():
        mine = first[name]["rollouts"][count]
        assert {k: v for k, v in mine.items() if k != "logprobs"} == {
            k: v for k, v in expected.items() if k != "logprobs"
        }
        torch.testing.assert_close(
            torch.tensor(mine["logprobs"]), torch.tensor(expected["logprobs"]), rtol=0, atol=1e-5
        )
    for other in found(world)[1:]:
        assert other[name]["rollouts"] == first[name]["rollouts"]


@worlds
@pytest.mark.parametrize("network", EXACT)
def test_each_samples_its_share_alone(found: Callable[[int], Found], network: str, world: int) -> None:
    (alone,) = found(1)
    for rank, mine in enumerate(found(world)):
        assert mine[network]["calls"] == [prompts[rank::world] for prompts in alone[network]["calls"]]
    assert [len(prompts) for prompts in alone[network]["calls"]] == list(COUNTS)


@worlds
def test_every_process_gets_the_scores_of_one_and_pays_for_its_share(found: Callable[[int], Found], world: int) -> None:
    """Parts, costs and notes too; what is no number stays none."""
    (alone,) = found(1)
    assert "nan" in alone["scores"]["scores"]["5"][2]
    assert "inf" in alone["scores"]["scores"]["5"][0]
    for rank, mine in enumerate(found(world)):
        assert mine["scores"]["scores"] == alone["scores"]["scores"]
        shares = [len(range(rank, n, world)) for n in COUNTS]
        assert mine["scores"]["calls"] == [n for n in shares if n], "with nothing to score nobody is asked"


@worlds
def test_a_scorer_that_varies_gives_all_processes_the_same(found: Callable[[int], Found], world: int) -> None:
    name = "scores of a scorer that varies"
    first = found(world)[0][name]["scores"]
    assert first != found(1)[0][name]["scores"]
    assert all(mine[name]["scores"] == first for mine in found(world))


@worlds
def test_deterministic_scorers_that_differ_end_the_run_and_the_rank_is_named(
    found: Callable[[int], Found], world: int
) -> None:
    """Every other process is asked one of rank 0's answers, at the first call and at the 51st."""
    for rank, mine in enumerate(found(world)):
        line = mine["compared"]["0.7"]["line"]
        assert line.startswith("the scorer: rank 1 gives 1.843 to an answer that rank 0 gives 1.143 ('answer 0')")
        for same in ("0.0", "0.001"):
            assert mine["compared"][same]["line"] == ""
            share = len(range(rank, 3, world))
            again = [share, 1] if rank else [share]
            assert mine["compared"][same]["calls"] == [*again, *[share] * 49, *again, share]


def test_who_says_of_itself_that_it_is_deterministic() -> None:
    """Reward models and verifiers that run no code; functions that say so; wrappers as what they wrap."""

    def own(completions: Sequence[Completion]) -> list[float]:
        return [1.0 for _ in completions]

    silent, verifier = FunctionScorer("m:own", own), catalogue.make("numeric", {}, "here")
    own.deterministic = True  # type: ignore[attr-defined]
    told = FunctionScorer("m:own", own)
    assert [is_deterministic(s) for s in (RewardModel, Ensemble, verifier, told)] == [True] * 4
    assert [is_deterministic(s) for s in (silent, Code, Gym, JudgeScorer, length)] == [False] * 5
    scale = Scale(0.0, 1.0)
    for inner, expected in ((told, True), (silent, False)):
        parts = [Ingredient("own", inner, 1.0, False), Ingredient("length", length, -0.1, False)]
        for scorer in (Mix(parts, 0.0), Normalized(inner, scale), SwappableScorer(Normalized(inner, scale))):
            assert is_deterministic(scorer) is expected


@worlds
def test_rows_are_put_back_in_order(found: Callable[[int], Found], world: int) -> None:
    for mine in found(world):
        assert mine["gathered"] == [[{"row": i} for i in range(n)] for n in range(2 * world + 1)]


@worlds
def test_rows_that_are_no_shares_are_refused_everywhere(found: Callable[[int], Found], world: int) -> None:
    ones = [1] * (world - 1)
    held = {
        "one too many at the end": [*ones, 2],
        "none at the beginning": [0, *ones],
        "two too many": [3, *ones],
    }
    for mine in found(world):
        for case, counts in held.items():
            assert mine["no shares"][case] == f"the processes hold {counts} rows, which are no shares of one list"


@worlds
def test_the_process_that_differs_is_named(found: Callable[[int], Found], world: int) -> None:
    for mine in found(world):
        assert mine["agree"] == {
            "all": "",
            "not the last": f"the recipe: rank {world - 1} holds another one than rank 0",
            "not the first": "the prompts: rank 1 holds another one than rank 0",
        }


def test_shares_are_disjoint_and_whole() -> None:
    for count in (0, 1, 2, 7):
        shares = [Fabric(rank, 3).share(count).tolist() for rank in range(3)]
        assert sorted(i for share in shares for i in share) == list(range(count))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_the_wrappers_do_nothing(make_policy: Callable[..., Network], toy_prompts: list[Prompt]) -> None:
    """The very rollout and the very scores; nothing to be sent is made."""
    policy, own = make_policy(), LocalEngine(SamplingParams(max_new_tokens=4))
    engine = SharedEngine(ALONE, own)
    assert engine.hold(policy) == {}
    engine.publish(policy, 7)
    rollout, expected = engine.sample(toy_prompts, Draws(1)), own.sample(toy_prompts, Draws(1))
    assert torch.equal(rollout.logprobs, expected.logprobs)
    assert rollout.completions == expected.completions
    assert rollout.version == 7
    given: list[Score] = [Score(score=1.0)]
    assert SharedScorer(ALONE, lambda completions: given)([Completion(prompt=toy_prompts[0], response="a")]) is given
    assert ALONE.gather_rows(["a", "b"]) == ["a", "b"]
    ALONE.agree("anything", "at all")
