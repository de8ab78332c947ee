"""The gateway under test and what may be expected of it: the environment, read once, and `../kinds.json`."""

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

from openai import BadRequestError

T = TypeVar("T")

REQUIRED = ("AIGATE_URL", "AIGATE_KEY", "AIGATE_MODELS")


@dataclass(frozen=True)
class Kind:
    """One kind of provider: its models in the gateway's config, and what it can do."""

    name: str
    chat: str
    embed: str
    facts: dict[str, Any]

    @property
    def busy(self) -> str:
        """A chat model whose provider throttles every call."""
        return f"{self.chat}-busy"

    @property
    def missing(self) -> str:
        """A chat model whose provider does not know it."""
        return f"{self.chat}-missing"

    @property
    def cloud(self) -> str:
        return self.facts["cloud"]

    @property
    def translated(self) -> bool:
        """Whether aigate translates to another wire format, instead of handing OpenAI's on."""
        return self.facts["translated"]

    def says(self, text: str) -> str:
        """The simulated model's answer to `text`."""
        return f"SIM {self.cloud} heard: {text}"


def missing_variables() -> list[str]:
    return [name for name in REQUIRED if not os.environ.get(name)]


def url(path: str) -> str:
    return os.environ["AIGATE_URL"].rstrip("/") + path


def key() -> str:
    return os.environ["AIGATE_KEY"]


def kinds() -> list[Kind]:
    """The kinds of `AIGATE_MODELS`: `KIND=chatmodel/embedmodel`, separated by commas."""
    known = json.loads((Path(__file__).parent.parent / "kinds.json").read_text())
    del known["about"]
    found = []
    for entry in os.environ["AIGATE_MODELS"].split(","):
        name, _, models = entry.strip().partition("=")
        chat, _, embed = models.partition("/")
        if name not in known or not chat or not embed:
            names = ", ".join(known)
            raise ValueError(f"AIGATE_MODELS: {entry!r} is not KIND=chatmodel/embedmodel with KIND of {names}")
        facts = known[name]
        found.append(Kind(name, chat, embed, {**known.get(facts.get("same_as"), {}), **facts}))
    return found


def assert_names(error: BadRequestError, field: str, *, by_aigate: bool = True) -> None:
    """The error names the field at fault: in `param` when aigate wrote it, else at least in the provider's message."""
    inside = (f"{field}.", f"{field}[")
    named = error.param is not None and (error.param == field or error.param.startswith(inside))
    if not by_aigate:
        named = named or (error.param is None and field in error.message)
    assert named, f"param is {error.param!r}, expected {field!r}: {error.message}"


def outcome(kind: Kind, feature: str, field: str, call: Callable[[], T]) -> Optional[T]:
    """The answer when the kind honours the feature; `None` when it properly refuses the field by name."""
    expected = kind.facts[feature]
    try:
        answer = call()
    except BadRequestError as error:
        assert expected != "honoured", f"{kind.name} honours {feature}, but refused: {error.message}"
        assert_names(error, field, by_aigate=kind.translated)
        return None
    assert expected != "refused", f"{kind.name} cannot honour {feature}, but answered as if it had"
    return answer


@dataclass(frozen=True)
class RawAnswer:
    """An HTTP answer, as it came."""

    status: int
    headers: Any
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


def raw_post(path: str, body: str) -> RawAnswer:
    """Posts text without any SDK, for what an SDK cannot send or does not show."""
    request = urllib.request.Request(
        url(path),
        data=body.encode(),
        headers={"authorization": f"Bearer {key()}", "content-type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return RawAnswer(answer.status, answer.headers, answer.read().decode())
    except urllib.error.HTTPError as error:
        return RawAnswer(error.code, error.headers, error.read().decode())
