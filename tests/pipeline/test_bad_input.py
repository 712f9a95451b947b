"""Whatever is wrong with the input: one line that says what and where, exit code 2, nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

PAIR = {"prompt": "the new film", "chosen": " is great .", "rejected": " is dull ."}


def refused(answer: tuple[int, str, str]) -> str:
    """The one line, without its beginning."""
    code, out, err = answer
    assert code == 2, err
    assert out == ""
    assert err.startswith("trueward: "), err
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert len(err) < 500
    return err.removeprefix("trueward: ").rstrip("\n")


def half_written(run: Path) -> list[str]:
    """Files that nobody should find: temporary ones, and those of a finished stage without their manifest."""
    leftovers = [str(p) for p in run.rglob(".*") if p.name != ".lock"]
    rows = json.loads((run / "pipeline.json").read_text()) if (run / "pipeline.json").exists() else []
    return leftovers + [
        r["name"] for r in rows if (r["state"] == "done") != (run / r["name"] / "manifest.json").exists()
    ]


# What is wrong with the recipe or the command line: what is written to recipe.toml, the arguments, the whole line.
RECIPES: dict[str, tuple[str, list[str], str]] = {
    "unknown recipe": (
        "",
        ["run", "tinny"],
        "there is no recipe 'tinny'; shipped are: arithmetic, best-of-n, cluster, constraints, direct, instruct, "
        "loose-verifier, nano, principle, reviews, smollm2, tiny (or give a path to a TOML file)",
    ),
    "no such file": ("", ["run", "mine.toml"], "mine.toml: no such recipe file"),
    "unknown key": ("[policy]\nkl_coeff = 1", [], "recipe.toml: unknown key policy.kl_coeff; did you mean kl_coef?"),
    "unknown key, --set": (
        "",
        ["run", "tiny", "--set", "sft.epoch=1"],
        "tiny: unknown key sft.epoch; did you mean epochs?",
    ),
    "unknown section": ("[polcy]\nsteps = 1", [], "recipe.toml: unknown key polcy; did you mean policy?"),
    "nothing like it": (
        "[model]\nzzz = 1",
        [],
        "recipe.toml: unknown key model.zzz; known: base",
    ),
    "section that is none": (
        "",
        ["run", "tiny", "--set", "seed.x=1"],
        "tiny: seed: input should be a valid integer, got {'x': 1}",
    ),
    "wrong type": (
        '[policy]\nsteps = "many"',
        [],
        "recipe.toml: policy.steps: input should be a valid integer, unable to parse string as an integer, got 'many'",
    ),
    "out of range": ("[policy]\nsteps = 0", [], "recipe.toml: policy.steps: input should be greater than 0, got 0"),
    "share": ("[data]\nheld_out = 1.5", [], "recipe.toml: data.held_out: input should be less than 1, got 1.5"),
    "not a number": (
        "[policy]\nlearning_rate = nan",
        [],
        "recipe.toml: policy.learning_rate: input should be a finite number, got nan",
    ),
    "infinite": (
        "",
        ["run", "tiny", "--set", "sft.epochs=inf"],
        "tiny: sft.epochs: input should be a finite number, got inf",
    ),
    "minibatches": (
        "[policy]\nminibatches = 9\nbatch_size = 8",
        [],
        "recipe.toml: policy: minibatches (9) can't be more than batch_size (8)",
    ),
    "file without path": (
        '[comparisons]\nsource = "file"',
        [],
        'recipe.toml: comparisons: source = "file" needs `path`, a JSONL file of comparisons',
    ),
    "broken TOML": (
        "seed = 1\n[policy\n",
        [],
        "recipe.toml: not a TOML file: Expected ']' at the end of a table declaration (at line 2, column 8)",
    ),
    "--set without =": ("", ["run", "tiny", "--set", "seed"], "--set seed: expected section.key=value"),
    "unknown stage": (
        "",
        ["run", "tiny", "--until", "polcy"],
        "--until polcy: there is no such stage; the stages are "
        "prepare, sft, comparisons, reward_model, reward, policy, evaluation, report",
    ),
    "unknown command": ("", ["climb"], "No such command 'climb'"),
    "unknown option": ("", ["run", "tiny", "--fast"], "No such option: --fast"),
    "report of nothing": (
        "",
        ["report", "yesterday"],
        "yesterday: there is no such run (neither a run's directory nor a name under runs/)",
    ),
    "empty prompt": ("", ["sample", "trueward:tiny", "--prompt", " "], "sample: expected a prompt that isn't empty"),
    "both counts": (
        "",
        ["ppo", "--sft-model-path=a", "--reward-model-path=b", "--dataset=c", "--steps=1", "--total-episodes=1"],
        "give --steps or --total-episodes, not both",
    ),
}


@pytest.mark.parametrize("case", RECIPES)
def test_recipe(command: Callable[..., Any], tmp_path: Path, case: str) -> None:
    text, arguments, expected = RECIPES[case]
    (tmp_path / "recipe.toml").write_text(text)
    assert refused(command(*(arguments or ["run", "recipe.toml"]))).startswith(expected)
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.toml"]


def jsonl(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


# What is wrong with the data: the file's text (None: there is none), and what the line says after the file's name.
DEMONSTRATIONS: dict[str, tuple[str | None, str]] = {
    "missing": (None, "no such file"),
    "empty": ("", "expected at least one row"),
    "malformed": (jsonl([{"prompt": "a", "completion": "b"}] * 2) + '{"prompt": ', ", line 3: expected a JSON object"),
    "not an object": ("[1]\n", ", line 1: expected a JSON object, got a list"),
    "no completion": ('{"prompt": "a"}\n', ', line 1: missing field "completion"'),
    "wrong kind": ('{"prompt": 1, "completion": "b"}\n', ', line 1: "prompt": expected a string'),
}
COMPARISONS: dict[str, tuple[str | None, str]] = {
    "missing": (None, "no such file"),
    "empty": ("", "expected at least one row"),
    "malformed": (jsonl([PAIR] * 4) + "{", ", line 5: expected a JSON object"),
    "nothing of use": (
        jsonl([{**PAIR, "rejected": " is great ."}, {**PAIR, "chosen": " "}]),
        ": no row can be used (identical responses 1, empty response 1)",
    ),
    "no rejected": (jsonl([{"prompt": "a", "chosen": "b"}]), ', line 1: missing field "rejected"'),
    "wrong kind": (jsonl([{**PAIR, "chosen": 1}]), ', line 1: "chosen": expected a string'),
}


@pytest.mark.parametrize("case", DEMONSTRATIONS)
def test_demonstrations(command: Callable[..., Any], tmp_path: Path, case: str, small: Any) -> None:
    text, expected = DEMONSTRATIONS[case]
    path = tmp_path / "shown.jsonl"
    if text is not None:
        path.write_text(text)
    line = refused(command(*small(f"data.demonstrations={path}")))
    assert line.startswith(str(path))
    assert expected.split("expected at least")[0] in line
    assert [p.name for p in tmp_path.iterdir()] == (["shown.jsonl"] if text is not None else [])


@pytest.mark.parametrize("case", COMPARISONS)
def test_comparisons(command: Callable[..., Any], tmp_path: Path, case: str, small: Any) -> None:
    """Said before anything is trained: a typo should not cost the minutes of SFT."""
    text, expected = COMPARISONS[case]
    path = tmp_path / "people.jsonl"
    if text is not None:
        path.write_text(text)
    changes = ("comparisons.source=file", f"comparisons.path={path}")
    line = refused(command(*small(*changes), "--out", str(tmp_path / "run")))
    assert str(path) in line
    assert expected.split("expected at least")[0] in line
    assert not (tmp_path / "run").exists()


def model_directory(kind: str, folder: Path) -> Path:
    path = folder / "model"
    if kind == "a file":
        path.write_text("weights")
    elif kind != "nowhere":
        path.mkdir()
    if kind == "garbage":
        (path / "config.json").write_text("{garbage")
    elif kind == "another config":
        (path / "config.json").write_text('{"model_type": "piano"}')
    return path


@pytest.mark.parametrize("kind", ["nowhere", "a file", "empty", "garbage", "another config"])
@pytest.mark.parametrize("field", ["model.base", "sft.model", "reward.model", "evaluation.truths"])
def test_model(command: Callable[..., Any], tmp_path: Path, small: Any, baseline: Path, kind: str, field: str) -> None:
    path = model_directory(kind, tmp_path)
    value = f'["model:{path}"]' if field == "evaluation.truths" else str(path)
    run = baseline.parent / tmp_path.name  # beside a finished run, whose stages it takes over
    line = refused(command(*small(f"{field}={value}"), "--out", str(run)))
    assert str(path) in line
    assert half_written(run) == []


def test_a_mistake_in_the_first_stage_can_be_put_right(command: Callable[..., Any], tmp_path: Path, small: Any) -> None:
    run = ("--out", str(tmp_path / "run"), "--until", "prepare")
    refused(command(*small(f"model.base={tmp_path}/nowhere"), *run))
    assert command(*small(), *run)[::2] == (0, "")


@pytest.mark.parametrize("damaged", ["model.safetensors", "tokenizer.json", "config.json"])
def test_damaged_model(command: Callable[..., Any], tmp_path: Path, small: Any, baseline: Path, damaged: str) -> None:
    path = tmp_path / "model"
    path.mkdir()
    for file in (baseline / "sft/model").iterdir():
        (path / file.name).write_bytes(file.read_bytes()[: 300 if file.name == damaged else None])
    line = refused(command(*small(f"model.base={path}"), "--out", str(tmp_path / "run")))
    assert line.startswith(f"{path}: can't be loaded as a model: ")
    assert half_written(tmp_path / "run") == []


# Settings that only the stage which uses them can judge, and what the line says.
SETTINGS = {
    "data.max_prompt_tokens=64": "data.max_prompt_tokens: 64 leaves no room for an answer in the model's context of 64 tokens",
    "data.max_prompt_tokens=1": "have a prompt longer than data.max_prompt_tokens = 1; set a longer one, or data.truncation",
    "data.max_response_tokens=1": "data.demonstrations: none is left: 4,000 have a response longer than",
    "data.held_out=0.9999": "data.prompts: ",
    "data.prompts=trueward:poems": "data.prompts: there is no trueward:poems; those that ship are",
    'evaluation.truths=["c"]': "evaluation.truths: there is no simulated utility 'c' for trueward:toy; known: a, b; or",
    "comparisons.annotator=c": "there is no simulated utility 'c' for trueward:toy; known: a, b",
    "comparisons.count=1": "reward.held_out: 1 comparisons leave",
    "comparisons.agreement=0.9999": "two annotators can agree on at most",
    "comparisons.tie_width=1e9": "the reward model gives the same score to all of the SFT policy's answers (SD 0)",
    "policy.learning_rate=1e30": "step 1: loss/policy_avg is not a number any more",
}


@pytest.mark.parametrize("change", SETTINGS)
def test_setting(command: Callable[..., Any], tmp_path: Path, small: Any, baseline: Path, change: str) -> None:
    run = baseline.parent / tmp_path.name
    line = refused(command(*small(change), "--out", str(run)))
    assert SETTINGS[change] in line
    assert half_written(run) == []


def test_all_prompts_are_longer_than_the_context(command: Callable[..., Any], tmp_path: Path, small: Any) -> None:
    path = tmp_path / "shown.jsonl"
    path.write_text(jsonl([{"prompt": "the film " * 40 + str(i), "completion": " is great ."} for i in range(30)]))
    line = refused(command(*small(f"data.demonstrations={path}"), "--out", str(tmp_path / "run"), "--until", "sft"))
    assert line == (
        "data.prompts: none is left: 30 have a prompt longer than data.max_prompt_tokens = 16; set a longer one, or "
        'data.truncation = "left" or "right" to cut them'
    )
    assert half_written(tmp_path / "run") == []


def test_a_prompt_to_sample_longer_than_the_context(command: Callable[..., Any]) -> None:
    line = refused(command("sample", "trueward:tiny", "--prompt", "the film " * 40))
    assert "context" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there(command: Callable[..., Any], tmp_path: Path, small: Any) -> None:
    line = refused(command(*small("runtime.device=cuda"), "--out", str(tmp_path / "run")))
    assert line == "runtime.device: cuda is not to be had on this machine; use auto or cpu"
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_report(command: Callable[..., Any], tmp_path: Path, climb: Any) -> None:
    climb(tmp_path, "run", until="prepare")
    run = tmp_path / "run"
    assert refused(command("report", str(run))) == f"{run}: has no report yet; `trueward run` makes one"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("evaluation.truths=[]", 'comparisons.source = "simulated" stands in for people'),
        ("reward.model=judge", "evaluation.truths: the simulated utility 'b' is there for trueward:reviews"),
    ],
)
def test_own_data_have_no_simulated_annotators(
    command: Callable[..., Any], tmp_path: Path, small: Any, change: str, expected: str
) -> None:
    """Said at once, and not when SFT is done."""
    path = tmp_path / "shown.jsonl"
    path.write_text(jsonl([{"prompt": f"the film {i}", "completion": " is great ."} for i in range(30)]))
    line = refused(command(*small(f"data.demonstrations={path}", change), "--out", str(tmp_path / "run")))
    assert line.startswith(expected)
    assert half_written(tmp_path / "run") == []
