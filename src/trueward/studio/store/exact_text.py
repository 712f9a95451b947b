"""Texts that a database keeps as they are."""

from __future__ import annotations

from sqlalchemy import Text, TypeDecorator
from sqlalchemy.engine import Dialect

MARK = "\U0010ffff"  # a character that stands for nothing, and no text has


class ExactText(TypeDecorator[str]):
    """A model's text as it is, NUL characters too, for which PostgreSQL has no place: there they are written with a mark."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as the database keeps it."""
        if value is None or dialect.name == "sqlite":
            return value
        return value.replace(MARK, f"{MARK}1").replace("\0", f"{MARK}0")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as it was."""
        if value is None or dialect.name == "sqlite" or MARK not in value:
            return value
        return value.replace(f"{MARK}0", "\0").replace(f"{MARK}1", MARK)
