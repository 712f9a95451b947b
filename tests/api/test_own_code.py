"""A user's own policy loss and algorithm: run, in the log, in the digest; and tried before anything is trained."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import trueward as tw
from trueward import config
from trueward.api.run import overrides
from trueward.config import PolicyConfig
from trueward.losses.policy import clipped_surrogate
from trueward.pipeline.announcements import announcements
from trueward.pipeline.own_code import check_policy_code
from trueward.training.policy_loss import policy_loss

SOURCE = """
import torch

def ours(logprobs, sampler_logprobs, advantages, mask):
    ratio = (logprobs - sampler_logprobs).exp()
    loss = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    return loss, {"surprise": -logprobs}

def three(logprobs, sampler_logprobs, advantages):
    return logprobs

def bare(logprobs, sampler_logprobs, advantages, mask):
    return -logprobs * advantages

def summed(logprobs, sampler_logprobs, advantages, mask):
    return (-logprobs * advantages).sum(), {}

def detached(logprobs, sampler_logprobs, advantages, mask):
    return -logprobs.detach() * advantages, {}

def taken(logprobs, sampler_logprobs, advantages, mask):
    return -logprobs * advantages, {"ratio": logprobs}

def broken(logprobs, sampler_logprobs, advantages, mask):
    return logprobs @ mask, {}

class HALF:
    def steps(config, setup): return config.steps
    def start(config, setup): return None

class ODD:
    def steps(config): return 1
    def start(config, setup): return None
    def train(config, setup, state): return iter(())
"""
QUICK: dict[str, Any] = {"sampler": {"max_new_tokens": 8}, "runtime": {"threads": 1}, "progress": False}
LESS: dict[str, Any] = {"steps": 2, "batch_size": 16, "evaluation": {"every": 2, "step_prompts": 16}}


@pytest.fixture(scope="module", autouse=True)
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("code")
    (folder / "codes.py").write_text(SOURCE)
    sys.path.insert(0, str(folder))
    yield folder / "codes.py"
    sys.path.remove(str(folder))
    sys.modules.pop("codes", None)


def vowels(completions: list[tw.Completion]) -> list[float]:
    return [float(sum(c.response.count(v) for v in "aeiou")) for c in completions]


@pytest.fixture(scope="module")
def sft() -> tw.SupervisedPolicy:
    return tw.sft("trueward:tiny", "trueward:toy", epochs=0.1, **QUICK)


@pytest.mark.parametrize("kind", ["ppo", "grpo", "rloo"])
def test_our_own_loss_as_a_users(sft: tw.SupervisedPolicy, kind: str) -> None:
    """Written out by a user it trains the same policy, and its figures are logged."""
    given = {"kind": kind, "group": {"size": 4}, **LESS, **QUICK}
    ours = tw.optimize(sft, vowels, **given)
    own = tw.optimize(sft, vowels, loss="codes:ours", **given)
    for one, other in zip(ours.model.parameters(), own.model.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert "loss/surprise_avg" in own.metrics
    assert "loss/surprise_avg" not in ours.metrics
    assert (own.metrics["loss/surprise_avg"] > 0).all()
    assert own.made.digest != ours.made.digest


def test_it_is_the_same_function() -> None:
    draw = torch.Generator().manual_seed(1)
    new, old, advantages = (torch.randn(3, 5, generator=draw) for _ in range(3))
    mask = torch.rand(3, 5, generator=draw) > 0.3
    loss, figures = policy_loss(PolicyConfig(loss="codes:ours"))(new, old, advantages, mask)
    expected, ratios = clipped_surrogate(new, old, advantages, mask, 0.2)
    assert torch.allclose(loss, expected)
    assert torch.equal(figures["ratio"], ratios["ratio"])
    assert torch.equal(figures["kl"], ratios["kl"])
    assert (loss[~mask] == 0).all()
    assert (figures["surprise"][~mask] == 0).all()


@pytest.mark.parametrize(
    ("loss", "match"),
    [
        ("codes:nothing", "the module codes has no nothing"),
        ("nowhere:at_all", "there is no module nowhere"),
        ("codes:SOURCE", "has no SOURCE"),
        ("codes:three", r"codes:three: expected a function of \(logprobs, sampler_logprobs, advantages, mask\)"),
        ("codes:bare", r"expected \(loss, figures\).* got Tensor"),
        ("codes:summed", r"the loss is \[\] where \[2, 3\] was expected"),
        ("codes:detached", "has no gradient in logprobs"),
        ("codes:taken", "ratio: a figure of that name is logged already"),
        ("codes:broken", "codes:broken: RuntimeError"),
    ],
)
def test_a_loss_that_is_none_is_said_before_anything_is_trained(loss: str, match: str) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        check_policy_code(PolicyConfig(loss=loss))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("codes:HALF", r"expected an object with train\(config, setup, state\), and it has none"),
        ("codes:ODD", r"expected an object with steps\(config, setup\): too many positional arguments"),
        ("codes:NONE", "the module codes has no NONE"),
    ],
)
def test_an_algorithm_that_is_none(kind: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        check_policy_code(PolicyConfig(kind=kind))


def test_settings_that_contradict_each_other() -> None:
    for settings, match in (
        ({"kind": "ppoo"}, r"kind: expected ppo, grpo, .* or module:NAME, got 'ppoo'"),
        ({"options": {"rate": 1}}, "options are those of an algorithm of your own, and ppo is none"),
        ({"kind": "dpo", "loss": "codes:ours"}, "dpo has no policy loss by token"),
        ({"loss": "no colon"}, "loss"),
    ):
        with pytest.raises(ValueError, match=match):
            PolicyConfig(**settings)


def test_code_is_named_before_it_is_first_run(tmp_path: Path) -> None:
    small = {"policy.loss": "codes:ours", "evaluation.truths": ["codes:broken"]}
    recipe = config.read("tiny", overrides(small, {}))
    assert [line.partition(" (")[0] for line in announcements(recipe, tmp_path)] == [
        "policy.loss runs code of yours: codes:ours",
        "evaluation.truths.0 runs code of yours: codes:broken",
    ]
    (tmp_path / "pipeline.json").write_text("[]")
    assert announcements(recipe, tmp_path) == []
