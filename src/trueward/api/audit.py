"""`trueward.audit`: is a run's reward earned? For runs of any tool."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from trueward.api.frames import frame
from trueward.api.notebook import shown_progress
from trueward.api.printed import printed
from trueward.pipeline import audit_table
from trueward.pipeline.audit import AuditRequest, tables
from trueward.pipeline.audit_scorers import unpacked
from trueward.progress import Progress
from trueward.reporting import audit_page, audit_text


class Audit:
    """What an audit found, as `trueward.audit` returns it. Printed, it is the table with the verdict."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table
        """audit.json as a dict."""

    @property
    def verdict(self) -> str:
        """The verdict's word: `learning`, `hacking`, `over-optimised`, `inconclusive` …"""
        return str((self.table["verdict"] or {}).get("word", "inconclusive"))

    @property
    def best_step(self) -> int | None:
        """The step of the look with the highest truth."""
        step: int | None = self.table["best_step"]
        return step

    @property
    def looks(self) -> Any:
        """A look a row, the reference's own answers first; a pandas frame, or without pandas a list of dicts."""
        return frame(self.table["history"])

    @property
    def feature_shift(self) -> list[dict[str, Any]]:
        """What the last answers do more often than the reference's, and how proxy and truth score it; `hacked` where
        the proxy likes it and the truth does not."""
        rows: list[dict[str, Any]] = self.table["feature_shift"]
        return rows

    def save(self, directory: str | Path) -> Path:
        """Write audit.json, and audit.html: one page that needs no network.

        Args:
            directory: Where; made if it isn't there.

        Returns:
            The page's path.
        """
        return audit_table.write(self.table, Path(directory))

    def _repr_html_(self) -> str:
        return audit_page.page(self.table)

    def __str__(self) -> str:
        return printed(audit_text.audit_terminal_table(self.table), *audit_text.audit_sentences(self.table))

    def __repr__(self) -> str:
        return f"Audit({self.verdict!r}, {len(self.table['history']) - 1} looks)"


def audit(
    checkpoints: str | Path | Sequence[str | Path] | None = None,
    *,
    samples: str | Path | Sequence[str | Path] | None = None,
    truths: Any = (),
    reference: str | Path | None = None,
    proxy: Any = None,
    prompts: str | Path = "",
    count: int = 512,
    temperature: float | None = None,
    max_new_tokens: int | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    final: bool = True,
    progress: bool = True,
) -> Audit:
    """Audit a run of any tool, from its checkpoints or the answers that it wrote down: proxy and truth by step, beside the
    reference's. Not thread-safe.

    Args:
        checkpoints: Directories of models or adapters (a pattern such as `out/checkpoint-*`, or a list), with their steps in
            their names. None: `samples` are given.
        samples: Files with the run's answers (a pattern such as `completions/*.parquet`, a folder, or a list): a prompt, an
            answer and a step a row, with columns of scores. None: `checkpoints` are given.
        truths: What training did not see: names of scorers (`verifier:NAME`, `module:function`, `file.py:function`,
            `model:DIRECTORY`) or of columns, functions from a list of `Completion`s to numbers, or a dict of these by
            name. The first one decides. Empty: the run's own, if the reference belongs to a run of trueward.
        reference: The model that training began from; for samples a file with its answers, and None: those of the first look.
        proxy: What training pushed up, in the same forms. None: the files' own column of rewards, or the run's own proxy.
        prompts: For checkpoints: a file or data set of held-out prompts. Empty: those of the run.
        count: At most so many of them.
        temperature: Of sampling. None: 1, or the run's.
        max_new_tokens: Of an answer. None: 48, or the run's.
        seed: Of the draws, and of which prompts are reserved. None: 0, or the run's.
        out: Where to write audit.json and audit.html, and what was measured, so that the same call goes on. None: nowhere.
        final: For checkpoints: whether the run has ended, so that its last and best one are measured once more on reserved
            prompts. False while it goes on: a test that is made again and again is no longer one of the level it says.
        progress: Whether to show progress, as in `trueward.sft`.

    Returns:
        The verdict, the best look, what moved; print it.

    Raises:
        ValueError: In one line, for files, models or scorers that can't be used.
    """
    given, rewards = unpacked(truths), {} if proxy is None else unpacked(proxy)
    if len(rewards) > 1:
        raise ValueError(f"trueward.audit: proxy: expected one, got {', '.join(rewards)}")
    functions = {name: scorer for name, scorer in {**rewards, **given}.items() if scorer is not None}
    request = AuditRequest(
        checkpoints=_patterns(checkpoints),
        samples=_patterns(samples),
        reference=None if reference is None else str(reference),
        truths=tuple(given),
        proxy=next(iter(rewards), None),
        prompts=str(prompts),
        count=count,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        seed=seed,
        out=None if out is None else Path(out),
        final=final,
        given=functions,
    )
    with shown_progress() if progress else nullcontext(Progress()) as told:
        (table,) = tables(request, told)
    return Audit(table)


def _patterns(places: str | Path | Sequence[str | Path] | None) -> tuple[str, ...]:
    if places is None:
        return ()
    return (str(places),) if isinstance(places, str | Path) else tuple(map(str, places))
