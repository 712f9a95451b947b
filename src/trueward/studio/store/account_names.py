"""Names of accounts: which are valid, and which two a person could take for one another.

A small, strict part of UTS 39: names as NFKC writes them, letters of one script, and no look-alikes of other names.
"""

from __future__ import annotations

import re
import unicodedata

NAME = re.compile(r"\w[\w .@+-]{0,78}")
EXPECTED = "expected letters, digits, single spaces and . @ + - _, at most 79"
EAST = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "KATAKANA-HIRAGANA"})  # written together
# letters that look like a Latin one, in small and in capital form
LATIN = dict(zip("аеорсухіјѕһԁԛԝӏкмтвнαοριυνκτχγεηβμμ", "aeopcyxijshdqwlkmtbhaopiuvktxyehbmm", strict=True)) | {
    "ı": "i", "ſ": "s", "0": "o", "1": "l",
}  # fmt: skip


def mistake(name: str) -> str:
    """What is wrong with a new account's name; "" if nothing is."""
    if not NAME.fullmatch(name) or name != " ".join(name.split(" ")).strip() or "  " in name:
        return EXPECTED
    if unicodedata.normalize("NFKC", name) != name:
        return "expected letters and digits in their ordinary form, without ligatures or wide ones"
    letters = [c for c in name if c.isalpha()]
    if any(c.isnumeric() and not c.isascii() for c in name) or any("\u0250" <= c <= "\u036f" for c in letters):
        return EXPECTED
    scripts = {unicodedata.name(c, "?").split()[0] for c in letters}
    scripts = {"EAST" if script in EAST else script for script in scripts}
    if len(scripts) > 1:
        named = " and ".join(sorted(script.capitalize() for script in scripts))
        return f"expected letters of one script, got {named}, which can look alike"
    return ""


def skeletons(name: str) -> tuple[str, str]:
    """Two spellings by which look-alikes are equal: without regard to case, and with I as l."""
    one, other = ("".join(LATIN.get(c, c) for c in text.casefold()) for text in (name, name.replace("I", "l")))
    return one, other


def alike(name: str, other: str) -> bool:
    """Whether a person could take one name for the other."""
    return any(one == two for one, two in zip(skeletons(name), skeletons(other), strict=True))
