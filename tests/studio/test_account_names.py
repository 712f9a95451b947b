"""Names that could be taken for others: a line's end behind them, letters of two scripts, look-alikes."""

from __future__ import annotations

from pathlib import Path

import pytest

from trueward import config
from trueward.data import snapshots
from trueward.studio.store import account_names, accounts, projects, tags
from trueward.studio.store.database import Database


@pytest.mark.parametrize(
    "name", ["anna", "Ünal", "Ana María", "Иван", "张伟", "たなかタ", "a.b@c-d+e_f", "x", "a" * 79]
)
def test_names_of_people_are_accepted(name: str) -> None:
    assert account_names.mistake(name) == ""


@pytest.mark.parametrize(
    "name", ["", "anna\n", "anna\r", "anna ", " anna", "an  na", "anna\u200b", "anna\u00a0", "\u202eanna", "аnna", "ａnna",
             "ﬁnn", "٣anna", "ɑnna", "anna\x00", "a\u0301", "a" * 80, "αnna", "<b>", "=1", "\ud800"]
)  # fmt: skip
def test_names_that_could_be_taken_for_others_are_refused(tmp_path: Path, name: str) -> None:
    database = Database(tmp_path)
    with pytest.raises(ValueError, match="expected"):
        database.write(lambda c: accounts.create(c, name, "annotator"))
    database.close()


@pytest.mark.parametrize(
    ("there", "new"), [("coco", "сосо"), ("Kal", "KaI"), ("anna", "Anna"), ("user10", "userlO"), ("owner", "0wner"),
                       ("ana maria", "Ana Maria"), ("paypal1", "paypaIl")]
)  # fmt: skip
def test_look_alikes_are_refused(tmp_path: Path, there: str, new: str) -> None:
    database = Database(tmp_path)
    database.write(lambda c: accounts.create(c, there, "annotator"))
    with pytest.raises(ValueError, match=f"looks like {there}"):
        database.write(lambda c: accounts.create(c, new, "annotator"))
    for other in ("Kai", "anni", "user 11"):
        database.write(lambda c, other=other: accounts.create(c, other, "annotator"))
    database.close()


def test_no_name_has_a_lines_end_behind_it(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with pytest.raises(ValueError, match="expected letters"):
        database.write(lambda c: projects.create(c, "films\n"))
    with pytest.raises(ValueError, match="expected letters"):
        database.write(lambda c: tags.change(c, "run", ["good\ntag", "x\n.\n"]))
    database.close()
    with pytest.raises(ValueError, match="expected studio:NAME"):
        snapshots.snapshots("studio:films\n", tmp_path)
    for table in ({"name": "mine\n"}, {"runtime": {"device": "cpu\n"}}, {"runtime": {"judge": {"key": "KEY\n"}}},
                  {"policy": {"kind": "mine:loop\n"}}, {"policy": {"loss": "mine:loss\n"}},
                  {"evaluation": {"truths": ["people:films\n"]}}, {"reward": {"parts": [{"name": "a\n"}]}}):  # fmt: skip
        with pytest.raises(ValueError, match=r"mine\.toml: "):
            config.resolve(table, "mine.toml")
