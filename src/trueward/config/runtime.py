"""The section about the machine, and about services elsewhere: nothing in it changes a result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trueward.config.section import NonNegative, Positive, Rate, Section


class Calls(Section):
    """[runtime.judge]: how a service is called, and what it may cost. No result depends on it."""

    key: str = Field("", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")
    """The name of the environment variable that holds the service's key; empty: none is sent."""
    concurrency: Positive = 8
    """Requests under way at once."""
    retries: Annotated[int, Field(ge=0)] = 6
    """How often a request is made again after a time-out, a lost connection, 429 or 5xx, with growing waits."""
    timeout: Rate = 60.0
    """Seconds that an answer may take."""
    cache: str = "runs/judge.jsonl"
    """The file that keeps every answer, so that none is asked and paid for twice; empty: none is kept."""
    price_input: NonNegative = 0.0
    """Price of a million tokens that it reads, in any currency."""
    price_output: NonNegative = 0.0
    """Price of a million tokens that it writes."""
    cap: Rate | None = None
    """If set, no request is made that could bring the cost of all that is in the cache above this."""

    @model_validator(mode="after")
    def _cap_has_prices(self) -> Calls:
        if self.cap is not None and not (self.price_input or self.price_output):
            raise ValueError("cap: what a request costs is only known with price_input and price_output")
        return self


class Runtime(Section):
    """[runtime]: where and how it runs; changes no result, so it's outside every fingerprint."""

    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    threads: Annotated[int, Field(ge=0)] = 0
    """0: as many as there are cores."""
    micro_batch_tokens: Positive = 4096
    """Tokens that go through a model at once while it learns: memory, not mathematics."""
    checkpoint_seconds: NonNegative = 20.0
    """Seconds between two checkpoints; 0: one at every step."""
    wait_for_people: Annotated[int, Field(ge=0)] = 0
    """With a truth `people:NAME`: pairs to be judged, in closed rounds, before the report is written; 0: none is waited for."""
    tracking: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    """Where the run's numbers are sent, beside its own logs. `--set tracking=` means this."""
    compile: bool = False
    """Whether layers of Llama-like models are compiled for training; needs a C++ compiler."""
    judge: Calls = Calls()
