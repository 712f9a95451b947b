"""One short run of each optimiser through the real command line, against its record in `trajectories/`.

    make golden     writes the records anew and prints what moved

Where the versions and the processor's features are those of the record, every number is the same, bit for bit. Elsewhere
the rounding differs, so numbers may drift; and a sampled token may tip over, from where on another text is measured. So
a record holds digests of the texts that were sampled: before the first other text numbers are `CLOSE`, from there on in
a `BAND`. SFT samples nothing and is always close.

How the tolerances were found: docs/log.md, "Golden trajectories".
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trueward import config
from trueward.pipeline.sft import REFERENCE_PROMPTS

FOLDER = Path(__file__).parent / "trajectories"
SMALL = (
    "runtime.threads=1",
    "sft.epochs=0.05",
    "comparisons.count=60",
    "policy.steps=4",
    "policy.batch_size=24",
    "policy.minibatches=2",
    "policy.group.size=4",
    "policy.dpo.learning_rate=0.002",
    "policy.best_of_n.n=4",
    "policy.best_of_n.prompts=192",
    "sampler.max_new_tokens=10",
    "evaluation.final_prompts=24",
    "evaluation.step_prompts=24",
    "evaluation.every=2",
)
CASES: dict[str, tuple[str, ...]] = {
    "ppo": (),
    "grpo": ("policy.kind=grpo", "policy.group.std=population", "policy.group.kl=k3"),
    "rloo": ("policy.kind=rloo",),
    "dpo": ("policy.kind=dpo",),
    "online_dpo": ("policy.kind=dpo", "policy.dpo.online=true"),
    "best_of_n": ("policy.kind=best_of_n",),
    "sft_on_best": ("policy.kind=sft_on_best",),
}
CLOSE = 5e-3  # of the largest of a figure's recorded values, or of SMALLEST
SMALLEST = 0.01
BAND = 2.0  # of the largest of a figure's recorded values, or of 1: finite and no explosion
COUNTED = ("clipfrac", "accuracies", "accuracy")  # shares of few: one token more is a large step, so always in the band
FREE = ("val/explained_variance", "best_step")  # without a scale, after another text: a ratio, a place
OLDER = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
FLAGS = ("avx", "avx2", "avx512", "avx_vnni", "amx", "fma", "f16c", "asimd", "sve", "neon", "bf16")
CHOICES = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
Record = dict[str, Any]


def machine() -> dict[str, Any]:
    """All that a result's last bits depend on: versions, and the processor as far as kernels are chosen by it."""
    about: dict[str, str] = {}
    if (info := Path("/proc/cpuinfo")).exists():
        rows = (line.partition(":") for line in info.read_text().partition("\n\n")[0].splitlines())
        about = {key.strip(): value.strip() for key, _, value in rows}
    flags = about.get("flags", about.get("Features", "")).split()
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()} {' '.join(platform.libc_ver())}".strip(),
        "processor": " ".join(about.get(key, "?") for key in ("vendor_id", "cpu family", "model")),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "flags": sorted(f for f in flags if f.startswith(FLAGS)),
        "environment": {name: os.environ[name] for name in CHOICES if name in os.environ},
        "threads": 1,
    }


def digest(texts: Any) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:12]


def rows_of(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(row) for row in raw.splitlines()]


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, float | None]]:
    """The numbers in a JSON value by their path, without clocks and memory."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in ("seconds", "peak_memory_mb", "step", "recipe"):
                yield from numbers(part, f"{name}.{key}" if name else key)
    elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        yield name, value


def by_name(rows: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    """Each figure's values, a row after the other; null where a row doesn't have it."""
    found = [dict(numbers(row)) for row in rows]
    return {name: [row.get(name) for row in found] for name in dict.fromkeys(n for row in found for n in row)}


def trajectory(run: Path) -> Record:
    """What a run leaves to compare: figures by step, the report's numbers, and which texts stood behind them."""
    steps = rows_of(run / "policy/metrics.jsonl")
    rollouts, looks = rows_of(run / "policy/rollouts.jsonl.gz"), rows_of(run / "policy/evaluations.jsonl")
    samples = rows_of(run / "policy/samples.jsonl")
    report = json.loads((run / "report.json").read_text())
    kept = ("policies", "reward_model", "sft", "annotators", "best_step")
    lower = [rows_of(run / name) for name in ("sft/reference.jsonl", "comparisons/comparisons.jsonl")]
    return {
        "sft": by_name(rows_of(run / "sft/metrics.jsonl")),
        "reward_model": by_name(rows_of(run / "reward_model/metrics.jsonl")),
        "policy": by_name(steps),
        "looks": {"at": [row["step"] for row in looks], **by_name(looks)},
        "report": dict(numbers({key: report.get(key) for key in kept})),
        "texts": {
            "given": digest([[r.get("response", r) for r in rows] for rows in lower]),
            "chosen": digest([r["response"] for r in rows_of(run / "policy/chosen.jsonl")]),
            "steps": [digest([r["response"] for r in rollouts if r["step"] == row["step"]]) for row in steps],
            "looks": [digest([r["response"] for r in samples if r["step"] == row["step"]]) for row in looks],
            "report": digest([[r["response"] for r in rows_of(p)] for p in sorted(run.glob("evaluation/*.jsonl"))]),
        },
    }


def flat(record: Record, part: str = "") -> dict[str, Any]:
    """Every value of a record by its name."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            found |= flat(value, f"{part}{key} ")
        elif isinstance(value, list):
            found |= {f"{part}{key}[{i}]": x for i, x in enumerate(value)}
        else:
            found[part + key] = value
    return found


def same_texts(old: Record, new: Record) -> dict[str, Any]:
    """For each part of a record, or each row of it, whether all the text that it stands on is that of the record."""
    was, now = old["texts"], new["texts"]
    given = was["given"] == now["given"]
    chosen = given and was["chosen"] == now["chosen"]
    alike = [a == b for a, b in zip(was["steps"], now["steps"], strict=True)]
    steps = [chosen and all(alike[: i + 1]) for i in range(len(alike))]
    before = [steps[at - 1] if at else given for at in old["looks"].get("at", [])]
    looks = [ok and a == b for ok, a, b in zip(before, was["looks"], now["looks"], strict=True)]
    report = all((chosen, *steps, *looks)) and was["report"] == now["report"]
    return {"sft": True, "reward_model": given, "policy": steps, "looks": looks, "report": report}


def out_of_tolerance(old: Record, new: Record) -> list[str]:
    """The figures that moved further than another processor's rounding explains."""
    found = []
    for part, same in same_texts(old, new).items():
        assert old[part].keys() == new[part].keys(), f"{part}: other figures than recorded"
        for name, was in old[part].items():
            before, after = (x if isinstance(x, list) else [x] for x in (was, new[part][name]))
            assert len(before) == len(after), f"{part} {name}: {len(after)} values, {len(before)} recorded"
            size = max((abs(x) for x in before if x is not None), default=0.0)
            for i, (a, b) in enumerate(zip(before, after, strict=True)):
                near = same if isinstance(same, bool) else same[i]
                if not near and name.endswith(FREE):
                    continue
                close = near and not any(word in name for word in COUNTED)
                allowed = CLOSE * max(size, SMALLEST) if close else BAND * max(size, 1.0)
                fine = a is b if a is None or b is None else abs(a - b) <= allowed
                if not fine:
                    found.append(f"{part} {name}[{i}]: {a!r} -> {b!r}, allowed {allowed:.2g}")
    return found


def relative(a: Any, b: Any) -> float:
    """How far a value moved: of the larger one, without limit for what is no number or newly there."""
    if isinstance(a, int | float) and isinstance(b, int | float):
        return abs(a - b) / max(abs(a), abs(b), 1e-300)
    return math.inf


def moves(old: Record, new: Record) -> list[tuple[float, str]]:
    """What is not equal: the relative move, and `figure  old -> new`."""
    was, now = flat(old), flat(new)
    found = []
    for name in {**was, **now}:
        a, b = was.get(name, "-"), now.get(name, "-")
        if a != b:
            far = relative(a, b)
            found.append((far, f"{name:<52} {a!s:>24} -> {b!s:<24} {far:9.1e}"))
    return sorted(found, reverse=True)


def text(record: dict[str, Any]) -> str:
    """As JSON, a line a figure."""
    parts = []
    for part, content in record.items():
        rows = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in content.items())
        parts.append(f" {json.dumps(part)}: {{\n{rows}\n }}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def words(case: str) -> list[str]:
    return ["run", "tiny", "--quiet", *(w for change in (*SMALL, *CASES[case]) for w in ("--set", change))]


@pytest.fixture(scope="module")
def climbed(make_processes: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Record]]:
    """What a case leaves behind; its lower stages are shared with the others'."""
    home = tmp_path_factory.mktemp("golden")

    def climb(case: str) -> Record:
        code, errors = server.run(*words(case), "--out", str(home / case))
        assert code == 0, errors
        return trajectory(home / case)

    with make_processes(home, reference=REFERENCE_PROMPTS) as server:
        yield climb


def recorded(case: str) -> dict[str, Any]:
    path = FOLDER / f"{case}.json"
    return json.loads(path.read_text()) if path.exists() else {"machine": {}}


@pytest.mark.parametrize("case", CASES)
def test_the_trajectory_is_the_recorded_one(
    climbed: Callable[[str], Record], case: str, moved: list[tuple[float, str]], pytestconfig: pytest.Config
) -> None:
    old, new = recorded(case), climbed(case)
    known = old.pop("machine")
    if pytestconfig.getoption("--record", default=False):
        rows = moves(old, new) if known else [(math.inf, "recorded for the first time")]
        moved += [(far, f"{case:<12} {line}") for far, line in rows]
        (FOLDER / f"{case}.json").write_text(text({"machine": machine(), **new}))
    elif known == machine():
        assert moves(old, new) == []
    else:
        assert out_of_tolerance(old, new) == []


def test_with_other_kernels_it_stays_in_its_tolerance(
    make_processes: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """With the kernels of a processor without AVX-512: what the tolerances are for."""
    if pytestconfig.getoption("--record", default=False):
        return
    for name, value in OLDER.items():
        monkeypatch.setenv(name, value)
    with make_processes(tmp_path, reference=REFERENCE_PROMPTS) as server:
        code, errors = server.run(*words("grpo"), "--out", str(tmp_path / "run"))
    assert code == 0, errors
    old, new = recorded("grpo"), trajectory(tmp_path / "run")
    assert out_of_tolerance(old, new) == []


def test_every_optimiser_has_its_record_and_no_record_is_left_over() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(CASES)
    kinds = {config.read("tiny", changes).policy.kind for changes in CASES.values()}
    assert kinds == set(config.KINDS)


RECORD: Record = {
    "sft": {"nll": [4.0, 3.0]},
    "reward_model": {"loss": [0.69]},
    "policy": {"objective/kl": [0.0, 0.5], "policy/clipfrac_avg": [0.1, 0.2]},
    "looks": {"at": [0, 2], "truth": [0.0, 0.3]},
    "report": {"policies.policy.truth": 0.3},
    "texts": {"given": "a", "chosen": "a", "steps": ["a", "b"], "looks": ["a", "b"], "report": "a"},
}


def changed(**parts: Any) -> Record:
    return {part: {**content, **parts.get(part, {})} for part, content in RECORD.items()}


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ({}, 0),
        ({"sft": {"nll": [4.0, 3.001]}}, 0),
        ({"sft": {"nll": [4.0, 3.1]}}, 1),
        ({"sft": {"nll": [4.0, None]}}, 1),
        ({"policy": {"objective/kl": [0.0, 0.501]}}, 0),
        ({"policy": {"objective/kl": [0.0, 0.51]}}, 1),
        ({"policy": {"policy/clipfrac_avg": [0.1, 0.3]}}, 0),
        # another text at the second step: what came before stays close
        ({"policy": {"objective/kl": [0.0, 1.5]}, "texts": {"steps": ["a", "c"]}}, 0),
        ({"policy": {"objective/kl": [0.0, 9.5]}, "texts": {"steps": ["a", "c"]}}, 1),
        ({"policy": {"objective/kl": [0.1, 1.5]}, "texts": {"steps": ["a", "c"]}}, 1),
        ({"looks": {"truth": [0.1, 0.9]}, "texts": {"steps": ["a", "c"]}}, 1),
        # other comparisons: SFT stays close
        ({"sft": {"nll": [4.0, 3.1]}, "policy": {"objective/kl": [0.1, 1.5]}, "texts": {"given": "c"}}, 1),
        ({"report": {"policies.policy.truth": 0.4}}, 1),
        ({"report": {"policies.policy.truth": 0.4}, "texts": {"report": "c"}}, 0),
    ],
)
def test_what_is_out_of_tolerance(parts: dict[str, Any], found: int) -> None:
    assert len(out_of_tolerance(RECORD, changed(**parts))) == found


def test_a_figure_that_comes_or_goes_is_out_of_tolerance() -> None:
    for old, new in ((RECORD, changed(sft={"other": [1.0]})), (changed(sft={"other": [1.0]}), RECORD)):
        with pytest.raises(AssertionError, match="other figures than recorded"):
            out_of_tolerance(old, new)


def test_what_moved_is_listed_with_the_largest_move_first() -> None:
    new = changed(sft={"nll": [4.0, 3.3]}, policy={"objective/kl": [0.0, 1.0]}, report={"length": 2.0})
    lines = [line.split() for _, line in moves(RECORD, new)]
    assert [line[:2] for line in lines] == [["report", "length"], ["policy", "objective/kl[1]"], ["sft", "nll[1]"]]
    assert lines[1][2:] == ["0.5", "->", "1.0", "5.0e-01"]
    assert moves(RECORD, RECORD) == []
