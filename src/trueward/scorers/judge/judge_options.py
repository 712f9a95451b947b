"""A judge from options, where no recipe has a [judge]: `--scorer judge,model=…,endpoint=…`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from trueward.config import JudgeCallsConfig, JudgeConfig, explain

NAMES = {"base_url": "endpoint", "api_key_env": "key"}
"""What OpenAI's clients call a setting of ours."""
LISTS = ("principles", "choices", "ratings")


def read_judge(
    options: Mapping[str, Any], judge: JudgeConfig | None, calls: JudgeCallsConfig, where: str
) -> tuple[JudgeConfig, JudgeCallsConfig]:
    """The settings of a judge and of its calls: these options over a recipe's. `ValueError` in one line.

    judge: the recipe's, if there is one. where: what errors call the options.
    """
    own: dict[str, Any] = {} if judge is None else judge.model_dump()
    how = calls.model_dump()
    for option, value in options.items():
        name = NAMES.get(option, option)
        if name in JudgeConfig.model_fields:
            own[name] = [value] if name in LISTS and isinstance(value, str) else value
        elif name in JudgeCallsConfig.model_fields:
            how[name] = value
        else:
            known = ", ".join([*JudgeConfig.model_fields, *JudgeCallsConfig.model_fields])
            raise ValueError(f"{where}: {option}: there is no such option; known: {known}")
    try:
        settings = JudgeConfig.model_validate(own), JudgeCallsConfig.model_validate(how)
    except ValidationError as error:
        raise ValueError(f"{where}: {explain(error)}") from None
    if not settings[0].model:
        raise ValueError(
            f"{where}: a judge is a model: say which one, as in judge,model=NAME,endpoint=http://localhost:8000/v1"
        )
    return settings
