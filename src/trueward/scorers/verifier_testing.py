"""`trueward verifiers test NAME`: the self-test on the verifier's own examples or a user's prompts, as a text."""

from __future__ import annotations

from typing import Any

from trueward.data import loading
from trueward.scorers.verifiers import catalogue, gym, selftest


def examine(name: str, prompts: str, options: dict[str, Any]) -> str:
    """A line for each kind of case, with the number of cases. `ValueError` names the first case that fails."""
    from trueward.scorers import own_verifier  # here, not above: it needs torch

    task = name.removeprefix(gym.PREFIX) if name.startswith(gym.PREFIX) else ""
    if own_verifier.is_own(name):
        tested, verifier = own_verifier.read(name, prompts, options)
    elif task or (name == "gym" and not prompts):
        tested = gym.prompts(task or "chain_sum", {"size": 20})
        verifier = catalogue.make("gym", options, "--option")
    else:
        kind = catalogue.VERIFIERS.get(name)
        own = {} if prompts or options or kind is None else kind.example_options
        verifier = catalogue.make(name, {**own, **options}, "--option")
        tested = loading.prompts(prompts).rows if prompts else list(verifier.examples)
    cases = selftest.examine(verifier, tested)
    if failed := [case for case in cases if not case.ok]:
        raise ValueError(f"{name} fails its self-test ({len(failed)} of {len(cases)} cases): {failed[0]}")
    lines = [f"{name} passes its self-test on {len(tested)} prompt{'s'[: len(tested) != 1]}:"]
    for what in dict.fromkeys(case.what for case in cases):
        group = [case for case in cases if case.what == what]
        lines.append(f"  {what:<32} {len(group):>4} × {group[0].expected:g}")
    return "\n".join(lines)
