"""The hub as a place to put models: names, tokens, what a base model's card says of its licence, and an upload.

The address is $HF_ENDPOINT, the token $HF_TOKEN or what `hf auth login` saved. What goes wrong is a `ValueError` of one line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, ModelCard, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, not re-exported by name

UNKNOWN = "unknown"
SECONDS = 20.0  # after which a request about a base model is given up
SHIPPED = {  # name on the hub, licence
    "trueward:smollm2": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"),
    "trueward:base": ("", "apache-2.0"),
}


@dataclass(frozen=True)
class BaseModel:
    """What is known of the model that a run started from."""

    name: str
    """On the hub; empty if it is not there."""
    licence: str
    """As the hub spells it, or `unknown`."""
    source: str
    """Where the licence is from, as the end of a sentence."""


def base_model(recipe: dict[str, Any]) -> BaseModel:
    """The base model of a recipe with its licence: as it ships, from the card in its directory, or from the hub."""
    start = str((recipe.get("sft") or {}).get("model") or (recipe.get("model") or {}).get("base") or "")
    if start in SHIPPED:
        name, licence = SHIPPED[start]
        return BaseModel(name, licence, f"that of the base model {name or start}")
    if start.startswith("trueward:"):
        return BaseModel("", UNKNOWN, "since it was trained from random weights, so whoever publishes it chooses")
    if Path(start).exists():
        licence = _licence(_local_card(Path(start)))
        at = f"the card of the base model {Path(start).name}"
        return BaseModel(
            "", licence or UNKNOWN, f"from {at}" if licence else f"since {at} does not tell, or is not there"
        )
    try:
        licence = _licence(client().model_info(start, timeout=SECONDS).card_data)
    except Exception:  # no network, no such model: the card then says that nothing is known
        return BaseModel(start, UNKNOWN, f"since the card of the base model {start} could not be read")
    at = f"the card of the base model {start}"
    return BaseModel(start, licence or UNKNOWN, f"from {at}" if licence else f"since {at} does not tell")


def _local_card(place: Path) -> Any:
    try:
        return ModelCard.load(place / "README.md", ignore_metadata_errors=True).data
    except Exception:  # none, or not one that can be read
        return None


def _licence(data: Any) -> str:
    value = getattr(data, "license", None)
    return value if isinstance(value, str) else ""


def client() -> HfApi:
    """A client of the hub at $HF_ENDPOINT."""
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="trueward")


def check_name(name: str) -> None:
    """`ValueError` unless it is owner/name as the hub allows it."""
    try:
        validate_repo_id(name)
        wrong = "" if name.count("/") == 1 else "the owner is missing"
    except HFValidationError as error:
        wrong = str(error).partition("\n")[0].removesuffix(".")
    if wrong:
        raise ValueError(f"{name}: expected owner/name, the hub's name for the new repository ({wrong})")


def require_token() -> None:
    """`ValueError` without a token for the hub."""
    if not get_token():
        raise ValueError("push: there is no token for the hub; set HF_TOKEN, or log in with `hf auth login`")


def require_new(name: str) -> None:
    """`ValueError` if there is such a repository."""
    with _in_one_line(name):
        try:
            client().repo_info(name, timeout=SECONDS)
        except RepositoryNotFoundError as error:
            if error.response.status_code == 404:
                return
            raise
    raise ValueError(f"{name}: there is such a repository already; take another name, or --update it")


def upload(name: str, folder: Path, message: str, private: bool | None, update: bool) -> str:
    """Make the repository and put a folder's files into it; its address. private: None for the hub's own default."""
    api = client()
    with _in_one_line(name):
        address = str(api.create_repo(name, private=private, exist_ok=update))
    with _in_one_line(name, "; the repository is there, --update goes on with it"):
        api.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
    return address


@contextmanager
def _in_one_line(name: str, then: str = "") -> Iterator[None]:
    try:
        yield
    except HfHubHTTPError as error:
        raise ValueError(f"{name}: {_refusal(error)}{then}") from None
    except Exception as error:  # the network, the disk, the library: the user needs the line and not the traceback
        cause = error.__cause__ or error
        if isinstance(cause, HfHubHTTPError):
            raise ValueError(f"{name}: {_refusal(cause)}{then}") from None
        reason = str(cause).strip().partition("\n")[0] or type(cause).__name__
        raise ValueError(f"{name}: {client().endpoint} can't be reached or does not answer: {reason}{then}") from None


def _refusal(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    meaning = {
        401: "the hub does not know this token (HF_TOKEN, or `hf auth login`)",
        403: "this token may not write there",
        409: "there is such a repository already; take another name, or --update it",
    }.get(status, f"the hub answers {status}")
    told = " ".join((error.server_message or "").split())
    return f"{meaning}: {told}" if told and status != 409 else meaning
