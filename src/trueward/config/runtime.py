"""[runtime]: the machine and external services; nothing in it changes a result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from trueward.config.ray import RayConfig
from trueward.config.section import NonNegative, Positive, Rate, Section


class JudgeCallsConfig(Section):
    """[runtime.judge]: calls of a judge's service, and their cost limit. No result depends on it."""

    key: str = Field("", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")
    """Environment variable that holds the API key; empty: no key is sent."""
    concurrency: Positive = 8
    """Requests at a time."""
    retries: Annotated[int, Field(ge=0)] = 6
    """Retries after a time-out, a lost connection, 429 or 5xx, with growing waits."""
    timeout: Rate = 60.0
    """Seconds until a request times out."""
    cache: str = "runs/judge.jsonl"
    """File that stores every answer, so that no request is made twice; empty: none."""
    price_input: NonNegative = 0.0
    """Price of a million input tokens, in any currency."""
    price_output: NonNegative = 0.0
    """Price of a million output tokens."""
    cap: Rate | None = None
    """If set, no request is made that could raise the cost of all answers in the cache above this."""

    @model_validator(mode="after")
    def _cap_has_prices(self) -> JudgeCallsConfig:
        if self.cap is not None and not (self.price_input or self.price_output):
            raise ValueError("cap: what a request costs is only known with price_input and price_output")
        return self


class RuntimeConfig(Section):
    """[runtime]: where and how a run is computed; changes no result, so it is outside every fingerprint."""

    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    """The device; auto: CUDA, else the CPU."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads; 0: one a core."""
    micro_batch_tokens: Positive | Literal["auto"] = 4096
    """Tokens in one forward and backward pass: sets the memory, and no result; auto: halved where memory runs out."""
    checkpoint_seconds: NonNegative = 20.0
    """Write a checkpoint every N seconds, or less often where writing would take over 5 % of the time; 0: at every step."""
    wait_for_people: Annotated[int, Field(ge=0)] = 0
    """With a truth `people:NAME`: judged pairs in closed rounds that the report waits for; 0: it does not wait."""
    tracking: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    """Service to which metrics are sent, beside the run's own logs; `--set tracking=` for short."""
    checkpointing: bool = False
    """Compute each layer again in the backward pass instead of keeping what is inside it: less memory, more time."""
    attention: Literal["auto", "sdpa", "flash"] = "auto"
    """Attention of the fast path of training: torch's kernels, or flash-attn's (CUDA, bfloat16); auto: that, where it is."""
    shard: Literal["none", "full"] = "none"
    """full: several processes hold a part each of weights that learn, their gradients and the optimiser's state."""
    compile: bool = False
    """Compile the layers of Llama-like models for training; needs a C++ compiler."""
    judge: JudgeCallsConfig = JudgeCallsConfig()
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def _all_make_the_same_passes(self) -> RuntimeConfig:
        if self.shard == "full" and self.micro_batch_tokens == "auto":
            raise ValueError(
                'micro_batch_tokens = "auto": with shard = "full" a process that repeats a step alone would wait for the '
                "others for ever; give a number"
            )
        return self

    @field_validator("micro_batch_tokens", mode="before")
    @classmethod
    def _tokens_or_auto(cls, value: object) -> object:
        whole = isinstance(value, int) and value > 0
        if not whole and value != "auto" and not isinstance(value, float):
            raise ValueError(f'expected a whole number greater than 0, or "auto", got {value!r}')
        return value
