"""A number, within a tolerance and in any unit of the same kind."""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar, NamedTuple

from pydantic import Field

from trueward.records import Prompt, Score
from trueward.scorers.verifiers.final import final, only_ascii_digits
from trueward.scorers.verifiers.verifier import Options, Verifier, passed

UNITS: dict[str, tuple[str, float]] = {
    **{u: ("length", f) for u, f in (("mm", 1e-3), ("cm", 1e-2), ("m", 1.0), ("km", 1e3))},
    **{u: ("mass", f) for u, f in (("mg", 1e-6), ("g", 1e-3), ("kg", 1.0), ("t", 1e3))},
    **{u: ("time", f) for u, f in (("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0))},
    **{u: ("volume", f) for u, f in (("ml", 1e-3), ("l", 1.0))},
    "%": ("share", 1e-2),
}
"""Units: the kind of quantity, and how many base units one is."""
NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>[+\-−]?)\s?(?P<digits>[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?!\.?[0-9])"
    r"(?:[eE](?P<power>[+\-]?[0-9]{1,3}))?(?:\s?/\s?(?P<below>[0-9]+(?:\.[0-9]+)?))?"
    r"(?:\s?(?P<unit>%|[A-Za-zµ]+))?"
)


class Quantity(NamedTuple):
    """A value in the base unit of its kind; a number without a unit is of the kind ""."""

    value: float
    kind: str


class NumericOptions(Options):
    """Options of `numeric`."""

    absolute: float = Field(0.0, ge=0, allow_inf_nan=False)
    """How far off the key an answer may be, in base units (m, kg, s, l, or 1)."""
    relative: float = Field(1e-6, ge=0, lt=1)
    """How far off it may be as a share of the key."""
    marker: str = Field("", max_length=80)
    """The number stands after the last place of this text; empty: after ####, "answer is" or in \\boxed{}."""
    unit_needed: bool = True
    """Whether an answer to a key with a unit needs one too."""


class Numeric(Verifier[NumericOptions]):
    """Scores 1 for one number within the tolerance of the answer key."""

    summary = "the answer's only number, within a tolerance, in any unit of the key's kind"
    options_type = NumericOptions
    example_options: ClassVar[dict[str, Any]] = {"relative": 0.001}
    examples = (
        Prompt(text="What is 6 · 7?", answer="42"),
        Prompt(text="How far is it from Bonn to Köln?", answer="26.4 km"),
        Prompt(text="What is 1 − 1.5?", answer="-1/2"),
    )

    def check(self, answer: str) -> None:
        """As `Verifier`; the key has to be one number."""
        super().check(answer)
        if self.only(answer) is None:
            raise ValueError(f"expected an answer key with one number, got {answer[:60]!r}")

    def only(self, text: str, marker: str = "") -> Quantity | None:
        """The one number of the final answer; None if there is none, or several."""
        last = final(text, marker)
        if last is None or not only_ascii_digits(last):
            return None
        numbers = quantities(last)
        return numbers[0] if len(numbers) == 1 else None

    def judge(self, response: str, answer: str) -> Score:
        """1 if the final answer is one number, of the kind of the key and within the tolerance."""
        key, quantity = self.only(answer), self.only(response, self.options.marker)
        if key is None or quantity is None:
            return passed(False, "not one number")
        if quantity.kind != key.kind and (quantity.kind or self.options.unit_needed):
            return passed(False, "another kind of unit")
        value = quantity.value
        if quantity.kind != key.kind:  # no unit: then it's meant in the key's
            value *= unit_of(answer)
        off = max(self.options.absolute, self.options.relative * abs(key.value))
        return passed(abs(value - key.value) <= off, "another number")

    def right(self, answer: str) -> str:
        """The key, after the marker if there is one."""
        last = final(answer)
        return f"{self.options.marker} {last}".strip()

    def wrong(self, answer: str) -> dict[str, str]:
        """The key among other numbers, and a range."""
        last = final(answer)
        return {"the answer among others": f"-12345.5 {last} 12345.5", "a range": f"-1e9 to 1e9, so {last}"}


def quantities(text: str) -> list[Quantity]:
    """The numbers in a text with their units, equal ones once; a word that is no unit is ignored."""
    distinct: dict[Quantity, None] = {}
    for match in NUMBER.finditer(text):
        value = float(match["digits"].replace(",", "")) * 10.0 ** int(match["power"] or 0)
        below = float(match["below"] or 1)
        kind, factor = UNITS.get(match["unit"] or "", ("", 1.0))
        value = (-value if match["sign"] in ("-", "−") else value) / below * factor if below else math.nan
        distinct[Quantity(value, kind)] = None
    return list(distinct)


def unit_of(text: str) -> float:
    """The unit of a text's first number, in base units."""
    match = NUMBER.search(final(text) or "")
    return UNITS.get(match["unit"] or "", ("", 1.0))[1] if match else 1.0
