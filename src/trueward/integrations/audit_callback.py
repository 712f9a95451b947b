"""A callback that audits each checkpoint as it is saved, in a trainer of TRL or transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from trueward.api.audit import Audit, audit
from trueward.evaluation.verdict import ALARMS
from trueward.progress import note


class AuditCallback(TrainerCallback):
    """Measures proxy and truth of each saved checkpoint on held-out prompts, beside the reference's, while training goes on.

    The checkpoint is read from disk, so adapters and sharded trainers work as long as transformers loads what they save; it
    is measured on the process of rank 0, and the trainer's random draws stay what they were. `OUTPUT_DIR/audit/audit.html` is
    written anew after each look.
    """

    def __init__(
        self,
        reference: str | Path,
        prompts: str | Path,
        truths: Any,
        proxy: Any = None,
        *,
        stop: bool = False,
        out: str | Path | None = None,
        **options: Any,
    ) -> None:
        """What to audit with.

        Args:
            reference: The model that training begins from, a name or a directory.
            prompts: A file or data set of prompts that training doesn't see.
            truths: As in `trueward.audit`: what training doesn't see. The first one decides.
            proxy: The reward that is trained on, in the same forms; None: the truth stands alone.
            stop: Whether training ends when the verdict is `hacking` or `over-optimised`.
            out: The audit's directory. None: `audit` in the trainer's output directory.
            **options: Further arguments of `trueward.audit`: `count`, `temperature`, `max_new_tokens`, `seed`.
        """
        self.stop, self.out = stop, None if out is None else Path(out)
        self.arguments = {"reference": reference, "prompts": prompts, "truths": truths, "proxy": proxy, **options}
        self.audit: Audit | None = None
        """The audit after the last look; None before the first."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say so if checkpoints will be deleted that a peak may have to be measured on again."""
        if getattr(args, "save_total_limit", None):
            note(
                f"save_total_limit = {args.save_total_limit} deletes checkpoints: the audit knows those that are there, "
                "and can't measure a peak again that is gone"
            )

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the checkpoint that was just saved, and stop training if that was asked for."""
        if not state.is_world_process_zero:
            return
        home = Path(args.output_dir)
        with torch.random.fork_rng():  # loading a model draws numbers
            self.audit = audit(
                home / "checkpoint-*", out=self.out or home / "audit", final=False, progress=False, **self.arguments
            )
        note(f"step {state.global_step}: {self.audit.verdict}: {self.audit.table['verdict']['rule']}")
        if self.stop and self.audit.verdict in ALARMS:
            note(f"training stops: the truth has fallen; the best checkpoint is that of step {self.audit.best_step}")
            control.should_training_stop = True
