"""What a service sent, read with limits: its bytes, a chat completion in them, its words about an error.

A service may be broken or hostile: whatever it sends is an answer, or an error of one line.
"""

from __future__ import annotations

import email.utils
import json
import time
from dataclasses import dataclass
from typing import Any

from trueward.scorers.judge.reading import shortened

LARGEST_BODY = 16 << 20  # bytes; the log-probs of an answer of thousands of tokens fit
PACKED = ("", "identity", "gzip", "deflate")  # others may hold gigabytes in a packet
MOST_TOKENS = 10**9  # that a request can be billed for
LONGEST_WAIT = 60.0  # seconds


class TooLargeError(ValueError):
    """A body that no answer has."""


@dataclass(frozen=True)
class ServiceResponse:
    """A whole response."""

    status: int
    headers: Any
    content: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")

    def error_text(self, secret: str) -> str:
        """A service's error message, on one line, with the key blanked out; of a redirect, where to."""
        if 300 <= self.status < 400:
            text = f"it redirects to {self.headers.get('Location')}, which is not followed; give that address if you trust it"
        else:
            try:
                text = str(json.loads(self.content)["error"]["message"])
            except (ValueError, KeyError, TypeError, IndexError, RecursionError):
                text = self.text
        return shortened(" ".join((text.replace(secret, "[key]") if secret else text).split()), 200)


async def post(client: Any, address: str, sent: bytes) -> ServiceResponse:
    """The response to a request. `TooLargeError` for more than `LARGEST_BODY` bytes, packed or not."""
    async with client.stream("POST", address, content=sent) as response:
        if (packed := response.headers.get("Content-Encoding", "").lower()) not in PACKED:
            raise TooLargeError(f"the body is packed as {shortened(packed)!r}, which was not asked for")
        content = bytearray()
        async for part in response.aiter_bytes():
            content += part
            if len(content) > LARGEST_BODY:
                raise TooLargeError(f"the body is larger than {LARGEST_BODY >> 20} MiB")
        return ServiceResponse(response.status_code, response.headers, bytes(content))


def parse_completion(content: bytes) -> tuple[dict[str, Any] | None, tuple[int, int] | None]:
    """The first choice of a chat completion, and the numbers of tokens read and written; None for what it lacks."""
    try:
        table = json.loads(content)
        choice = table["choices"][0]
        choice["message"]["content"]
        fields = {k: choice[k] for k in ("message", "logprobs", "finish_reason") if choice.get(k) is not None}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return None, None
    usage = table.get("usage")
    counts = [usage.get(key) if isinstance(usage, dict) else None for key in ("prompt_tokens", "completion_tokens")]
    read, written = (n if type(n) is int and 0 <= n <= MOST_TOKENS else None for n in counts)
    return fields, None if read is None or written is None else (read, written)


def retry_after(header: str | None) -> float | None:
    """The seconds in a Retry-After header, a number or a date; None if it has neither."""
    if not header:
        return None
    try:
        return min(LONGEST_WAIT, max(0.0, float(header)))
    except ValueError:
        pass
    try:
        return min(LONGEST_WAIT, max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time()))
    except (ValueError, TypeError, OverflowError):
        return None
