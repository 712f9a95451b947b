"""Conversations through a model's chat template, and what is said where a template refuses one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from trueward.data.control_tokens import UnreadableError
from trueward.records import Prompt


class TemplateRefusalError(ValueError):
    """A model's chat template refuses this prompt's conversation; `reason` is what the template says."""

    def __init__(self, prompt: Prompt, reason: str) -> None:
        super().__init__(f"the model's chat template refuses the conversation {str(prompt)[:60]!r}: {reason}")
        self.prompt, self.reason = prompt, reason


@contextmanager
def refusals(prompt: Prompt) -> Iterator[None]:
    """Whatever a template raises (a role that it doesn't have, roles that don't alternate, its own mistakes), as
    `TemplateRefusalError`."""
    try:
        yield
    except UnreadableError:  # the row can't be read as what it is: it is left out, by that name
        raise
    except Exception as error:  # Jinja's, and of what a template does with the texts: TypeError, IndexError...
        lines = str(error).strip().splitlines()
        raise TemplateRefusalError(prompt, lines[0] if lines else type(error).__name__) from None


@contextmanager
def named(prompts: Sequence[tuple[Prompt, str]], otherwise: str) -> Iterator[None]:
    """A refusal with the row's place. prompts: each with the place; otherwise: what a prompt without one is called."""
    try:
        yield
    except TemplateRefusalError as error:
        place = next((where for prompt, where in prompts if prompt.id == error.prompt.id and where), otherwise)
        raise ValueError(f"{place}: {error}") from None
