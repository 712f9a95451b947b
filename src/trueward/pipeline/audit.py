"""An audit as it is asked for: of answers on disk or of checkpoints, once or as long as a run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from trueward.pipeline import audit_scorers, audit_table
from trueward.progress import Progress

Row = dict[str, Any]
POLL = 5.0  # seconds between two looks at a directory; a file that changed in between is still being written


@dataclass(frozen=True, kw_only=True)
class AuditRequest:
    """The options of the command line.

    final: the run has ended, so last and best are measured on reserved prompts. idle: seconds without anything new after which
    a followed run has stopped.
    """

    checkpoints: Sequence[str] = ()
    samples: Sequence[str] = ()
    reference: str | None = None
    truths: Sequence[str] = ()
    proxy: str | None = None
    prompts: str = ""
    count: int = 512
    temperature: float | None = None
    max_new_tokens: int | None = None
    seed: int | None = None
    endpoint: str = ""
    models: Sequence[str] = ()
    key: str = ""
    out: Path | None = None
    final: bool = True
    follow: bool = False
    idle: float = 3600.0
    given: Mapping[str, Any] = field(default_factory=dict)
    """The caller's functions, by the names that truths and proxy have here."""


def tables(request: AuditRequest, progress: Progress) -> Iterator[Row]:
    """The audit's table; where a run is followed, one after each change. Each is written into the audit's directory.

    `ValueError` in one line for what can't be read, or is missing.
    """
    ways = (request.checkpoints, request.samples, request.endpoint)
    if sum(map(bool, ways)) != 1:
        raise ValueError(
            "audit: expected one of these: checkpoints ('out/checkpoint-*'), --samples with files of answers, --endpoint"
        )
    if request.checkpoints:
        made = _checkpoints(request, progress)
    else:
        made = _samples(request) if request.samples else _endpoint(request, progress)
    for table in made:
        if request.out is not None:
            audit_table.write(table, request.out)
        yield table


def _samples(request: AuditRequest) -> Iterator[Row]:
    from trueward.data import rollouts
    from trueward.pipeline.audit_samples import SamplesAudit

    for name, value in (("--prompts", request.prompts), ("--temperature", request.temperature)):
        if value:
            raise ValueError(f"audit: {name} is for checkpoints; with --samples the answers are there already")
    if not request.truths:
        raise ValueError(
            f"audit: say what the truth is: --truth {audit_scorers.EXPECTED}; the proxy can't be its own judge"
        )
    audit = SamplesAudit(
        request.samples, request.truths, request.reference, request.proxy, request.seed or 0, dict(request.given)
    )
    if not request.follow:
        yield audit()
        return
    for files in whenever_new(lambda: rollouts.files_of(request.samples), file_state, request.idle):
        if table := _unless_too_few(partial(audit, files)):
            yield table


def _endpoint(request: AuditRequest, progress: Progress) -> Iterator[Row]:
    from trueward.pipeline.audit_endpoint import EndpointAudit
    from trueward.pipeline.endpoint_answers import AnswerEndpoint

    for option, value in (
        ("--reference", request.reference),
        ("--prompts", request.prompts),
        ("--truth", request.truths),
    ):
        if not value:
            raise ValueError(f"audit: --endpoint needs {option} as well; see trueward audit --help")
    if request.follow:
        raise ValueError("audit: --follow: a service can't be followed; give checkpoints or --samples")
    audit = EndpointAudit(
        AnswerEndpoint(
            address=request.endpoint,
            folder=request.out or Path("audit"),
            key=request.key,
            temperature=1.0 if request.temperature is None else request.temperature,
            max_new_tokens=request.max_new_tokens or 256,
            seed=request.seed or 0,
        ),
        request.models,
        str(request.reference),
        request.prompts,
        request.count,
        request.truths,
        request.proxy,
        request.given,
    )
    yield audit(progress)


def _checkpoints(request: AuditRequest, progress: Progress) -> Iterator[Row]:
    from trueward import config
    from trueward.pipeline.audit_checkpoints import CheckpointsAudit
    from trueward.pipeline.audit_setup import AuditSetup
    from trueward.pipeline.checkpoint_files import checkpoints_of
    from trueward.pipeline.process import process_settings
    from trueward.pipeline.run_home import RunHome
    from trueward.pipeline.surroundings import run_env

    if request.reference is None:
        raise ValueError(
            "audit: say what the checkpoints are measured against: --reference MODEL, which training began from"
        )
    home = RunHome.of(request.reference)
    recipe = home.recipe if home else config.resolve({"name": "audit"}, "audit")
    with process_settings(recipe):
        setup = AuditSetup(
            reference=request.reference,
            truths=request.truths,
            proxy=request.proxy,
            prompts=request.prompts,
            count=request.count,
            sampler={"temperature": request.temperature, "max_new_tokens": request.max_new_tokens},
            seed=request.seed,
            env=run_env(recipe, progress, tracked=False),
            given=dict(request.given),
        )
        assert setup.truth_names  # everything that can be wrong before a model is loaded
        assert setup.held_out
        audit = CheckpointsAudit(setup, request.out)
        if not request.follow:
            yield audit(checkpoints_of(request.checkpoints), request.final)
            return
        seen = whenever_new(lambda: checkpoints_of(request.checkpoints), lambda one: one.state, request.idle)
        checkpoints: list[Any] = []
        for checkpoints in seen:
            yield audit(checkpoints, final=False)
        if checkpoints:
            yield audit(checkpoints)


def file_state(file: Path) -> list[int]:
    """Size and time of a file."""
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns]


def whenever_new(
    listed: Callable[[], Sequence[Any]],
    state: Callable[[Any], Any],
    idle: float,
    poll: float = POLL,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[list[Any]]:
    """What there is, whenever more of it is whole; ends after `idle` seconds without anything new.

    listed: `ValueError` while there is nothing. state: of one of them; what has another one than a poll ago is still being
    written, and is left out until it has been the same for two polls.
    """
    before: dict[str, Any] = {}
    given: dict[str, Any] = {}
    waited = 0.0
    while waited <= idle:
        try:
            there = list(listed())
            now = {str(one): state(one) for one in there}
        except (ValueError, FileNotFoundError):  # nothing yet, or it was taken away just now
            if waited + poll > idle:
                raise
            there, now = [], {}
        whole = [one for one in there if str(one) in before and before[str(one)] == now[str(one)]]
        states = {str(one): now[str(one)] for one in whole}
        if whole and states != given:
            given, waited = states, 0.0
            yield whole
        before = now
        sleep(poll)
        waited += poll


def _unless_too_few(make: Callable[[], Row]) -> Row | None:
    """A table; None while one look alone is there."""
    from trueward.pipeline.audit_samples import OneLookError

    try:
        return make()
    except OneLookError:
        return None
