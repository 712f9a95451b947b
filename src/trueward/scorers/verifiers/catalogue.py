"""The verifiers that ship, by name, and how one is made from a name and a table of options."""

from __future__ import annotations

from typing import Any

from trueward.scorers.verifiers.choice import Choice
from trueward.scorers.verifiers.code import Code
from trueward.scorers.verifiers.constraints import ConstraintsVerifier
from trueward.scorers.verifiers.gym import Gym
from trueward.scorers.verifiers.match import Exact, Normalised
from trueward.scorers.verifiers.maths import Maths
from trueward.scorers.verifiers.numeric import Numeric
from trueward.scorers.verifiers.regex import Regex
from trueward.scorers.verifiers.schema import JsonSchema
from trueward.scorers.verifiers.verifier import Verifier, read_options

VERIFIERS: dict[str, type[Verifier[Any]]] = {
    "exact": Exact,
    "normalised": Normalised,
    "regex": Regex,
    "numeric": Numeric,
    "maths": Maths,
    "choice": Choice,
    "json_schema": JsonSchema,
    "constraints": ConstraintsVerifier,
    "code": Code,
    "gym": Gym,
}


def make(name: str, options: dict[str, Any], where: str) -> Verifier[Any]:
    """The verifier of that name with these options. where: what errors call the options. `ValueError` for an unknown name."""
    if name not in VERIFIERS:
        raise ValueError(
            f"there is no verifier {name!r}; those that ship are {', '.join(VERIFIERS)}, and module:function is one "
            "of your own"
        )
    kind = VERIFIERS[name]
    try:
        return kind(read_options(kind.options_type, options, where))
    except ImportError as error:
        raise ValueError(str(error)) from None
