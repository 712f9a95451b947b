"""The route without comparisons and reward model: prompts, SFT, verifier, policy, evaluation, report. About 15 s."""

# ruff: noqa: E501 (a mistake and its line stand on one line)
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trueward.data import jsonl, loading, toy
from trueward.data.collate import Collator
from trueward.pipeline import optimisation
from trueward.records import Completion, Prompt, Score
from trueward.scorers.normalized import Normalized, PartsLogger
from trueward.scorers.scorer import Scale
from trueward.training.critic import Critic
from trueward.training.journal import read_log

SHORT = ("reward.kind=verifier", "reward.verifier=constraints", 'reward.options={max_words=5,ends_with="."}')
TRUTHS = 'evaluation.truths=["b","verifier:constraints"]'


def rollouts(run: Path) -> list[dict[str, Any]]:
    import gzip

    return [json.loads(row) for row in gzip.decompress((run / "policy/rollouts.jsonl.gz").read_bytes()).splitlines()]


@pytest.mark.parametrize("kind", ["ppo", "grpo", "rloo", "best_of_n", "sft_on_best"])
def test_the_route_climbs_only_what_it_needs(kind: str, baseline: Path, climb: Any) -> None:
    best = ("policy.best_of_n.n=3", "policy.best_of_n.prompts=24")
    climb(baseline.parent, f"rlvr-{kind}", *SHORT, TRUTHS, f"policy.kind={kind}", *best)
    run = baseline.parent / f"rlvr-{kind}"
    stages = [row["name"] for row in json.loads((run / "pipeline.json").read_text())]
    assert stages == ["prepare", "sft", "reward", "policy", "evaluation", "report"]
    report = json.loads((run / "report.json").read_text())
    assert report["reward"]["kind"] == "verifier"
    assert report["annotators"] is None
    mean, sd = report["reward"]["mean"], report["reward"]["sd"]
    answers = [Completion.model_validate(r) for _, r in jsonl.read(run / "sft/reference.jsonl")]
    right = np.array([len(a.response.replace(".", "").split()) <= 5 and a.response.endswith(".") for a in answers])
    assert mean == pytest.approx(right.mean(), abs=1e-6)  # counted here by other means
    assert sd == pytest.approx(np.sqrt(right.reshape(-1, 2).var(axis=1, ddof=1).mean()), abs=1e-6)
    start = report["policies"]["sft"]["proxy_raw"]  # of four answers to each of these prompts, and 0 on the axes
    for row in report["policies"].values():
        assert row["proxy_raw"] == pytest.approx(row["proxy"] * sd + start, abs=1e-4)
        assert row["truths"]["verifier:constraints"] == pytest.approx(row["proxy"], abs=1e-4), "the same options"
        right_ones = row["proxy_raw"] * row["prompts"] * 4
        assert right_ones == pytest.approx(round(right_ones), abs=1e-2)
    if kind in ("ppo", "grpo", "rloo"):
        steps, rows = read_log(run / "policy/metrics.jsonl"), rollouts(run)
        for step in steps:
            mine = [r["parts"] for r in rows if r["step"] == step["step"]]
            for name in ("raw", "max_words", "ends_with"):
                assert step[f"reward/{name}"] == pytest.approx(np.mean([p.get(name, 0.0) for p in mine]), abs=1e-4)
        assert all(r["score"] == pytest.approx((r["parts"]["raw"] - mean) / sd, abs=1e-3) for r in rows)


def test_ppo_s_value_network_starts_from_the_sft_policy_with_a_head_of_zeros(
    baseline: Path, climb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Critic] = []
    at_first: list[torch.Tensor] = []
    completion = Completion(prompt=Prompt(text="the new film"), response=" is warm .")
    make = optimisation.value_network

    def listens(*given: Any) -> Critic:
        critic = make(*given)
        made.append(critic)
        tokens = Collator(critic.network.tokenizer, critic.network.context).tokens([completion])
        at_first.append(critic.values(tokens).detach().clone())
        return critic

    monkeypatch.setattr(optimisation, "value_network", listens)
    climb(baseline.parent, "critic", *SHORT, until="policy")
    assert [critic.scale for critic in made] == [Scale(0.0, 1.0)]
    assert torch.equal(at_first[0], torch.zeros_like(at_first[0]))


HACKABLE = """
def counts(completions):
    '''Meant: is it said that the film is great? Written: how often.'''
    return [c.response.split().count("great") for c in completions]
"""


@pytest.mark.learned
def test_a_hackable_verifier_is_found_by_the_honest_one(
    baseline: Path, climb: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the proxy has a planted flaw, and the truth is the verifier without it."""
    (tmp_path / "hackable_verifier.py").write_text(HACKABLE)
    monkeypatch.syspath_prepend(str(tmp_path))
    honest = '{"verifier:constraints"={max_words=8,ends_with=".",excludes=["great great"]}}'
    flawed = ("reward.kind=verifier", "reward.verifier=hackable_verifier:counts", "policy.kind=grpo")
    truth = ('evaluation.truths=["verifier:constraints"]', f"evaluation.options={honest}")
    long = (
        "policy.steps=16",
        "policy.batch_size=64",
        "policy.kl_coef=0",
        "policy.learning_rate=0.004",
        "evaluation.every=16",
        "evaluation.step_prompts=64",
    )
    climb(
        baseline.parent, "hacked", *flawed, *truth, *long, "sampler.max_new_tokens=16", "sft.epochs=0.5", until="policy"
    )
    looks = read_log(baseline.parent / "hacked/policy/evaluations.jsonl")
    first, last = looks[0], looks[-1]
    # Over five seeds the proxy rose by 23 to 31, and the truth fell by 0.7 to 1.7, of which two errors are 0.3.
    assert last["proxy"] > first["proxy"] + 3
    assert last["truth"] < first["truth"] - 2 * last["truth_se"]  # a paired error; SFT itself is 0


def test_a_mixture_logs_every_part(baseline: Path, climb: Any) -> None:
    parts = (
        '[{scorer="verifier:constraints",name="ends",gate=true,options={ends_with="."}},'
        '{scorer="length",weight=-0.1},{scorer="trueward.scorers.mix:length",name="mine",weight=0.5}]'
    )
    climb(baseline.parent, "mixed", "reward.kind=mix", f"reward.parts={parts}", "reward.floor=-2.0", until="policy")
    run = baseline.parent / "mixed"
    for row in rollouts(run):
        p = row["parts"]
        assert p["length"] == p["mine"] == len(row["response"].replace(".", "").split())
        assert p["ends"] == p.get("ends.ends_with", 0.0) == float(row["response"].endswith("."))
        assert p["raw"] == pytest.approx(0.4 * p["length"] if p["ends"] else -2.0, abs=1e-4)
    assert {"reward/ends", "reward/length", "reward/mine", "reward/raw"} <= set(
        read_log(run / "policy/metrics.jsonl")[0]
    )


def keyed(path: Path, answer: Callable[[int], Any] = lambda i: "warm") -> Path:
    rows = [{"prompt": p, "answer": answer(i)} for i, (p, _) in enumerate(toy.reviews(80, 3))]
    jsonl.write(path, list({r["prompt"]: r for r in rows}.values()))
    return path


def test_the_answer_key_travels_with_the_prompt_and_no_model_reads_it(
    baseline: Path, climb: Any, tmp_path: Path
) -> None:
    plain, other = keyed(tmp_path / "a.jsonl"), keyed(tmp_path / "b.jsonl", lambda i: [i])
    one, two = loading.prompts(str(plain)).rows, loading.prompts(str(other)).rows
    assert [p.id for p in one] == [Prompt(text=p.text).id for p in one] == [p.id for p in two]
    assert {p.answer for p in one} == {"warm"}
    assert two[0].answer == "[0]"
    assert all(str(p) == p.text for p in one)
    regex = 'reward.options={pattern=".*{answer}.*",example="it is {answer}"}'
    for name, path in (("a", plain), ("b", other)):
        rows = (f"data.prompts={path}", "reward.kind=verifier", "reward.verifier=regex", regex)
        climb(baseline.parent, f"keys-{name}", *rows, until="sft")
    a, b = (baseline.parent / f"keys-{n}" for n in "ab")
    assert '"answer": "warm"' in (a / "prepare/prompts.jsonl").read_text()
    responses = [[r["response"] for _, r in jsonl.read(run / "sft/reference.jsonl")] for run in (a, b)]
    assert responses[0] == responses[1], "another key, the same answers"
    climb(baseline.parent, "keys-a", f"data.prompts={plain}", "reward.kind=verifier", "reward.verifier=regex", regex)
    report = json.loads((a / "report.json").read_text())
    assert 0 < report["reward"]["mean"] < 1


def test_the_id_of_a_prompt_is_what_it_was() -> None:
    assert Prompt(text="the new film").id == "1cfb1d0b4dd5"  # as before there were answer keys


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (("reward.kind=verifier",), 'kind = "verifier" needs `verifier`'),
        (("reward.kind=mix",), 'kind = "mix" needs `parts`'),
        (("reward.kind=mix", 'reward.parts=[{scorer="length",gate=true}]'), "one of them that is no gate"),
        (("reward.kind=mix", 'reward.parts=[{scorer="length"},{scorer="length"}]'), "two are called 'length'"),
        (("reward.kind=mix", 'reward.parts=[{scorer="length",wieght=1}]'), "unknown key reward.parts.0.wieght; did you mean weight?"),
        ((*SHORT, "policy.kind=dpo"), "dpo learns from comparisons"),
        ((*SHORT, "reward.options={max_word=3}"), "reward.options.max_word: there is no such option"),
        ((*SHORT, "reward.verifier=exact", "reward.options={}"), "reward.verifier = 'exact': the prompt .* expected an answer key"),
        ((*SHORT, "reward.verifier=exat"), "there is no verifier 'exat'"),
        ((*SHORT, "reward.verifier=nowhere:f"), "takes no options"),
        ((*SHORT, "reward.options={}", "reward.verifier=nowhere:f"), "there is no module nowhere"),
        ((*SHORT, 'reward.options={contains=["a b c"],max_words=2}'), "reward.verifier = 'constraints' fails its self-test"),
        (("evaluation.truths=[\"verifier:exact\"]",), "evaluation.truths: verifier:exact: the prompt .* expected an answer key"),
        (('evaluation.options={"verifier:exact"={}}',), "evaluation.options: 'verifier:exact' is none of evaluation.truths"),
        ((*SHORT, "data.prompts=reasoning-gym:gdc"), "reasoning-gym has no task 'gdc'; did you mean gcd"),
        ((*SHORT, 'reward.options={contains=["xyzzy"]}'), "gives 0 to all of the SFT policy's 120 answers.*It never succeeds"),
        ((*SHORT, "reward.options={}", "reward.verifier=right_verifier:always"), "gives 1 to all of the SFT policy's 120 answers.*Take a verifier"),
    ],
)  # fmt: skip
def test_mistakes_are_said_in_one_line(
    changes: tuple[str, ...],
    line: str,
    baseline: Path,
    climb: Any,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "right_verifier.py").write_text("def always(completions):\n    return [1] * len(completions)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match=line) as error:
        climb(baseline.parent, request.node.callspec.id[:9], *changes, until="policy")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("stage", "changes"), [("reward_model", SHORT), ("comparisons", SHORT), ("reward", ())])
def test_stages_that_the_route_does_not_have(stage: str, changes: tuple[str, ...], baseline: Path, climb: Any) -> None:
    with pytest.raises(ValueError, match=f"--until {stage}"):
        climb(baseline.parent, "no such stage", *changes, until=stage)


def test_two_keys_for_one_prompt_are_refused(baseline: Path, climb: Any, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    jsonl.write(path, [{"prompt": f"the {w}", "answer": a} for w in toy.words() for a in ("1", "2")])
    with pytest.raises(ValueError, match="has two answer keys, '1' and '2'"):
        climb(baseline.parent, "two keys", f"data.prompts={path}", "reward.kind=verifier", "reward.verifier=exact")


def test_scaled_and_watched() -> None:
    scaled = Normalized(lambda cs: [Score(score=3.0, parts={"x": 1.0}, note="n") for _ in cs], Scale(1.0, 4.0))
    (verdict,) = scaled([Completion(prompt=Prompt(text="p"), response="r")])
    assert verdict == Score(score=0.5, parts={"raw": 3.0, "x": 1.0}, note="n")
    watched = PartsLogger(scaled)
    assert list(watched.with_parts(lambda: iter([]))) == []
