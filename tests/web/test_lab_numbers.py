"""The lab's page computes what the Python engine computes, and shows what the tables say."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward.lab import clicks, policy, presets, tilt, trap, verdict
from trueward.lab.sitting import sit

ROOT = Path(__file__).parents[2]
EXAMPLES = json.loads((ROOT / "tests/lab/examples.json").read_text(encoding="utf-8"))
CLASSIC = "BA.CA.CB.DA.DB.DC.BA.CA.CB.DA.DB.DC"
Open = Callable[..., Any]


def scenario(seed: int) -> dict[str, Any]:
    """Clicks as the page would ask for them, answered at random, and a path of three βs."""
    chance = random.Random(seed)
    name = chance.choice(list(presets.tables()))
    out = sorted(chance.sample(range(5), chance.choice([0, 0, 1, 2])))
    said: list[clicks.Click] = []
    pairs = []
    for _ in range(chance.randrange(25)):
        pair = clicks.next_pair(said, 5, seed, skipped=chance.randrange(3), left_out=out)
        pairs.append(list(pair))
        winner, loser = chance.sample(pair, 2)
        said.append(clicks.Click(winner, loser, tie=chance.random() < 0.2))
    word = ".".join(f"{'ABCDE'[c.winner]}{'=' * c.tie}{'ABCDE'[c.loser]}" for c in said)
    path = [[round(10 ** chance.uniform(-2, 2), 4), chance.randrange(1, 200)] for _ in range(3)]
    blind = chance.choice([None, 1.5, round(chance.uniform(-3, 3), 2)])
    return {
        "seed": seed,
        "name": name,
        "clicks": word,
        "lr": round(chance.uniform(0.05, 2), 3),
        "blind": blind,
        "path": path,
    }


THEIRS = """(jobs) => jobs.map((job) => {
  const t = globalThis.trueward;
  const { truths, reference } = job;
  const { model, rows } = t.trained(t.parseClicks(job.clicks, 5), 5, job.lr);
  const proxy = t.proxies(model, job.blind);
  const run = t.startRun(proxy, truths, reference);
  for (const [beta, steps] of job.path) t.goOn(run, beta, steps);
  const beta = job.path[2][0];
  const points = t.sweep(proxy, truths, reference);
  const found = t.judge(run.history, t.spread(truths, reference));
  return {
    clicks: t.writeClicks(t.parseClicks(job.clicks, 5)),
    scores: model.scores, losses: rows.map((row) => row.loss), proxy,
    history: run.history.map((point) => [point.step, point.proxy, point.true, point.kl]),
    policy: t.policyOf(run), verdict: found.word,
    numbers: [found.sd, found.proxy, found.true, found.peak, found.peakStep, found.kl],
    gradient: t.gradient(run.logits, proxy, run.logReference, beta),
    anchor: t.anchorSlope(run.logits, run.logReference, beta), trap: t.shortForm(run.logits, run.logReference, beta),
    covariance: t.covariance(t.policyOf(run), truths, proxy),
    sweep: points.map((p) => [p.beta, p.proxy, p.true, p.kl]), best: t.bestOf(points).beta,
    most: t.bestObjective(proxy, reference, beta),
    annotated: t.writeClicks(t.annotated(job.name, job.seed)),
    pairs: Array.from({ length: 30 }, (_, n) => t.nextPair(t.parseClicks(job.clicks, 5), 5, job.seed, n, n % 2 ? [n % 5] : [])),
    chance: Array.from({ length: 20 }, (_, n) => t.uniform(job.seed * 77777777, n % 4, n)),
  };
})"""


def ours(job: dict[str, Any]) -> dict[str, Any]:
    from trueward.lab.chance import uniform

    preset = presets.preset(job["name"])
    said = clicks.parse(job["clicks"])
    model, losses = clicks.trained(said, 5, job["lr"])
    proxy = policy.proxies(model, job["blind"])
    run = policy.run(proxy, preset.truths, preset.reference, [(beta, steps) for beta, steps in job["path"]])
    beta = job["path"][2][0]
    reference = [math.log(p) for p in preset.reference]
    points = tilt.sweep(proxy, preset.truths, preset.reference)
    found = verdict.judge(run.history, verdict.spread(preset.truths, preset.reference))
    word = [f"{'ABCDE'[c.winner]}{'ABCDE'[c.loser]}" for c in preset.annotated(job["seed"])]
    return {
        "clicks": job["clicks"],
        "scores": list(model.scores),
        "losses": losses,
        "proxy": proxy,
        "history": [[step.step, step.proxy, step.true, step.kl] for step in run.history],
        "policy": run.policy,
        "verdict": found.word,
        "numbers": [found.sd, found.proxy, found.true, found.peak, found.peak_step, found.kl],
        "gradient": policy.gradient(run.log_policy, proxy, reference, beta),
        "anchor": trap.anchor_slope(run.log_policy, reference, beta),
        "trap": trap.short_form(run.log_policy, reference, beta),
        "covariance": tilt.covariance(run.policy, preset.truths, proxy),
        "sweep": [[p.beta, p.proxy, p.true, p.kl] for p in points],
        "best": tilt.best(points).beta,
        "most": tilt.best_objective(proxy, preset.reference, beta),
        "annotated": ".".join(word),
        "pairs": [list(clicks.next_pair(said, 5, job["seed"], n, [n % 5] if n % 2 else [])) for n in range(30)],
        "chance": [uniform(job["seed"] * 77777777, n % 4, n) for n in range(20)],
    }


def differ(a: Any, b: Any, at: str = "") -> list[str]:
    """Where two trees of values differ by more than 1e-9, or at all if they are no floats."""
    if isinstance(a, dict):
        return [d for key in a.keys() | b.keys() for d in differ(a[key], b[key], f"{at}.{key}")]
    if isinstance(a, list):
        if len(a) != len(b):
            return [f"{at}: {len(a)} and {len(b)} values"]
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differ(x, y, f"{at}[{i}]")]
    same = abs(a - b) <= 1e-9 if isinstance(a, int | float) and isinstance(b, int | float) else a == b
    return [] if same else [f"{at}: {a} and {b}"]


def test_the_page_is_the_python_engine_on_fifty_seeds(lab: Open) -> None:
    jobs = [scenario(seed) for seed in range(50)]
    sent = [
        {**job, "truths": presets.preset(job["name"]).truths, "reference": presets.preset(job["name"]).reference}
        for job in jobs
    ]
    theirs = lab().evaluate(THEIRS, sent)
    for job, found in zip(jobs, theirs, strict=True):
        expected = ours(job)
        assert differ({**expected, "chance": [], "pairs": []}, {**found, "chance": [], "pairs": []}) == [], job
        assert (found["chance"], found["pairs"]) == (expected["chance"], expected["pairs"])  # to the last bit
    words = {found["verdict"] for found in theirs}
    assert len(words) >= 4, "the fifty should not all be alike"


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{e['preset']} {e['beta']}" for e in EXAMPLES])
def test_the_tables_in_the_page(lab: Open, example: dict[str, Any]) -> None:
    said = example.get("clicks") or (CLASSIC if example["preset"] == "classic" else "")
    shown = lab(f"preset={example['preset']}&steps=3000&beta={example['beta']}" + (f"&clicks={said}" if said else ""))
    assert [shown.number("tile-proxy"), shown.number("tile-true")] == pytest.approx(example["start"], abs=1.1e-3)
    shown.click("#play")
    assert shown.text("verdict") == example["word"]
    tiles = [shown.number(f"tile-{name}") for name in ("step", "proxy", "true", "kl")]
    assert tiles == pytest.approx([3000, example["proxy"], example["true"], example["kl"]], abs=1.1e-3)
    label = shown.get_attribute("#traces svg", "aria-label")
    assert f"By step 3000: proxy {shown.text('tile-proxy')}, true {shown.text('tile-true')}" in label
    assert shown.locator("#traces text", has_text=f"true {shown.text('tile-true')}").count() == 1
    if "peak" in example:
        assert f"peak {example['peak'][0]:.3f} at step {example['peak'][1]}" in shown.text("tile-peak")
    assert shown.locator("#rules tr.best th").text_content() == example["word"]
    for bar, probability in zip(
        shown.locator("#bars text.figure").all_text_contents(), sit_of(example).run.policy, strict=True
    ):
        assert float(bar) == pytest.approx(probability, abs=6e-4)


def sit_of(example: dict[str, Any]) -> Any:
    said = clicks.parse("") if example.get("clicks") == "none" else None
    return sit(example["preset"], [(example["beta"], 3000)], said)


def test_the_first_three_clicks_in_the_page(lab: Open) -> None:
    shown = lab("preset=classic&clicks=BA.CA.CB")
    scores = shown.evaluate("trueward.view().model.scores")
    assert scores == pytest.approx([-0.468912, -0.003886, 0.472798, 0, 0], abs=1e-6)
    shown.click("#clicks-box summary")
    rows = [row.split() for row in shown.locator("#log tr").all_inner_texts()]
    assert [(r[0], r[1], r[3], r[4]) for r in rows] == [
        ("3", "C", "B", "0.709"),
        ("2", "C", "A", "0.576"),
        ("1", "B", "A", "0.693"),
    ]


def test_the_sweep_and_its_best(lab: Open) -> None:
    shown = lab("preset=showcase&beta=0.3")
    assert shown.locator("#distance .point").count() == 0
    shown.click("#sweep")
    assert shown.locator("#distance .point").count() == 20
    assert shown.locator("#distance text", has_text="best β 1.27").count() == 1
    assert "true 0.337" in shown.text("sweep-note")
    assert "β = 0.3 ends: true −1.200, KL 3.657" in shown.text("sweep-note")
    assert shown.locator("#distance .diamond").count() == 1


def test_the_things_to_try_do_what_they_say(lab: Open) -> None:
    shown = lab()
    expected = ["hacking", "learning", "learning", "pinned", "learning", "hacking", "hacking"]
    sure = [".639 by step 8", ".673", ".949", ".237", ".583", "truth falls to .311", ".184"]
    boxes = shown.locator("#mission-list li")
    assert boxes.count() == len(expected)
    for n, word in enumerate(expected):
        shown.click("#more-open")
        boxes.nth(n).locator("summary").click()
        shown.until(f"document.querySelectorAll('.outcome')[{n}].textContent !== ''")
        assert sure[n] in boxes.nth(n).locator(".outcome").text_content()
        boxes.nth(n).locator("a").click()
        assert not shown.evaluate("document.querySelector('#more').open")
        assert shown.text("verdict") == "not run yet"
        shown.click("#play")
        assert shown.text("verdict") == word, n
        if n == 5:
            assert (shown.number("tile-true"), shown.number("tile-step")) == (pytest.approx(0.311, abs=6e-4), 3000)
        if word == "learning":  # the true reward that is promised is the one that came
            assert sure[n][:4] == f"{shown.number('tile-true'):.3f}"[1:5]
