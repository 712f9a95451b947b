"""A session of the lab without the page: a preset, clicks, and the policy's path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trueward.lab import clicks, policy, presets, tilt, verdict
from trueward.lab.clicks import Click


@dataclass(frozen=True)
class Sitting:
    """The results of a session. `losses` has one value a click; `proxy` one a response."""

    preset: presets.Preset
    model: clicks.LabRewardModel
    losses: list[float]
    proxy: list[float]
    run: policy.LabRun
    verdict: verdict.LabVerdict

    @property
    def covariance(self) -> float:
        """Cov_π(r*, r̂) at the end of the path."""
        return tilt.covariance(self.run.policy, self.preset.truths, self.proxy)

    def sweep(self) -> list[tilt.Optimum]:
        """The closed form at 20 values of β."""
        return tilt.sweep(self.proxy, self.preset.truths, self.preset.reference)


def sit(
    name: str,
    stretches: Sequence[tuple[float, int]] = (),
    own_clicks: Sequence[Click] | None = None,
    *,
    seed: int = 1,
    lr: float = 0.5,
    blind: float | None = None,
) -> Sitting:
    """A session with `own_clicks`, or the preset's annotator's, and then a path of (β, steps).

    blind: replaces the preset's value, if given.
    """
    preset = presets.preset(name)
    model, losses = clicks.trained(
        preset.annotated(seed) if own_clicks is None else own_clicks, len(preset.responses), lr
    )
    proxy = policy.proxies(model, preset.blind if blind is None else blind)
    run = policy.run(proxy, preset.truths, preset.reference, stretches)
    judged = verdict.judge(run.history, verdict.spread(preset.truths, preset.reference))
    return Sitting(preset, model, losses, proxy, run, judged)
