"""Names of other tools: each is answered with ours, and docs/from-trl.md says the same as the program."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from trueward import config
from trueward.config import other_tools, other_tools_pages
from trueward.config.other_tools import ELSEWHERE, SETTINGS, Same
from trueward.config.other_tools_pages import FORMATS, METRICS, TRAINERS
from trueward.config.reading import settings

Command = Callable[..., tuple[int, str, str]]
DOCS = Path(__file__).parents[2] / "docs"
WANTED = """
    beta lr packing max_length per_device_train_batch_size num_generations num_train_epochs gradient_accumulation_steps lam
    max_prompt_length max_completion_length response_length kl_ctl actor_learning_rate init_kl_coef cliprange vf_coef gamma
    top_p lora_r lora_alpha bf16 gradient_checkpointing report_to output_dir cutoff_len sequence_len n_samples_per_prompt
"""


def refusal(override: str, recipe: str = "tiny") -> str:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        config.read(recipe, [override] if override else [])
    return str(caught.value)


def test_what_is_answered_with_is_a_setting_and_stands_once() -> None:
    known = set(settings())
    assert {ours for same in SETTINGS for ours in same.ours} - known == {"--out"}
    assert all(same.ours or same.remark for same in (*SETTINGS, *TRAINERS, *FORMATS))
    assert not [name for name, times in Counter(n for same in SETTINGS for n in same.names).items() if times > 1]
    assert set(WANTED.split()) <= set(ELSEWHERE)
    assert not set(ELSEWHERE) & known


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_each_name_is_answered_with_ours(name: str) -> None:
    same, line = ELSEWHERE[name], refusal(f"{name}=1")
    assert line.startswith(f"tiny: {name} ")
    assert all(ours in line for ours in same.ours)
    assert ("has no counterpart here" in line) == (not same.ours)


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("policy.beta=0.1", "policy.beta is policy.kl_coef here (rewards are in SDs"),
        ("policy.lr=1", "policy.lr is policy.learning_rate here"),
        ("sft.num_train_epochs=1", "sft.num_train_epochs is sft.epochs here"),
        ("reward.per-device-train-batch-size=1", "reward.per-device-train-batch-size is reward.batch_size here"),
        ("actor_rollout_ref.actor.clip_ratio=1", "actor_rollout_ref.actor.clip_ratio is policy.clip here"),
        ("sampler.top_p=1", "sampler.top_p has no counterpart here ("),
        ("policy.temperature=1", "unknown key policy.temperature; did you mean sampler.temperature or"),
        ("policy.seed=1", "unknown key policy.seed; did you mean seed?"),
        ("kl_coef=1", "unknown key kl_coef; did you mean policy.kl_coef?"),
        ("policy.kl_coeff=1", "unknown key policy.kl_coeff; did you mean kl_coef?"),
        ("policy.wibble=1", "unknown key policy.wibble; `trueward recipes tiny` prints every setting"),
    ],
)
def test_a_name_in_a_section_is_answered_for_that_section(override: str, answer: str) -> None:
    line = refusal(override)
    assert line.startswith(f"tiny: {answer}")
    assert len(line) < 200


def test_in_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[policy]\nnum_generations = 4\n", encoding="utf-8")
    assert refusal("", str(path)) == f"{path}: policy.num_generations is policy.group.size here"


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        ("--beta", "--beta is policy.kl_coef here ("),
        ("--num-generations", "--num-generations is policy.group.size here; settings are given as --set KEY=VALUE"),
        ("--kl-coef", "--kl-coef: settings are given as --set policy.kl_coef=VALUE"),
        ("--wibble", "No such option: --wibble"),
    ],
)
def test_as_an_option_of_the_command_line_too(command: Command, option: str, answer: str) -> None:
    code, out, err = command("run", "tiny", option, "1")
    assert (code, out) == (2, "")
    assert err.startswith(f"trueward: {answer}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["TRAINERS", "SETTINGS", "METRICS", "FORMATS"])
def test_the_page_has_the_programs_tables(name: str) -> None:
    headings = {
        "TRAINERS": "Trainers and commands",
        "SETTINGS": "Settings and flags",
        "METRICS": "Figures",
        "FORMATS": "Data",
    }
    text = (DOCS / "from-trl.md").read_text(encoding="utf-8")
    section = text.partition(f"## {headings[name]}\n")[2].partition("\n## ")[0]
    rows = [row for row in re.findall(r"^\| (.*) \|$", section, re.MULTILINE) if not row.startswith("here |")]
    assert rows == [row(same) for same in getattr(other_tools if name == "SETTINGS" else other_tools_pages, name)]


def row(same: Same) -> str:
    """A row of the page's tables."""
    ours, names = ([n if "`" in n else f"`{n}`" for n in part] for part in (same.ours, same.names))
    return f"{', '.join(ours) or 'none'} | {', '.join(names)} | {same.remark}"


def test_the_figures_exist() -> None:
    known = set(re.findall(r"^\| `([^`]+)` \|", (DOCS / "metrics.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert {ours for same in METRICS for ours in same.ours} <= known


def test_trainers_are_commands_or_settings(command: Command) -> None:
    """A command with its options, a setting with a value, or a setting or a table by its name."""
    judge = ("judge.model=m", "judge.endpoint=http://localhost:1/v1")
    for ours in {ours for same in TRAINERS for ours in same.ours}:
        if ours.startswith("trueward "):
            name, *options = ours.split()[1:]
            code, page, _ = command(name, "--help")
            assert code == 0
            assert all(option in page for option in options if option.startswith("--"))
        elif "=" in ours:
            config.read("tiny", [ours, *(judge if ours.endswith("=judge") else ())])
        else:
            assert ours.strip("[]") in settings()
