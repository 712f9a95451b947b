"""The verdict on a run, as report.json has it."""

from __future__ import annotations

from trueward.evaluation.contracts.contract import Contract, Figure
from trueward.evaluation.verdict import Word


class VerdictNumbers(Contract):
    """The numbers that decided. One that played no part is missing."""

    step: int | None = None
    """The step of the last evaluation."""
    evaluations: int | None = None
    """Evaluations of a trained policy so far: which test of how many this one is."""
    truth_gain: Figure = None
    """The truth above SFT's, by prompt, SDs."""
    truth_gain_se: Figure = None
    """Its standard error."""
    truth_gain_z: Figure = None
    """Its test against 0, as a normal score."""
    needed_z: Figure = None
    """The score that this test has to reach, below 0 where the truth is below SFT's."""
    proxy_gain: Figure = None
    """The proxy above SFT's, by prompt, SDs."""
    proxy_gain_se: Figure = None
    """Its standard error."""
    kl: Figure = None
    """KL to the SFT policy, nats."""
    kl_se: Figure = None
    """Its standard error."""
    peak_step: int | None = None
    """The step of the truth's peak, where it is down from one."""
    drop: Figure = None
    """How far the truth is down from it on fresh answers, SDs."""
    drop_low: Figure = None
    """Lower end of its 95 % interval."""
    drop_high: Figure = None
    """Upper end."""
    drop_z: Figure = None
    """Its test against 0, as a normal score."""
    drop_needed_z: Figure = None
    """The score that this test has to reach."""
    drop_least: Figure = None
    """The smallest drop that counts, SDs."""
    prompts_missing: int | None = None
    """Held-out prompts that are missing, where there are too few for a test or for a peak to be measured again."""
    accuracy: Figure = None
    """The reward model's accuracy on held-out comparisons, where that decided."""
    accuracy_low: Figure = None
    """Lower end of its 95 % interval."""
    accuracy_high: Figure = None
    """Upper end."""
    control_kl: Figure = None
    """The KL that the same run with a random reward reaches, nats."""
    control_kl_se: Figure = None
    """Its standard error."""


class VerdictRow(Contract):
    """The verdict in one word, with the rule that gave it."""

    word: Word
    """The verdict."""
    rule: str
    """The rule that gave it, in words."""
    numbers: VerdictNumbers
    """The numbers that decided."""
    best_step: int | None
    """The step of the highest truth in training, step 0 aside; null without truths or without training."""
