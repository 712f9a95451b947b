"""The functions of the functional core: in memory, with `out=`, stopped and called again; and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import trueward as tw
from trueward import config
from trueward.data import toy
from trueward.pipeline.cache import MemoryCache
from trueward.pipeline.run import run_in_memory
from trueward.training import driver

QUICK: dict[str, Any] = {"sampler": {"max_new_tokens": 8}, "runtime": {"threads": 1}, "progress": False}
LESS: dict[str, Any] = {"steps": 2, "batch_size": 16, "evaluation": {"every": 1, "step_prompts": 16}}
SHOWN = [{"prompt": p, "completion": r} for p, r in toy.reviews(300, seed=3)]


def vowels(completions: list[tw.Completion]) -> list[float]:
    return [float(sum(c.response.count(v) for v in "aeiou")) for c in completions]


def longer(first: tw.Completion, second: tw.Completion) -> float | None:
    one, other = len(first.response), len(second.response)
    return None if one == other else float(one > other)


def weights(policy: Any) -> list[torch.Tensor]:
    return [p.detach().clone() for p in policy.model.parameters()]


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


@pytest.fixture(scope="module")
def sft() -> tw.SupervisedPolicy:
    return tw.sft("trueward:tiny", SHOWN, epochs=0.5, **QUICK)


@pytest.fixture(scope="module")
def pairs(sft: tw.SupervisedPolicy) -> tw.ComparisonSet:
    return tw.compare(sft, sft.prompts, annotator=longer, **QUICK)


@pytest.fixture(scope="module")
def reward(sft: tw.SupervisedPolicy, pairs: tw.ComparisonSet) -> tw.LearnedReward:
    return tw.fit_reward_model(sft, pairs, **QUICK)


def test_the_whole_workflow(sft: tw.SupervisedPolicy, pairs: tw.ComparisonSet, reward: tw.LearnedReward) -> None:
    assert sft.summary["held_out_nll_after"] < sft.summary["held_out_nll_before"]
    assert {p.id for p in sft.prompts}.isdisjoint(p.id for p in sft.held_out)
    assert [row["step"] for row in sft.metrics] == list(range(1, len(sft.metrics) + 1))
    assert len(pairs) == pairs.summary["comparisons"] > 50
    assert all(c.probability == float(len(c.first.text) > len(c.second.text)) for c in pairs)
    one, other = reward.score("this film", ["warm", " warm and lovely and rather long , it seems"])
    assert one != other
    policy = tw.optimize(sft, reward, truths={"vowels": vowels}, kl_coef=0.05, **LESS, **QUICK)
    assert list(policy.evaluations["step"]) == [0, 1, 2]
    assert list(policy.metrics["step"]) == [1, 2]
    assert len(policy.rollouts) == 2 * 16
    assert set(policy.rollouts["prompt"]) <= {p.text for p in sft.prompts}
    assert set(policy.samples["prompt"]) <= {p.text for p in sft.held_out}
    assert policy.verdict
    assert policy.best is not None
    assert not same(policy, sft)
    result = tw.evaluate(policy, sft.held_out, against=sft, scorers={"vowels": vowels}, **{**QUICK, "sampler": {}})
    assert result["prompts"] == len(sft.held_out)
    assert list(result.scorers["scorer"]) == ["vowels"]
    assert "vowels" in str(result)


def test_it_is_the_pipeline(tmp_path: Path) -> None:
    """The same settings in a recipe give the same weights, to the last bit."""
    lengths = {"max_prompt_tokens": 16, "max_response_tokens": 32}
    less = {"steps": 2, "batch_size": 16}
    own = tw.sft("trueward:tiny", "trueward:toy", epochs=0.1, data=lengths, **QUICK)
    pairs = tw.compare(own, own.prompts[:80], annotator=longer, **QUICK)
    reward = tw.fit_reward_model(own, pairs.save(tmp_path / "pairs.jsonl"), **QUICK)
    policy = tw.optimize(own, reward, evaluation={"every": 2, "step_prompts": 8}, **less, **QUICK)
    changes = [
        "model.base=trueward:tiny",
        "data.demonstrations=trueward:toy",
        "data.max_prompt_tokens=16",
        "data.max_response_tokens=32",
        "sft.epochs=0.1",
        f"comparisons={{source='file',path='{tmp_path / 'pairs.jsonl'}'}}",
        "policy.steps=2",
        "policy.batch_size=16",
        "sampler.max_new_tokens=8",
        "runtime.threads=1",
        "evaluation={every=2,step_prompts=8,truths=[]}",
    ]
    (tmp_path / "empty.toml").write_text("format = 2\n")
    made = run_in_memory(config.read(str(tmp_path / "empty.toml"), changes), MemoryCache(), until="policy")
    assert same(own, tw.Policy(lambda: made["sft"].value.policy, "theirs"))
    assert reward.summary == made["reward_model"].summary
    assert same(policy, tw.Policy(lambda: made["policy"].value.load(), "theirs"))


def test_kept_stopped_and_called_again(
    sft: tw.SupervisedPolicy, reward: tw.LearnedReward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**LESS, **QUICK, "steps": 3, "runtime": {"threads": 1, "checkpoint_seconds": 0}}
    in_memory = tw.optimize(sft, reward, truths={"vowels": vowels}, **settings)
    log = driver._Drive._log

    def stop(drive: Any, step: Any) -> None:
        if step.number == 3:
            raise KeyboardInterrupt
        log(drive, step)

    with monkeypatch.context() as patch:
        patch.setattr(driver._Drive, "_log", stop)
        with pytest.raises(KeyboardInterrupt):
            tw.optimize(sft, reward, truths={"vowels": vowels}, out=tmp_path / "policy", **settings)
    kept = tw.optimize(sft, reward, truths={"vowels": vowels}, out=tmp_path / "policy", **settings)
    assert same(kept, in_memory)
    assert kept.rollouts.equals(in_memory.rollouts)
    monkeypatch.setattr(driver, "drive", None)  # nothing is trained any more
    again = tw.optimize(sft, reward, truths={"vowels": vowels}, out=tmp_path / "policy", **settings)
    assert same(again, in_memory)
    assert again.directory == tmp_path / "policy"
    assert same(tw.load_policy(tmp_path / "policy"), in_memory)
    with pytest.raises(ValueError, match=r"policy: holds a policy that was made of something else"):
        tw.optimize(sft, reward, truths={"vowels": vowels}, out=tmp_path / "policy", **{**settings, "steps": 4})


def test_each_stage_is_kept(tmp_path: Path) -> None:
    calls: list[int] = []

    def counted(first: tw.Completion, second: tw.Completion) -> float | None:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return longer(first, second)

    sft = tw.sft("trueward:tiny", SHOWN, epochs=0.1, out=tmp_path / "sft", **QUICK)
    again = tw.sft("trueward:tiny", SHOWN, epochs=0.1, out=tmp_path / "sft", **QUICK)
    assert same(sft, again)
    assert sft.directory == tmp_path / "sft"
    with pytest.raises(KeyboardInterrupt):
        tw.compare(sft, sft.prompts, annotator=counted, count=20, out=tmp_path / "pairs", **QUICK)
    pairs = tw.compare(sft, sft.prompts, annotator=counted, count=20, out=tmp_path / "pairs", **QUICK)
    assert len(calls) <= 21, "the four labels that were given before the stop are not asked again"
    assert len(tw.compare(sft, sft.prompts, annotator=counted, count=20, out=tmp_path / "pairs", **QUICK)) == len(pairs)
    reward = tw.fit_reward_model(tmp_path / "sft", pairs, out=tmp_path / "reward", **QUICK)
    assert tw.load_reward_model(tmp_path / "reward").score("a", " b") == reward.score("a", " b")
    bare = tw.optimize("trueward:tiny", vowels, [row["prompt"] for row in SHOWN], **LESS, **QUICK)
    assert len(bare.metrics) == 2


@pytest.mark.parametrize("kind", ["grpo", "rloo", "dpo", "sft_on_best"])
def test_every_kind(sft: tw.SupervisedPolicy, pairs: tw.ComparisonSet, reward: tw.LearnedReward, kind: str) -> None:
    more: dict[str, Any] = {"group": {"size": 4}, "best_of_n": {"n": 2, "prompts": 16}}
    policy = tw.optimize(sft, reward, comparisons=pairs, kind=kind, **more, **LESS, **QUICK)
    assert len(policy.metrics) >= 1
    assert not same(policy, sft)


def test_the_forms_that_data_have(sft: tw.SupervisedPolicy, tmp_path: Path) -> None:
    import datasets
    import pandas

    rows = [{"prompt": f"{word} film", "chosen": " warm", "rejected": " dull"} for word in toy.words()[:40]]
    fits = [
        tw.fit_reward_model(sft, data, **QUICK).summary["accuracy"]
        for data in (rows, datasets.Dataset.from_list(rows), pandas.DataFrame(rows))
    ]
    assert fits[0] == fits[1] == fits[2]
    texts = ["this film", "a story"]
    for prompts in (texts, [{"prompt": t} for t in texts], [tw.Prompt(text=t) for t in texts]):
        assert tw.evaluate(sft, prompts, scorers=vowels, progress=False)["prompts"] == 2
    assert isinstance(sft.generate("this film"), str)
    assert len(sft.generate("this film", n=3)) == 3
    assert sft.generate(texts, seed=4) == sft.generate(texts, seed=4)
    assert sft.logprob("this film", " warm") < 0


def refused(match: str) -> Any:
    return pytest.raises(ValueError, match=match)


def test_what_is_refused(sft: tw.SupervisedPolicy, reward: tw.LearnedReward, tmp_path: Path) -> None:
    with refused(r"trueward\.optimize: unknown key policy\.kl_coeff; did you mean kl_coef"):
        tw.optimize(sft, reward, kl_coeff=0.1, **QUICK)
    with refused(r"trueward\.optimize: policy\.steps: .*greater than 0"):
        tw.optimize(sft, reward, steps=0, **QUICK)
    with refused(r"sampler: expected the settings of \[sampler\] as a dict, got 3"):
        tw.optimize(sft, reward, sampler=3)
    with refused(r"evaluation\.truths follows from the call's own arguments"):
        tw.optimize(sft, reward, evaluation={"truths": ["b"]}, progress=False)
    with refused(r'kind="dpo" learns from comparisons='):
        tw.optimize(sft, reward, kind="dpo", **QUICK)
    with refused(r"relabel: .* use trueward\.run"):
        tw.optimize(sft, reward, relabel={"every": 1}, **QUICK)
    with refused(r"expected demonstrations, or for a model that is taken as it is, prompts"):
        tw.sft("trueward:tiny", **QUICK)
    with refused(r'trueward\.sft: demonstrations, row 2: missing field "completion"'):
        tw.sft("trueward:tiny", [SHOWN[0], {"prompt": "x"}], **QUICK)
    with refused(r"expected one of annotator= and utility="):
        tw.compare(sft, sft.prompts, **QUICK)
    with refused(r"the annotator returned 7; expected the probability"):
        tw.compare(sft, sft.prompts, annotator=lambda a, b: 7, **QUICK)
    with refused(r"the annotator judged none of the pairs"):
        tw.compare(sft, sft.prompts, annotator=lambda a, b: None, **QUICK)
    with refused(r"reward.* gives the same score|gives 1 to all of the SFT policy's"):
        tw.optimize(sft, lambda completions: [1.0 for _ in completions], **QUICK)
    with refused(r"returned 1 scores for \d+ completions"):
        tw.optimize(sft, lambda completions: [1.0], **QUICK)
    with refused(r"source of .* can't be read"):
        tw.optimize(sft, eval("lambda cs: [float(len(c.response)) for c in cs]"), out=tmp_path / "x", **QUICK)  # noqa: S307
    with refused(r"expected the policy of trueward\.sft"):
        tw.optimize(3, reward, sft.prompts, **QUICK)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    with refused(r"mine: exists and is not a sft of trueward"):
        tw.sft("trueward:tiny", SHOWN, out=tmp_path / "mine", **QUICK)
    assert (tmp_path / "mine/thesis.txt").read_text() == "x"
    with refused(r"exists; choose another directory"):
        sft.save(tmp_path / "mine")


def test_a_model_is_saved_as_transformers_reads_it(sft: tw.SupervisedPolicy, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(sft.save(tmp_path / "model"))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), weights(sft), strict=True))


def test_the_callers_process_is_as_it_was(sft: tw.SupervisedPolicy, reward: tw.LearnedReward) -> None:
    torch.set_num_threads(2)
    try:
        tw.optimize(sft, reward, **LESS, **QUICK)
        assert torch.get_num_threads() == 2
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(1)
