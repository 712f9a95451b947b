"""The command line: what starts without torch, what is printed where, and which exit code says what."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward import __version__, config
from trueward.cli import app, terminal

Command = Callable[..., tuple[int, str, str]]
COMMANDS = (
    "run",
    "sft",
    "reward-model",
    "ppo",
    "sample",
    "chat",
    "merge",
    "push",
    "verify",
    "report",
    "doctor",
    "profile",
    "frontier",
    "sweep",
    "evaluate",
    "audit",
    "recipes",
    "lab",
)
GROUPS = {
    "comparisons": ("import", "agree", "export", "make"),
    "verifiers": ("list", "test"),
    "reward": ("test",),
    "studio": ("account", "token", "tokens", "revoke"),
}
WITHOUT_TORCH = """
import sys
sys.argv = ["trueward", *{arguments}]
from trueward.cli import app
try:
    app.main()
except SystemExit as stop:
    assert not stop.code, stop.code
heavy = sorted({{"torch", "transformers", "sklearn", "datasets"}} & set(sys.modules))
assert not heavy, heavy
"""


def test_every_command_is_listed() -> None:
    names = {c.name or (c.callback.__name__ if c.callback else "") for c in app.app.registered_commands}
    assert names == set(COMMANDS)
    groups = {
        g.name if isinstance(g.name, str) else g.typer_instance.info.name: g.typer_instance.registered_commands
        for g in app.app.registered_groups
    }
    assert {name: tuple(c.name or c.callback.__name__ for c in own) for name, own in groups.items()} == GROUPS


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["recipes"], ["recipes", "tiny"], *([c, "--help"] for c in (*COMMANDS, *GROUPS))],
)
def test_starts_without_torch(arguments: list[str]) -> None:
    script = WITHOUT_TORCH.format(arguments=arguments)
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


HUGE = """
import sys
from pathlib import Path
sys.argv = ["trueward", "--version"]
from trueward.cli import app
try:
    app.main()
except SystemExit:
    pass
import torch
block = torch.ones(1 << 24)  # 64 MB
print(next(line for line in Path("/proc/self/smaps_rollup").read_text().splitlines() if "AnonHugePages" in line))
"""


def test_large_blocks_come_in_huge_pages() -> None:
    """Where the system has them: the command line tells torch before it allocates anything."""
    there = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not Path("/proc/self/smaps_rollup").is_file() or not there.is_file() or "[never]" in there.read_text():
        pytest.skip("this system has no transparent huge pages, or doesn't say so")
    environment = {name: value for name, value in os.environ.items() if name != app.HUGE_PAGES[0]}
    done = subprocess.run([sys.executable, "-c", HUGE], capture_output=True, text=True, check=True, env=environment)
    # kB, one huge page: without the setting there is none; how many of the 64 MB is up to how whole the system's memory is
    assert int(done.stdout.splitlines()[-1].split()[1]) >= 2_048


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "trueward", "--version"], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"trueward {__version__}\n", "")


def test_help_names_every_command(command: Command) -> None:
    for arguments in (["--help"], ["-h"]):
        code, out, err = command(*arguments)
        assert (code, err) == (0, "")
        assert all(name in out for name in (*COMMANDS, *GROUPS))


def test_no_command(command: Command) -> None:
    code, out, err = command()
    assert code in (0, 2)  # the help, or a line that names it
    assert "--help" in out + err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["climb"],
        ["run", "--fast"],
        ["run", "tiny", "--out"],
        ["run", "tiny", "twice"],
        ["ppo"],
        ["sft", "--learning-rate=fast"],
        ["sample", "m", "--count=0"],
    ],
)
def test_wrong_usage_is_one_line(command: Command, tmp_path: Path, arguments: list[str]) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("trueward: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("a\nb  c"), 2, "a b c"),
        (OSError(28, "No space left on device", "runs/x"), 2, "runs/x: No space left on device"),
        (OSError("odd"), 2, "odd"),
        (KeyboardInterrupt(), 130, "stopped; the same command goes on from here"),
    ],
)
def test_errors_become_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(config, "read", fail)
    assert command("run", "tiny") == (code, "", f"trueward: {line}\n")


def test_recipes_are_listed_and_printed(command: Command, tmp_path: Path) -> None:
    code, out, err = command("recipes")
    assert (code, err) == (0, "")
    assert [row.split()[0] for row in out.splitlines()] == sorted(config.shipped())
    for name in config.shipped():
        code, out, err = command("recipes", name)
        assert (code, err) == (0, "")
        (tmp_path / "printed.toml").write_text(out, encoding="utf-8")
        assert config.read(str(tmp_path / "printed.toml")) == config.read(name)
        short = command("recipes", name, "--short")
        assert short == (0, config.shipped()[name], "")


def test_report(command: Command, baseline: Path) -> None:
    (baseline / "report.html").unlink()
    code, out, err = command("report", str(baseline))
    assert (code, err) == (0, "")
    for word in ("SFT", "policy", "best", "win rate", str(baseline / "report.html")):
        assert word in out
    assert (baseline / "report.html").read_text() == (baseline / "report/report.html").read_text()
    assert "test z = " not in out
    code, verbose, err = command("report", str(baseline), "--verbose")
    assert (code, err) == (0, "")
    assert "test z = " in " ".join(verbose.split())
    assert len(verbose) > len(out)
    code, out, err = command("report", str(baseline), "--json")
    assert (code, err) == (0, "")
    assert out == (baseline / "report.json").read_text()


def test_frontier(command: Command, baseline: Path, climb: Any, tmp_path: Path) -> None:
    climb(baseline.parent, "a dpo", "policy.kind=dpo")
    home = tmp_path / "runs"
    home.mkdir()
    (home / "ppo").symlink_to(baseline)
    (home / "dpo").symlink_to(baseline.parent / "a dpo")
    code, out, err = command("frontier", "ppo", str(home / "dpo"))
    assert (code, err) == (0, "")
    for text in ("ppo β=0.1", "dpo β=0.1", "√KL", "has the highest truth", str(home / "frontier.html")):
        assert text in out
    assert "<!doctype html>" in (home / "frontier.html").read_text()
    (home / "frontier.html").unlink()
    code, out, err = command("frontier", "ppo", "dpo", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert {row["run"] for row in found["runs"]} == {"ppo β=0.1", "dpo β=0.1"}
    report = json.loads((baseline / "report.json").read_text())
    ppo = next(row for row in found["runs"] if row["kind"] == "ppo")
    assert ppo["final"]["truth"] == report["policies"]["policy"]["truth"]
    assert not (home / "frontier.html").exists()
    assert command("frontier", "ppo", "dpo", "--json", "--out", "new/page.html")[1] == out
    assert (tmp_path / "new/page.html").is_file()


def test_frontier_refuses_in_one_line(command: Command, baseline: Path, climb: Any, tmp_path: Path) -> None:
    climb(tmp_path, "short", until="prepare")
    for arguments, said in (
        ([], "Missing argument 'RUN...'."),
        (["nowhere"], "nowhere: there is no such run (neither a run's directory nor a name under runs/)"),
        (
            [str(baseline), str(tmp_path / "short")],
            f"{tmp_path / 'short'}: has no report yet; `trueward run` makes one",
        ),
    ):
        assert command("frontier", *arguments) == (2, "", f"trueward: {said}\n")
    climb(tmp_path, "other", "sft.epochs=0.2")
    code, out, err = command("frontier", str(baseline), str(tmp_path / "other"))
    assert (code, out) == (2, "")
    assert err == (
        "trueward: baseline and other can't stand on one axis: their SFT policies differ (sft.epochs is 0.1 and 0.2)\n"
    )
    (tmp_path / "other/pipeline.json").write_text("[1]")
    assert command("frontier", str(tmp_path / "other"))[2].startswith(
        f"trueward: {tmp_path / 'other/pipeline.json'}: damaged"
    )
    assert not list(tmp_path.rglob("frontier.html"))


def test_report_is_the_documented_contract(baseline: Path) -> None:
    report = json.loads((baseline / "report.json").read_text())
    assert report["format"] == 2
    assert config.resolve(report["recipe"], "report").name == "tiny"
    assert list(report["seconds"]) == ["prepare", "sft", "comparisons", "reward_model", "policy", "evaluation"]
    figures = {
        "proxy",
        "truth",
        "truths",
        "win_rate",
        "win_rate_low",
        "win_rate_high",
        "kl",
        "length",
        "eos_rate",
        "distinct_1",
    }
    assert set(report["policies"]) == {"base", "sft", "policy", "best"}
    assert all(figures <= set(row) for row in report["policies"].values())
    assert {"accuracy", "accuracy_low", "accuracy_high", "nll", "agreement"} <= set(report["reward_model"])
    assert [row["step"] for row in report["history"]] == [0, 1, 2, 3]
    assert set(report["verdict"]) == {"word", "rule", "numbers", "best_step"}
    assert report["verdict"]["best_step"] == report["best_step"]
    assert all(row["verdict"] for row in report["history"])
    assert report["peak_memory_mb"] > 0


def test_a_run_by_its_name(command: Command, baseline: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(baseline)
    assert command("report", "mine", "--json")[1] == (baseline / "report.json").read_text()
    assert terminal.run_directory(str(baseline)) == baseline


def test_sample(command: Command, baseline: Path) -> None:
    prompts = ["--prompt", "the new film", "-p", "a quiet story about love"]
    code, out, err = command("sample", str(baseline), *prompts, "--max-new-tokens=12")
    assert (code, err) == (0, "")
    assert "the new film" in out
    assert "a quiet story" in out
    assert command("sample", str(baseline), *prompts, "--max-new-tokens=12")[1] == out
    assert command("sample", str(baseline), *prompts, "--max-new-tokens=12", "--seed=1")[1] != out
    assert command("sample", str(baseline), *prompts, "-n", "3")[1].count("new") >= 3


def test_sample_compares_two_models(command: Command, baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    other = str(baseline / "sft")
    arguments = ["-p", "the new film", "--temperature=0", "--max-new-tokens=12"]
    code, out, err = command("sample", str(baseline), "--compare", other, *arguments)
    assert (code, err) == (0, "")
    header = next(row for row in out.splitlines() if "prompt" in row)
    assert str(baseline) in header
    assert other in header
    alone = command("sample", other, *arguments)[1].splitlines()
    answer = next(row for row in alone if "the new film" in row).split("│")[2].strip()
    assert answer
    assert answer in out


def test_sample_reads_prompts_from_standard_input(
    command: Command, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", iter(["the new film\n", "\n", "a long story\n"]))
    code, out, _ = command("sample", str(baseline / "sft/model"))
    assert code == 0
    assert "the new film" in out
    assert "a long story" in out


def test_sample_of_a_run_without_a_model(command: Command, tmp_path: Path, climb: Any) -> None:
    climb(tmp_path, "run", until="prepare")
    run = str(tmp_path / "run")
    assert command("sample", run, "-p", "hi") == (2, "", f"trueward: {run}: this run has no model yet\n")
