"""What the chat tests share: the models, the questions, llama.cpp's answers and how to compare with them."""

import os
from dataclasses import dataclass
from pathlib import Path

from openai import OpenAI

import reference

FAMILIES = ["llama", "llama-rope", "llama2", "qwen2", "llama-ends", "qwen3", "gemma", "gemma2", "gemma3"]
# Families by what their chat template can do.
WITH_TOOLS = ["llama-rope", "llama-ends", "qwen2", "qwen3"]
WITHOUT_TOOLS = ["llama", "llama2", "gemma", "gemma2", "gemma3"]
TAKES_TURNS = ["llama2", "gemma", "gemma2"]
CONTEXT = 2048
# Natural logarithms: the nearness of two tokens' probabilities that the order of additions may turn round, and how far a
# log-probability may be off (both caches hold half floats, but sums are added up in another order).
TIE = 0.05
NEAR = 0.1

QUESTION = [{"role": "user", "content": "How does one learn to read the clouds?"}]
TURNS = [
    {"role": "user", "content": "Will it rain?"},
    {"role": "assistant", "content": "Within three days."},
]
SYSTEM = [{"role": "system", "content": "You are the keeper of an old harbour."}, *TURNS]
LAST = ["How do you know? It's 3.14 km — 你好 — to the \"sea\".", *(f"Question {at}: how do you know?" for at in range(30))]


@dataclass
class Expected:
    """llama.cpp's greedy answer: each token's bytes, log-probability, lead before the next best, and the best ones."""

    prompt_tokens: int
    tokens: list[bytes]
    logprobs: list[float]
    leads: list[float]
    tops: list[list[tuple[bytes, float]]]
    ended: bool

    @classmethod
    def of(cls, server: reference.Server, messages: list[dict], count: int, **more) -> "Expected":
        prompt = server.render(messages, **more)
        assert prompt is not None, "llama.cpp refuses the messages"
        answer = server.complete(prompt, count, probabilities=5, ends=True)
        positions = answer["completion_probabilities"]
        tops = [[(bytes(top["bytes"]), top["logprob"]) for top in position["top_logprobs"]] for position in positions]
        return cls(
            prompt_tokens=answer["tokens_evaluated"],
            tokens=[bytes(position["bytes"]) for position in positions],
            logprobs=[position["logprob"] for position in positions],
            leads=[best[0][1] - best[1][1] for best in tops],
            tops=tops,
            ended=answer["stop_type"] == "eos",
        )

    @classmethod
    def clear(cls, server: reference.Server, before: list[dict], count: int) -> tuple[list[dict], "Expected"]:
        """Messages that follow `before`, to which llama.cpp's answer goes on for a while without a tie."""
        for text in LAST:
            messages = [*before, {"role": "user", "content": text}]
            expected = cls.of(server, messages, count)
            if expected.sure() >= 0.6 * count:
                return messages, expected
        raise AssertionError("llama.cpp meets ties early after each of the questions")

    def sure(self) -> int:
        """How many tokens come before the first tie."""
        return next((at for at, lead in enumerate(self.leads) if lead < TIE), len(self.leads))

    def text(self) -> str:
        """The text before the first tie, and before the token that ends the turn."""
        said = self.tokens[:-1] if self.ended else self.tokens
        return b"".join(said[: self.sure()]).decode(errors="ignore")


def load(family: str):
    """llama.cpp with a family's file, as a context; the same kind of cache as aigate's, and plain attention."""
    return reference.server(Path(os.environ["AIGATE_MODELS"]) / f"{family}-F32.gguf", flash=False, context=CONTEXT)


def ask(client: OpenAI, family: str, messages: list[dict] = QUESTION, **fields):
    return client.chat.completions.create(
        model=family, messages=messages, **{"temperature": 0, "max_completion_tokens": 60, **fields}
    )


def said(completion) -> str:
    return completion.choices[0].message.content


def streamed(client: OpenAI, family: str, messages: list[dict] = QUESTION, **fields) -> list:
    with ask(client, family, messages, stream=True, **fields) as stream:
        return list(stream)


def joined(parts: list) -> str:
    return "".join(choice.delta.content or "" for chunk in parts for choice in chunk.choices)


def finishes(parts: list) -> list[str]:
    return [choice.finish_reason for chunk in parts for choice in chunk.choices if choice.finish_reason]
