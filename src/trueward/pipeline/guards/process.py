"""The process of one guard: `python -m trueward.pipeline.guards.process PLACE CHECKPOINT DEVICE` writes PLACE.jsonl.

Only here are suites imported, so that nothing they do to the interpreter reaches the training loop.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from trueward.data import jsonl
from trueward.pipeline.guards import inspect_suite, lm_eval_suite, verifier_suite
from trueward.pipeline.guards.guard_job import GuardJob

RUNS = {"verifier": verifier_suite.run, "lm-eval": lm_eval_suite.run, "inspect": inspect_suite.run}


def main(place: str, checkpoint: str, device: str) -> int:
    """Run the job in PLACE.json on a checkpoint; 1 if it fails, with the reason as the last line of standard error."""
    path = Path(place)
    job = GuardJob.read(path.with_suffix(".json"))
    try:
        scores = RUNS[job.kind](job, Path(checkpoint).absolute(), device, path.absolute().parent)
    except (Exception, SystemExit) as error:  # whatever a suite does, the line says it
        traceback.print_exc()
        print(" ".join(f"{type(error).__name__}: {error}".split()), file=sys.stderr)
        return 1
    fresh = path.with_suffix(".jsonl.tmp")
    jsonl.write(fresh, [{"item": item, "score": score} for item, score in scores.items()])
    fresh.replace(path.with_suffix(".jsonl"))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
