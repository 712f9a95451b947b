"""The documentation can't rot: every field, figure, command, example and link in it is held against the code.

Commands in ```console fences (lines that begin with `$ `) run page by page, in order, in a directory of their own. They are
made small first, unless pytest is called with `--whole`: a recipe keeps its name and its run's directory, but takes the
tiny model, the toy text and few steps.
"""

from __future__ import annotations

import gzip
import json
import operator
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import pytest
import typer

from trueward import config
from trueward.cli.app import app
from trueward.config import ablations
from trueward.data import toy
from trueward.pipeline.sft import REFERENCE_PROMPTS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted(DOCS.rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]

# Reading a page.


class Fence(NamedTuple):
    language: str
    text: str
    line: int


def fences(page: Path) -> list[Fence]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```([\w-]*)[^\n]*\n(.*?)^```[ \t]*$", text, re.MULTILINE | re.DOTALL)
    return [Fence(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in found]


def prose(page: Path) -> str:
    """A page without its fences."""
    return re.sub(r"^```.*?^```[ \t]*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def sections(page: Path) -> dict[str, dict[str, list[str]]]:
    """The tables under each heading of the second level: first cell (in backticks) to the row's other cells."""
    found: dict[str, dict[str, list[str]]] = {}
    heading = ""
    for row in prose(page).splitlines():
        if row.startswith("## "):
            heading = row[3:].strip().strip("`")
            assert heading not in found, f"{page.name}: two sections are called {heading}"
            found[heading] = {}
        elif heading and (m := re.match(r"\| `([^`]+)` \|(.*)\|\s*$", row)):
            assert m[1] not in found[heading], f"{page.name}, {heading}: two rows for {m[1]}"
            found[heading][m[1]] = [cell.strip() for cell in m[2].split(" | ")]
    return found


# The recipe.


def fields(of: str = "Recipe", inside: str = "") -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Section as it is headed in the documentation, field, and its JSON schema."""
    schema = config.Recipe.model_json_schema()
    for name, field in (schema if of == "Recipe" else schema["$defs"][of])["properties"].items():
        if "$ref" in field:
            yield from fields(field["$ref"].rsplit("/", 1)[1], f"{inside}.{name}".lstrip("."))
        else:
            yield f"[{inside}]" if inside else "Top level", name, field


FIELDS = list(fields())
TYPES = {
    "string": "string",
    "integer": "integer",
    "number": "float",
    "boolean": "boolean",
    "array": "array of strings",
    "object": "table",
}
BOUNDS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}


@pytest.mark.parametrize(("section", "field", "schema"), FIELDS, ids=[f"{s}.{f}" for s, f, _ in FIELDS])
def test_every_field_of_the_recipe_is_explained(section: str, field: str, schema: dict[str, Any]) -> None:
    table = sections(DOCS / "recipe.md").get(section, {})
    assert field in table, f"docs/recipe.md has no row for {section} {field}"
    kind, default, bounds, meaning = table[field]
    expected = {**schema, **next((s for s in schema.get("anyOf", []) if s["type"] != "null"), {})}
    assert kind == ("array of tables" if "$ref" in expected.get("items", {}) else TYPES[expected["type"]])
    if schema["default"] is None:
        assert default == "not set"
    else:
        shown = tomllib.loads(f"value = {default.strip('`')}")["value"]
        assert shown == schema["default"], f"{section} {field}: the default is {schema['default']!r}"
        assert type(shown) is type(schema["default"]), f"{section} {field}: write the default as it is"
    stated = set(re.findall(r"[<>≤≥] [\d.]+", bounds))
    assert stated == {f"{sign} {expected[key]:.12g}" for key, sign in BOUNDS.items() if key in expected}
    choices = expected.get("enum") or ([expected["const"]] if "const" in expected else [])
    assert all(f"`{json.dumps(choice)}`" in bounds for choice in choices)
    assert len(meaning) > 10


def test_no_field_is_explained_that_does_not_exist() -> None:
    explained = {(s, f) for s, table in sections(DOCS / "recipe.md").items() for f in table}
    assert explained == {(s, f) for s, f, _ in FIELDS}


def test_the_recipe_begins_with_twenty_settings() -> None:
    page = (DOCS / "recipe.md").read_text(encoding="utf-8")
    first, second = re.findall(r"^## .*$", page, re.MULTILINE)[:2]
    table = page.partition(first)[2].partition(second)[0]
    named = re.findall(r"^\| \[`([\w.]+)`\]\(#(\w+)\) \|", table, re.MULTILINE)
    assert (first, len(set(named))) == ("## The twenty settings you will touch", 20)
    known = {(f"{section.strip('[]')}.{field}", section) for section, field, _ in FIELDS}
    assert {(name, f"[{name.rpartition('.')[0]}]") for name, _ in named} <= known
    assert all(link == name.rpartition(".")[0].replace(".", "") for name, link in named)


def test_recipes_shown_are_recipes() -> None:
    shown = [fence for page in PAGES for fence in fences(page) if fence.language == "toml"]
    for fence in shown:
        config.resolve(tomllib.loads(fence.text), f"line {fence.line}")
    assert shown


# The figures.

KINDS = [kind for kind in config.KINDS if kind != "ppo"]  # that is `tiny`


def rows(path: Path) -> list[dict[str, Any]]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return [json.loads(line) for line in text.split("\n") if line]


@pytest.mark.parametrize(
    "name",
    [
        "sft/metrics.jsonl",
        "reward_model/metrics.jsonl",
        "policy/metrics.jsonl",
        "policy/evaluations.jsonl",
        "policy/samples.jsonl",
        "policy/rollouts.jsonl.gz",
    ],
)
def test_every_figure_is_explained_and_no_other(tiny: Path, name: str) -> None:
    written = {key for row in rows(tiny / name) for key in row}
    assert set(sections(DOCS / "metrics.md")[name]) == written


def test_every_log_has_a_section(tiny: Path) -> None:
    logs = {p.relative_to(tiny).as_posix() for p in tiny.glob("*/*.jsonl*") if p.parent.name in ("sft", "policy")}
    assert logs - {"sft/reference.jsonl"} <= set(sections(DOCS / "metrics.md"))


SHARED = ("policy/evaluations.jsonl", "policy/samples.jsonl", "policy/rollouts.jsonl.gz")


VARIANTS = {"dpo, online": ("dpo", "policy.dpo.online=true")}  # kinds that log other figures under some setting


@pytest.mark.parametrize("kind", [*KINDS, *VARIANTS])
def test_every_figure_of_every_kind_of_policy_is_explained(of_kind: Callable[..., Path], kind: str) -> None:
    run = of_kind(*VARIANTS.get(kind, (kind,)))
    explained = sections(DOCS / "metrics.md")
    heading = next((h for h in explained if h.startswith("policy/metrics.jsonl (") and kind in h), "")
    special = {"policy/metrics.jsonl": heading, "policy/chosen.jsonl": "policy/chosen.jsonl"}
    logs = {p.relative_to(run).as_posix() for p in run.glob("policy/*.jsonl*")}
    assert logs <= {*SHARED, *special}
    assert bool(logs) == (kind != "best_of_n"), "nothing is trained, so nothing is logged"
    for log in logs:
        assert set(explained[special.get(log, log)]) == {key for row in rows(run / log) for key in row}, log
    summary = json.loads((run / "policy/manifest.json").read_text(encoding="utf-8"))["summary"]
    assert set(summary) <= set(explained["policy/manifest.json"])
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert set(paths(report)) <= set(explained["report.json"])


def test_every_figure_that_comes_with_a_setting_is_explained(of_kind: Callable[..., Path]) -> None:
    groups = ("policy.group.drop_equal_groups=true", "policy.group.refill=1", "model.dtype=bfloat16")
    run = of_kind(
        "grpo", *groups, "policy.ptx_coef=0.1", "policy.importance_sampling_cap=2", "sampler.engine.sync_every=2"
    )
    written = {key for row in rows(run / "policy/metrics.jsonl") for key in row}
    explained = sections(DOCS / "metrics.md")
    usual = set(explained["policy/metrics.jsonl (grpo, rloo)"])
    assert written - usual == set(explained["Figures that come with a setting"])


def test_what_a_kind_says_of_itself_and_no_more(of_kind: Callable[[str], Path]) -> None:
    manifests = [json.loads((of_kind(k) / "policy/manifest.json").read_text(encoding="utf-8")) for k in KINDS]
    assert set(sections(DOCS / "metrics.md")["policy/manifest.json"]) == {k for m in manifests for k in m["summary"]}


def test_every_kind_of_policy_has_a_page() -> None:
    found: set[str] = set()
    for page in (DOCS / "algorithms").glob("*.md"):
        first = re.match(r"# .*\n\n`policy\.kind = ([^`]*)`", page.read_text(encoding="utf-8"))
        found |= set(re.findall(r"\w+", first[1].replace(" or ", " "))) if first else set()
    assert found == set(config.KINDS)


ANY_KEY = {  # objects with names for keys, and what the documentation calls those
    "policies": "POLICY",
    "policies.POLICY.truths": "TRUTH",
    "seconds": "STAGE",
    "samples[].answers": "POLICY",
    "annotators.classifiers": "NAME",
    "annotators.correlations": "NAME",
    "verdict.numbers": "NUMBER",
}
ELSEWHERE = {
    "recipe",
    "history",
    "feature_shift",
    "doctor",
    "annotators.judge",
    "reward.judge",
}  # in docs/recipe.md, as policy/evaluations.jsonl, on a page or in sections of their own
NOT_IN_TINY = {f"annotators.classifiers.NAME.{key}" for key in ("examples", "accuracy", "accuracy_sentences")}


def paths(value: Any, at: str = "") -> Iterator[str]:
    """The paths of all values in a report."""
    if at in ELSEWHERE or value in ({}, []):
        yield at
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, f"{at}.{ANY_KEY.get(at, key)}".lstrip("."))
    elif isinstance(value, list) and isinstance(value[0], dict):
        for inner in value:
            yield from paths(inner, f"{at}[]")
    else:
        yield at


def test_the_report_is_explained_path_by_path(tiny: Path, of_kind: Callable[[str], Path]) -> None:
    report = json.loads((tiny / "report.json").read_text(encoding="utf-8"))
    assert report["format"] == 2
    assert report["left_out"], "the small run should have left something out"
    written = set(paths(report))
    explained = set(sections(DOCS / "metrics.md")["report.json"])
    assert written <= explained
    # What is explained is a value of a report, or stands above one.
    for kind in ("dpo", "best_of_n"):
        written |= set(paths(json.loads((of_kind(kind) / "report.json").read_text(encoding="utf-8"))))
    above = {path[:end] for path in written for m in re.finditer(r"\[\]\.|\.|$", path) if (end := m.start()) > 0}
    assert explained - NOT_IN_TINY <= above
    source = (ROOT / "src/trueward/pipeline/prepare.py").read_text(encoding="utf-8")
    assert all(f'"{path.rsplit(".", 1)[1]}":' in source for path in NOT_IN_TINY)
    columns = {key for row in rows(tiny / "policy/evaluations.jsonl") for key in row}
    assert {key for row in report["history"] for key in row} == columns


def test_what_people_say_is_explained() -> None:
    from trueward.evaluation.contracts.people import PoweredRow
    from trueward.evaluation.preference import preferred

    around = {"project", "is_truth", "votes", "steps", "verdict", "powered"}
    assert set(sections(DOCS / "metrics.md")["People"]) == set(preferred([1.0])) | around
    assert set(sections(DOCS / "metrics.md")["People and a judge"]) == set(PoweredRow.model_fields)


def test_a_row_of_what_moved_is_explained() -> None:
    from trueward.evaluation.feature_shift import ScoredAnswer, feature_shift

    (row,) = feature_shift(
        [ScoredAnswer(f"you {i} .") for i in range(50)], [ScoredAnswer(f"{i} .") for i in range(50)], most=1
    )
    assert set(sections(DOCS / "metrics.md")["What moved"]) == set(row)


def test_what_a_guard_says_is_explained() -> None:
    from trueward.evaluation.contracts.guard import GuardRow

    fields = {f"guards.NAME.{field}" for field in GuardRow.model_fields}
    assert set(sections(DOCS / "metrics.md")["Guards"]) == {"guards", *fields}


def test_a_head_in_closed_form_is_explained() -> None:
    from trueward.evaluation.contracts.reward_model import StartedMember

    fields = {f"starts[].{field}" for field in StartedMember.model_fields}
    assert set(sections(DOCS / "metrics.md")["A head in closed form"]) == {"unit_answers", "starts", *fields}


def test_the_figures_of_a_judge_are_explained() -> None:
    import numpy as np

    from trueward.evaluation import judge_report
    from trueward.scorers.judge.llm_judge import Preference

    figures = judge_report.of_preferences([Preference(1.0, 0.5)], config.JudgeConfig(model="m"))
    figures |= judge_report.agreement(np.ones(1), np.ones(1), "people")
    assert set(sections(DOCS / "metrics.md")["The judge"]) == set(figures)


def test_the_manifest_and_the_ladder_are_explained(tiny: Path) -> None:
    manifest = json.loads((tiny / "policy/manifest.json").read_text(encoding="utf-8"))
    assert set(sections(DOCS / "artifacts.md")["The manifest"]) == set(manifest)
    ladder = json.loads((tiny / "pipeline.json").read_text(encoding="utf-8"))
    text = re.sub(r"\s+", " ", (DOCS / "artifacts.md").read_text(encoding="utf-8"))
    assert "one row a stage: " + ", ".join(ladder[0]) in text
    for row in ladder:
        assert f"| {row['name']} |" in text


def test_functions_named_with_their_file_are_there() -> None:
    named = re.findall(r"`(\w+)` in\s+`(src/[\w/]+\.py)`", prose(DOCS / "losses.md"))
    assert len(named) > 5
    for function, path in named:
        assert re.search(rf"^def {function}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), function


# The commands.

TINY = {
    "model.base": ("trueward:base", "trueward:tiny"),
    "data.demonstrations": ("trueward:reviews", "trueward:toy"),
    "evaluation.truths": (("b", "c"), '["b"]'),  # c reads reviews
}
AT_MOST: dict[str, float] = {
    "data.max_prompt_tokens": 16,
    "data.max_response_tokens": 32,
    "sft.epochs": 0.2,
    "comparisons.count": 150,
    "policy.steps": 2,
    "policy.batch_size": 16,
    "policy.best_of_n.prompts": 40,
    "evaluation.final_prompts": 16,
    "evaluation.step_prompts": 16,
    "evaluation.every": 1,
    "sampler.max_new_tokens": 12,
}
OF_STAGE = {  # what each command of one stage takes of these
    "sft": ("data", "sft", "sampler"),
    "reward-model": ("data", "sampler"),
    "ppo": ("data", "policy", "evaluation", "sampler"),
}
NOT_RUN = (  # lines that are about the machine, not about trueward
    r"git clone \S+",
    r"cd \S+",
    r"python3? -m venv \S+",
    r"(\.|source) \S+/activate",
)
PLAIN = {"cat", "head", "tail", "ls", "wc", "zcat", "echo"}  # tools that may stand before or after `trueward`
OPERATORS = {"|", ">", ">>", "<", "&&", ";"}


@dataclass(frozen=True)
class Command:
    """A line after `$ `, with the output shown under it."""

    text: str
    line: int
    shown: str


def commands(page: Path) -> list[Command]:
    found = []
    for fence in fences(page):
        if fence.language != "console":
            continue
        joined = re.sub(r" *\\\n[> ]*", " ", fence.text)
        blocks = re.split(r"^\$ ", joined, flags=re.MULTILINE)
        assert not blocks[0].strip(), f"{page.name}, line {fence.line}: a console fence begins with `$ `"
        for block in blocks[1:]:
            text, _, shown = block.partition("\n")
            found.append(Command(text.strip(), fence.line, shown))
    return found


def test_other_fences_hold_no_commands() -> None:
    for page in PAGES:
        for fence in fences(page):
            hidden = fence.language in ("", "sh", "bash", "shell") and re.search(
                r"^(\$ |trueward |make )", fence.text, re.MULTILINE
            )
            assert not hidden, f"{page.name}, line {fence.line}: put commands into a ```console fence"


def test_commands_in_the_text_name_what_there_is() -> None:
    """Commands that are only mentioned, with their placeholders: the command and its options have to exist."""
    known: Any = typer.main.get_command(app)
    for page in PAGES:
        text = re.sub(r" *\\\n *", " ", prose(page))
        mentioned = re.findall(r"`trueward ([^`]+)`|^ {4}trueward ([^#\n]+)", text, re.MULTILINE)
        for words in [shlex.split(inline or indented) for inline, indented in mentioned]:
            if words[0].startswith("-"):
                command, flags = known, words
            else:
                assert words[0] in known.commands, f"{page.name}: there is no command `trueward {words[0]}`"
                command, flags = known.commands[words[0]], words[1:]
                if flags and flags[0] in getattr(command, "commands", {}):
                    command, flags = command.commands[flags[0]], flags[1:]
            options = {"--help", "-h", *(o for p in command.params for o in (*p.opts, *p.secondary_opts))}
            unknown = [f for f in flags if re.match(r"--?[a-z]", f) and f.split("=")[0] not in options]
            assert not unknown, f"{page.name}: `trueward {' '.join(words)}`: no option {unknown[0]}"


def targets() -> dict[str, list[str]]:
    """The Makefile's targets with their lines."""
    found: dict[str, list[str]] = {}
    target = ""
    for row in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines():
        if m := re.match(r"([\w./-]+):(?!=)", row):
            target = m[1]
            found[target] = []
        elif row.startswith("\t") and target:
            found[target].append(row.strip())
    return found


def extras() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])


def runnable(text: str, directory: Path, whole: bool) -> list[str]:
    """The lines for bash that a documented line stands for; `ValueError` if nothing here can run it."""
    words = shlex.shlex(text, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    tokens = list(words)
    if any(re.fullmatch(pattern, " ".join(tokens)) for pattern in NOT_RUN):
        return []
    if tokens[0] in ("pip", "pip3") or tokens[:3] == ["python", "-m", "pip"]:
        wanted = {e for token in tokens for m in re.findall(r"\[([\w,-]+)\]", token) for e in m.split(",")}
        if not wanted <= extras():
            raise ValueError(f"pyproject.toml has no extra {', '.join(sorted(wanted - extras()))}")
        return []
    if tokens[0] == "make":
        lines = []
        for target in tokens[1:] or ["run"]:
            if target not in targets():
                raise ValueError(f"the Makefile has no target {target!r}")
            ours = [row for row in targets()[target] if row.startswith("$(BIN)/trueward ")]
            lines += [line for row in ours for line in runnable(row.removeprefix("$(BIN)/"), directory, whole)]
        return lines
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token in OPERATORS:
            parts += [[token], []]
        else:
            parts[-1].append(token)
    out = []
    for number, part in enumerate(parts):
        after = parts[number - 1][0] if number else ""
        if part and part[0] == "trueward":
            part = [sys.executable, "-m", *(part if whole else small(part, directory))]
        elif not (part and (part[0] in PLAIN | OPERATORS or after in (">", ">>", "<"))):
            raise ValueError(f"{' '.join(part) or 'nothing'!r} can't be run by this test")
        out += [w if re.fullmatch(r"[\w./*?=,:@%+>|&;<-]+", w) else shlex.quote(w) for w in part]
    return [" ".join(out)]


def small(words: list[str], directory: Path) -> list[str]:
    """A command of trueward that does the same with less."""
    if len(words) < 2 or "--help" in words or "-h" in words:
        return words
    if words[1] in ("run", "sweep", "profile"):
        return small_run(words, directory)
    if words[1] in OF_STAGE:
        swap = dict(TINY.values())
        words = [swap.get(word, word) for word in words]
        if words[1] == "sft":
            for flag, value in (("--model", "trueward:tiny"), ("--dataset", "trueward:toy")):
                words += [] if any(w.startswith(flag) for w in words) else [flag, value]
        least = [f"{k}={v}" for k, v in AT_MOST.items() if k.split(".")[0] in OF_STAGE[words[1]]]
        return [*words, *(w for change in ["runtime.threads=1", *least] for w in ("--set", change))]
    return words


def small_run(words: list[str], directory: Path) -> list[str]:
    changes = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "--set"]
    without = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "--without"]
    taking = ("--set", "--without", "--out", "--output-dir", "--until", "--over", "--seeds", "--jobs", "--steps")
    valued = {i + 1 for i, word in enumerate(words) if word in taking}
    named = [w for i, w in enumerate(words) if i > 1 and i not in valued and not w.startswith("-")]
    recipe = named[0] if named else "reviews"
    place = directory / recipe if recipe.endswith(".toml") else recipe
    try:
        resolved = ablations.read(str(place), changes, without)
    except ValueError:
        return words  # the page shows what goes wrong
    less = ["runtime.threads=1"]
    for key, value in [*TINY.items(), *AT_MOST.items()]:
        now: Any = operator.attrgetter(key)(resolved)
        if isinstance(value, tuple):
            less += [f"{key}={value[1]}"] if now == value[0] else []
        elif now is None or now > value:
            less.append(f"{key}={value}")
    if resolved.policy.minibatches > AT_MOST["policy.batch_size"]:
        less.append("policy.minibatches=2")
    out: list[str] = []
    if words[1] == "run" and not any(w in ("--out", "--output-dir") for w in words):
        out = ["--out", f"runs/{config.variant(resolved.name, changes)}"]
    if words[1] == "sweep":
        at = words.index("--over") + 1
        key, _, values = words[at].partition("=")
        if not any(w in ("--out", "--output-dir") for w in words):
            out = ["--out", f"runs/sweep-{config.variant(recipe, [key, *changes])}"]
        if (most := AT_MOST.get(key)) is None or not isinstance(most, int):  # two of the values, the first and the last
            ends = values.split(",")
            words = [*words[:at], f"{key}={ends[0]},{ends[-1]}", *words[at + 1 :]]
    return [*words, *out, *(word for change in less for word in ("--set", change))]


def furnish(page: Path, directory: Path) -> None:
    """The files that a page's commands may name: recipes and modules that it shows, and data of the user's own."""
    for fence in fences(page):
        if fence.language in ("toml", "python") and (m := re.match(r"# ([\w.-]+\.(?:toml|py))\n", fence.text)):
            (directory / m[1]).write_text(fence.text, encoding="utf-8")
    pairs = toy.reviews(400, seed=1)
    files = {
        "demonstrations.jsonl": [{"prompt": p, "completion": r} for p, r in pairs],
        "prompts.jsonl": [{"prompt": p} for p, _ in pairs],
        "comparisons.jsonl": [
            {"prompt": p, "chosen": r, "rejected": other}
            for (p, r), (_, other) in zip(pairs[::2], pairs[1::2], strict=True)
            if r != other
        ],
    }
    answers = [(p, r, other) for (p, r), (_, other) in zip(pairs[::2], pairs[1::2], strict=True) if r != other]
    judged = ["prompt,response_a,response_b,winner,annotator,strength"]
    for i, (p, r, other) in enumerate(answers):
        judged += [f"{p},{r},{other},{'ab'[(i + who) % 5 > 2]},{name},2" for who, name in enumerate(("ann", "ben"))]
    (directory / "people.csv").write_text("\n".join(judged) + "\n", encoding="utf-8")
    (directory / "wrong.csv").write_text("\n".join([*judged[:2], judged[2][:-1] + "very"]) + "\n", encoding="utf-8")
    for name, content in files.items():
        (directory / name).write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")


@dataclass(frozen=True)
class Ran:
    """What came of a page: complaints about its commands, and about its Python."""

    commands: list[str]
    python: list[str]


def go_through(page: Path, directory: Path, environment: dict[str, str], forking: Any) -> Ran:
    """forking: what starts processes that have torch already; None for a shell's, as a reader would start them."""
    furnish(page, directory)
    if forking is None:
        environment = {k: v for k, v in environment.items() if k != "OMP_NUM_THREADS"}
    else:
        forking.folder = directory
    wrong = complaints(page, directory, environment, forking)
    return Ran(wrong, run_python(page, directory, environment, forking))


def complaints(page: Path, directory: Path, environment: dict[str, str], forking: Any) -> list[str]:
    """What is wrong with the page's commands, each run after the other."""
    wrong: list[str] = []
    ours = [sys.executable, "-m", "trueward"]
    for command in commands(page):
        where = f"{page.name}, line {command.line}: $ {command.text}"
        try:
            lines = runnable(command.text, directory, whole=forking is None)
        except ValueError as error:
            wrong.append(f"{where}\n{error}")
            continue
        for line in lines:
            words = shlex.split(line)
            if forking is not None and words[:3] == ours and not OPERATORS & set(words) and "*" not in line:
                code, stderr = forking.run(*words[3:])
            else:
                done = subprocess.run(
                    ["bash", "-o", "pipefail", "-c", line],
                    cwd=directory,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                )
                code, stderr = done.returncode, done.stderr
            complaint = command.shown.strip()
            if complaint.startswith("trueward: "):  # the page shows what goes wrong, and how it is said
                if code != 2 or stderr.strip().splitlines()[-1] != complaint:
                    wrong.append(f"{where}\nexit code {code}, expected 2 and the line shown\n{stderr}")
            elif code:
                wrong.append(f"{where}\n{line}\nexit code {code}\n{stderr[-2000:]}")
    return wrong


CELLS = """
import linecache

def run_cell(text, name):
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)  # as a notebook does: functions have a source
    exec(compile(text, name, "exec"), globals())

"""


def run_python(page: Path, directory: Path, environment: dict[str, str], forking: Any) -> list[str]:
    """The page's Python, one fence after the other in one process, as a reader would type it."""
    found = [fence for fence in fences(page) if fence.language == "python"]
    if not found:
        return []
    program = CELLS + "".join(f"run_cell({fence.text!r}, {f'{page.name}, line {fence.line}'!r})\n" for fence in found)
    if forking is not None:
        code, stderr = forking.run(program=program)
        return [stderr[-3000:]] if code else []
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=directory, env=environment, capture_output=True, text=True
    )
    return [done.stderr[-3000:]] if done.returncode else []


@pytest.fixture(scope="session")
def ran(
    tiny: Path,
    tmp_path_factory: pytest.TempPathFactory,
    environment: dict[str, str],
    request: pytest.FixtureRequest,
    make_processes: Any,
) -> dict[str, Ran]:
    """All pages gone through, two at a time; whole ones, which take all threads, one after the other."""
    longest = sorted(PAGES, key=lambda page: -len(commands(page)))
    folders = {page: tmp_path_factory.mktemp(page.stem) for page in longest}

    def names(page: Path) -> str:
        return page.relative_to(ROOT).as_posix()

    if request.config.getoption("--whole", default=False):
        return {names(page): go_through(page, folders[page], environment, None) for page in longest}
    idle: SimpleQueue[Any] = SimpleQueue()

    def page_by_page(page: Path) -> Ran:
        forking = idle.get()
        try:
            return go_through(page, folders[page], environment, forking)
        finally:
            idle.put(forking)

    with ExitStack() as stack:
        for _ in range(2):
            idle.put(
                stack.enter_context(
                    make_processes(tmp_path_factory.mktemp("processes"), environment, REFERENCE_PROMPTS)
                )
            )
        with ThreadPoolExecutor(2) as pool:
            futures = {names(page): pool.submit(page_by_page, page) for page in longest}
        return {name: future.result() for name, future in futures.items()}


@pytest.mark.parametrize("name", NAMES)
def test_every_command_runs(ran: dict[str, Ran], name: str) -> None:
    assert not (wrong := ran[name].commands), "\n\n".join(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_every_python_example_runs(ran: dict[str, Ran], name: str) -> None:
    assert not (wrong := ran[name].python), "\n\n".join(wrong)


def test_commands_that_can_not_be_run_are_found(tmp_path: Path) -> None:
    for text in (
        "curl https://example.org",
        "make nothing",
        "pip install 'trueward[nothing]'",
        "trueward run | sponge",
    ):
        with pytest.raises(ValueError, match=r"can't be run|no target|no extra"):
            runnable(text, tmp_path, whole=False)
    assert runnable("git clone https://example.org/x.git", tmp_path, whole=False) == []
    (line,) = runnable("trueward run reviews --set policy.kl_coef=0", tmp_path, whole=False)
    assert "--out runs/reviews,policy.kl_coef=0 " in line
    assert "model.base=trueward:tiny" in line
    assert runnable("trueward run tiny", tmp_path, whole=True) == [f"{sys.executable} -m trueward run tiny"]


# The links.


def anchor(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("name", NAMES)
def test_every_link_and_path_leads_somewhere(name: str) -> None:
    page = ROOT / name
    text = prose(page)
    for link in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, part = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{name}: {link}"
        if part:
            headings = re.findall(r"^#+ (.*)$", prose(target), re.MULTILINE)
            assert part in map(anchor, headings), f"{name}: {link}"
    ours = r"`((?:src|tests|docs|scripts|benchmarks|examples|\.ci)/[\w./-]+|[\w./-]+/[\w-]+\.(?:py|jinja|sh))`"
    for path in re.findall(ours, text):
        assert any((base / path).exists() for base in (ROOT, ROOT / "src", ROOT / "src/trueward")), f"{name}: {path}"
