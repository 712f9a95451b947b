"""A recipe started on a project's page, seen there and on its own page, and ended."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward.records import Prompt
from trueward.studio.runs.starting import RunStarter
from trueward.studio.store import answers, projects, queue, rounds

PROGRAM = """
import os, sys, time
out = sys.argv[sys.argv.index("--out") + 1]
os.makedirs(out)
open(os.path.join(out, "recipe.toml"), "w").write('name = "tiny"\\n[comparisons]\\nsource = "studio:pairs"\\n')
open(os.path.join(out, "pipeline.json"), "w").write('[{"name": "sft", "state": "running", "seconds": 0}]')
print("a line of its log", flush=True)
time.sleep(600)
"""


def closed_round(connection: Any, folder: Path) -> None:
    projects.create(connection, "pairs")
    project = projects.get(connection, "pairs")
    projects.add_pairs(connection, project, [projects.pair(Prompt(text="q"), ("a", "b"), ("", ""), (True, True))])
    (item,) = queue.take(connection, project, 1, 1)
    answers.store(connection, 1, answers.Answer(item["assignment"], "a first key", "win", side="left"))
    rounds.close(connection, folder, project)


def test_a_recipe_is_started_watched_and_ended(
    served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check_page: Callable[[Any, str], None]
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    spawn = RunStarter._spawn

    def put(self: RunStarter, command: list[str], about: dict[str, Any]) -> None:
        spawn(self, [sys.executable, str(program), *command[3:]], about)

    monkeypatch.setattr(RunStarter, "_spawn", put)
    boss = served.enter("boss", "admin", bypass_csp=True)
    served.studio.database.write(lambda c: closed_round(c, served.studio.data))
    boss.goto(f"{served.address}/projects/pairs")
    boss.locator("text=What became of them").wait_for()
    boss.wait_for_timeout(300)
    assert boss.locator("[data-test=start-run]").count() == 0  # not allowed
    served.studio.starter = starter = RunStarter(served.studio.runs.home, served.studio.data)
    try:
        boss.reload()
        form = boss.locator("[data-test=start-run]")
        form.get_by_label("Recipe").select_option("tiny")
        assert form.get_by_label("Name of the run").input_value() == "pairs-1"
        form.get_by_role("button", name="Start").click()
        boss.locator("[data-test=started]", has_text="running").wait_for()
        assert form.get_by_role("button", name="Start").is_disabled()
        form.locator("summary", has_text="Its log").click()
        form.locator("pre", has_text="a line of its log").wait_for()
        check_page(boss, "a project whose run goes on")
        boss.locator("[data-test=readers]", has_text="pairs-1").wait_for()
        form.get_by_role("link", name="Its page").click()
        boss.get_by_role("heading", name="pairs-1").wait_for()
        boss.go_back()
        boss.get_by_role("button", name="Stop it").click()
        boss.locator("[data-test=started]", has_text="stopped").wait_for()
    finally:
        starter.stop()
        if starter.process is not None:
            starter.process.wait(timeout=30)
