"""Cells as a spreadsheet reads them: one that begins like a formula is run, unless an apostrophe stands before it."""

from __future__ import annotations

import unicodedata

SIGNS = frozenset("=+-@")
MARK = "'"


def runs(cell: str) -> bool:
    """Whether a sheet could run a cell.

    It begins with a sign of a formula, wide ones too, also after white space, controls and invisible characters (a byte order
    mark), which some sheets drop; or with a tab or a line's end, which may end the cell before it.
    """
    if cell[:1] in ("\t", "\r", "\n"):
        return True
    first = next((c for c in cell if not c.isspace() and unicodedata.category(c)[0] != "C"), "")
    return unicodedata.normalize("NFKC", first) in SIGNS


def quoted(cell: str) -> str:
    """The cell as it is written: with an apostrophe if a sheet could run it, or if it has one for that reason."""
    return MARK + cell if runs(cell.lstrip(MARK)) else cell


def unquoted(cell: str) -> str:
    """The text of a cell that `quoted` wrote."""
    return cell[1:] if cell.startswith(MARK) and runs(cell.lstrip(MARK)) else cell
