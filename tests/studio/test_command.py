"""`trueward studio` and what recipes and models have to do with it, as commands."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from trueward.studio import serve
from trueward.studio.store import accounts, counts, projects
from trueward.studio.store import tables as t
from trueward.studio.store.database import Database

Command = Callable[..., tuple[int, str, str]]


def test_another_address_is_refused_until_there_is_an_admin_with_a_password(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for flags in (("--host", "0.0.0.0"), ("--url", "https://studio.example")):  # noqa: S104
        code, out, err = command("studio", "--data", str(tmp_path / "s"), *flags)
        assert (code, out) == (2, "")
        assert "an admin with a password comes first" in err
    database = Database(tmp_path / "s")
    database.write(lambda c: accounts.create(c, "boss", "annotator", "long enough"))
    with pytest.raises(ValueError, match="comes first"):
        serve.serve(tmp_path / "s", "", tmp_path, "0.0.0.0", 0)  # noqa: S104
    database.write(lambda c: accounts.create(c, "ada", "admin", "long enough"))
    monkeypatch.setattr(serve.uvicorn.Server, "run", lambda self, sockets: None)
    serve.serve(tmp_path / "s", "", tmp_path, "0.0.0.0", 0)  # noqa: S104
    database.close()


def test_the_address_is_printed_and_wrong_ones_are_one_line(command: Command, tmp_path: Path) -> None:
    code, _, err = command("studio", "--url", "studio.example")
    assert code == 2
    assert "expected http" in err
    code, _, err = command("studio", "--host", "no.such.host.invalid")
    assert code == 2
    assert err.count("\n") == 1


def test_accounts_and_tokens(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("studio", "account", "anna")
    assert code == 0
    invite = out.split("#key=")[1].strip()
    code, out, _ = command("studio", "token", "anna", "--label", "mine")
    assert code == 0
    database = Database(tmp_path / "studio")
    who = database.write(lambda c: accounts.who(c, out.strip(), "token"))
    assert who is not None
    assert (who.name, who.role) == ("anna", "annotator")
    assert database.write(lambda c: accounts.enter(c, invite))
    database.close()
    code, _, err = command("studio", "token", "nobody")
    assert (code, err.strip()) == (2, "trueward: there is no account 'nobody'")
    code, _, err = command("studio", "account", "x", "--role", "king")
    assert code == 2
    assert "viewer, annotator or admin" in err


def test_a_recipe_that_names_no_closed_round_is_refused_at_once(command: Command) -> None:
    for change in ("comparisons.source=studio:none", "data.demonstrations=studio:none"):
        code, _, err = command("run", "tiny", "--set", change)
        assert code == 2
        assert "no closed round" in err
    code, _, err = command("run", "tiny", "--set", "comparisons.source=people")
    assert code == 2
    assert "expected simulated, file, demonstrations, judge or studio:NAME" in err


def test_a_model_makes_pairs(command: Command, baseline: Path, tmp_path: Path) -> None:
    asked = ("comparisons", "make", "--model", f"{baseline}/sft", "--project", "p", "-n", "9", "--max-new-tokens", "8")
    code, out, err = command(*asked, "--overlap", "3", "--instructions", "the shorter one")
    assert code == 0, err
    database = Database(tmp_path / "studio")
    with database.reading() as connection:
        project = projects.get(connection, "p")
        items = counts.short(connection, project)["round"]["items"]
        needed = counts.short(connection, project)["round"]["needed"]
    assert out.startswith(f"p: {items} pairs to judge from 9 prompts")
    assert 5 <= items <= 9
    assert needed == 3 * items
    assert project.instructions == "the shorter one"
    code, out, _ = command(*asked)  # the same seed, the same answers: nothing is added
    assert out.startswith("p: 0 pairs")
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"prompt": "a film"}) + "\n")
    code, out, _ = command(*asked, "--prompts", "prompts.jsonl", "--against", str(baseline))
    assert out.startswith("p: 1 pairs")
    database.close()


@pytest.mark.parametrize("strategy", ["d-optimal", "gap"])
def test_a_reward_model_says_which_pairs_to_ask_about(
    command: Command, baseline: Path, tmp_path: Path, strategy: str
) -> None:
    asked = ("comparisons", "make", "--model", f"{baseline}/sft", "--project", "p", "-n", "10", "--max-new-tokens", "8")
    code, out, err = command(*asked, "--select", strategy, "--reward", str(baseline), "--random-share", "0.3")
    assert code == 0, err
    assert out.startswith("p: 10 pairs to judge from 40 prompts")
    database = Database(tmp_path / "studio")
    with database.reading() as connection:
        rows = connection.execute(select(t.item.c.strategy, t.item.c.propensity)).all()
    database.close()
    assert Counter(row.strategy for row in rows) == {strategy: 7, "random": 3}
    assert {row.propensity for row in rows if row.strategy == strategy} == {1.0}
    assert {row.propensity for row in rows if row.strategy == "random"} <= {3 / n for n in range(20, 34)}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--model", "x", "--project", "p", "--select", "gap"), "use a reward model"),
        (("--model", "x", "--project", "p", "--reward", "r"), "use a reward model"),
        (("--model", "x", "--project", "p", "--select", "best"), "expected random, d-optimal or gap"),
        (("--model", "x", "--project", "p"), "brings its own"),
        (("--model", "x", "--project", "p", "--prompts", "none.jsonl"), "none.jsonl"),
        (("--model", "x", "--project", "p", "--temperature", "0"), "would answer twice the same"),
    ],
)
def test_what_cannot_be_made(command: Command, flags: Any, said: str) -> None:
    code, _, err = command("comparisons", "make", *flags)
    assert code == 2
    assert said in err
