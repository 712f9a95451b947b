"""Several reward models as one: by hand, on the scale, and through the disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from trueward.artifacts import write_json
from trueward.config import RewardConfig
from trueward.models.network import Network
from trueward.records import Completion
from trueward.scorers import ensemble
from trueward.scorers.ensemble import Ensemble, averaged, build_proxy, combine
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import ScoredBatch, scores

MakeNetwork = Callable[..., Network]
CPU = torch.device("cpu")
TABLE = np.array([[1.0, 4.0, 0.0], [3.0, 0.0, 0.0]])  # two members, three answers


@pytest.mark.parametrize(
    ("how", "expected"),
    [("mean", [2.0, 2.0, 0.0]), ("worst", [1.0, 0.0, 0.0]), ("uncertainty", [1.5, 0.0, 0.0])],
)
def test_combined_by_hand(how: str, expected: list[float]) -> None:
    """The variances are 1, 4 and 0, and cost a half each."""
    assert combine(TABLE, how, 0.5).tolist() == expected


def test_no_uncertainty_is_the_mean() -> None:
    assert (combine(TABLE, "uncertainty", 0.0) == combine(TABLE, "mean", 7.0)).all()


@pytest.fixture
def networks(make_reward: MakeNetwork) -> list[Network]:
    got = [make_reward(seed) for seed in range(3)]
    with torch.no_grad():
        got[1].model.score.weight.mul_(50.0)  # another unit; it is not to count for more
    return got


@pytest.fixture
def answers(demonstrations: list[Completion]) -> list[Completion]:
    """Two answers to each of six prompts."""
    return [
        Completion(prompt=demonstrations[i // 2 * 2].prompt, response=c.response) for i, c in enumerate(demonstrations)
    ]


@pytest.mark.parametrize("how", ["mean", "worst", "uncertainty", "weights"])
def test_every_combination_has_the_unit_of_one_model(networks: list[Network], answers: Any, how: str) -> None:
    made = build_proxy(RewardConfig(members=3, combine=how), networks, answers, 512)
    got = scores(made, answers).reshape(-1, 2)
    assert got.mean() == pytest.approx(0, abs=1e-9)
    assert np.sqrt(got.var(axis=1, ddof=1).mean()) == pytest.approx(1)


def test_a_members_own_unit_does_not_count(networks: list[Network], answers: Any) -> None:
    config = RewardConfig(members=3, combine="worst")
    one = scores(build_proxy(config, networks, answers, 512), answers)
    with torch.no_grad():
        networks[2].model.score.weight.mul_(7.0)
    np.testing.assert_allclose(scores(build_proxy(config, networks, answers, 512), answers), one, atol=1e-5)


def test_the_spread_is_that_between_the_members(networks: list[Network], answers: Any) -> None:
    made = build_proxy(RewardConfig(members=3), networks, answers, 512)
    assert isinstance(made, Ensemble)
    each = np.stack([scores(ensemble.with_scale(n, answers, 512), answers) for n in networks])
    np.testing.assert_allclose(ScoredBatch.of(made, answers).parts["member_sd"], each.std(axis=0), atol=1e-9)
    sds = [m.scale.sd for m in made.members]
    np.testing.assert_allclose(made.raw(answers), each.mean(axis=0) * np.mean(sds), atol=1e-9)


def test_averaged_weights_by_hand_and_the_members_as_they_were(networks: list[Network]) -> None:
    before = [n.model.score.weight.clone() for n in networks]
    made = averaged(networks)
    torch.testing.assert_close(made.model.score.weight, sum(before) / 3)
    assert all(torch.equal(n.model.score.weight, b) for n, b in zip(networks, before, strict=True))


@pytest.mark.parametrize("how", ["worst", "uncertainty"])
def test_read_back_it_says_the_same(networks: list[Network], answers: Any, tmp_path: Path, how: str) -> None:
    made = build_proxy(RewardConfig(members=3, combine=how, uncertainty=0.3), networks, answers, 8192)
    made.write(tmp_path)
    assert (scores(ensemble.load(tmp_path, CPU), answers) == scores(made, answers)).all()
    for place in ("model", "members/0", "members/1", "members/2"):
        assert AutoModelForSequenceClassification.from_pretrained(tmp_path / place).config.num_labels == 1
    alone = ensemble.reward_model.load(tmp_path / "model", CPU)
    assert isinstance(alone, RewardModel)
    assert (scores(alone, answers) == scores(made.first, answers)).all()


def test_a_damaged_table_is_one_line(networks: list[Network], answers: Any, tmp_path: Path) -> None:
    build_proxy(RewardConfig(members=3), networks, answers, 512).write(tmp_path)
    write_json(tmp_path / "ensemble.json", {"members": 3})
    with pytest.raises(ValueError, match=r"ensemble\.json: damaged"):
        ensemble.load(tmp_path, CPU)
