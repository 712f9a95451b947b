"""The pages' templates, with the number formats as filters."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, Template, Undefined, select_autoescape

from trueward.reporting.anchor import perplexity
from trueward.reporting.formatting import between, count, duration, percent, plain, share_within, signed, span, within

Show = Callable[..., str]


def _or_missing(show: Show) -> Show:
    """A filter that prints an undefined value of a template like None."""
    return lambda *values: show(*(None if isinstance(value, Undefined) else value for value in values))


@cache
def template(name: str) -> Template:
    """A page's template, with the number formats as its filters."""
    here = FileSystemLoader(Path(__file__).parent)
    door = Environment(
        loader=here,
        autoescape=select_autoescape(["html.jinja"]),  # a card in Markdown is not HTML
        undefined=ChainableUndefined,
        trim_blocks=True,
    )
    door.filters |= {
        f.__name__: _or_missing(f) for f in (signed, plain, percent, within, count, duration, share_within)
    }
    door.filters["perplexity"] = lambda nll: None if isinstance(nll, Undefined) else perplexity(nll)
    door.globals |= {"between": _or_missing(between), "span": _or_missing(span)}
    door.filters |= {"of": lambda key, policies, name: policies[key].get(name)}
    return door.get_template(name)
