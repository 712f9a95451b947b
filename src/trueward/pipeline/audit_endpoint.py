"""The audit of models behind a service: their answers are asked for, kept as files, and audited as any run's answers are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trueward.artifacts import expanded
from trueward.data import loading as texts
from trueward.data.options import ReadOptions
from trueward.pipeline.audit_samples import SamplesAudit
from trueward.pipeline.endpoint_answers import AnswerEndpoint
from trueward.progress import Progress

REFERENCE_ANSWERS = 2  # to each prompt, which say what one SD is


@dataclass(frozen=True)
class EndpointAudit:
    """models: names at the service, one for each look; their steps are the last numbers in them. reference: another name there,
    or a file with the reference's answers to the same prompts.
    """

    endpoint: AnswerEndpoint
    models: Sequence[str]
    reference: str
    prompts: str
    count: int
    truths: Sequence[str]
    proxy: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, progress: Progress) -> dict[str, Any]:
        """The audit's table. `ValueError` in one line for what is missing, or a service that doesn't answer."""
        steps = self.steps()
        rows = texts.prompts(self.prompts, options=ReadOptions(in_recipe=True, keep=True)).rows[: self.count]
        home = expanded(self.reference)
        if not home.is_file():
            answers = self.endpoint.ask(self.reference, rows, REFERENCE_ANSWERS, progress)
            home = self.endpoint.write(f"reference-{self.reference}", 0, answers)
        files: list[Path] = []
        notes = []
        for step, model in steps.items():
            answers = self.endpoint.ask(model, rows, 1, progress)
            if len(answers) < len(rows):
                notes.append(f"{model} gave no answer to {len(rows) - len(answers)} of {len(rows)} prompts")
            files.append(self.endpoint.write(model, step, answers))
        audit = SamplesAudit(
            [str(file) for file in files], self.truths, str(home), self.proxy, self.endpoint.seed, dict(self.given)
        )
        table = audit(files)
        table |= {"kind": "endpoint", "sources": [f"{self.endpoint.address} {name}" for name in steps.values()]}
        table |= {"reference": self.reference, "places": {str(step): name for step, name in steps.items()}}
        table["notes"] = [*notes, *table["notes"]]
        return table

    def steps(self) -> dict[int, str]:
        """The models by step. `ValueError` for one without a number where there are several, or two of one step."""
        if not self.models:
            raise ValueError(
                "audit: --endpoint: say which model there: --model NAME, one for each checkpoint that is served"
            )
        steps: dict[int, str] = {}
        for model in self.models:
            numbers = re.findall(r"\d+", model.rpartition("/")[2])
            step = int(numbers[-1]) if numbers and len(self.models) > 1 else 1
            if not step or step in steps or (len(self.models) > 1 and not numbers):
                raise ValueError(
                    f"--model {model}: expected the step in each name, above 0 and another in each, as in run-500"
                )
            steps[step] = model
        return dict(sorted(steps.items()))
