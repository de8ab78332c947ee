"""Answers in JSON: some object, or one that follows a schema, parsed by the SDK."""

import json
from typing import Literal

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from gateway import Kind, outcome


class Report(BaseModel):
    title: str
    pages: int
    score: float
    final: bool
    tags: list[str]
    mood: Literal["good", "bad"]


class Step(BaseModel):
    text: str


class Plan(BaseModel):
    goal: str
    steps: list[Step]
    last: Step


REPORT = Report(title="simulated", pages=1, score=0.5, final=True, tags=["simulated"], mood="good")
PLAN = Plan(goal="simulated", steps=[Step(text="simulated")], last=Step(text="simulated"))


def question(text: str = "Report in JSON, please.") -> list[dict]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("expected", [REPORT, PLAN], ids=["flat", "with definitions"])
def test_an_answer_follows_the_schema(client: OpenAI, kind: Kind, expected: BaseModel):
    completion = client.chat.completions.parse(
        model=kind.chat, messages=question(), response_format=type(expected)
    )
    assert completion.choices[0].message.parsed == expected
    assert completion.choices[0].finish_reason == "stop"


def test_a_streamed_answer_follows_the_schema(client: OpenAI, kind: Kind):
    with client.chat.completions.stream(
        model=kind.chat, messages=question(), response_format=Report
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == REPORT


def test_a_schema_by_hand_is_followed(client: OpenAI, kind: Kind):
    schema = {
        "type": "object",
        "properties": {"count": {"type": "integer"}},
        "required": ["count"],
        "additionalProperties": False,
    }
    completion = client.chat.completions.create(
        model=kind.chat,
        messages=question(),
        response_format={"type": "json_schema", "json_schema": {"name": "count", "schema": schema}},
    )
    assert json.loads(completion.choices[0].message.content) == {"count": 1}


def test_some_json_object_is_given_or_refused(client: OpenAI, kind: Kind):
    text = "Report in JSON, please."
    completion = outcome(
        kind,
        "json_object",
        "response_format",
        lambda: client.chat.completions.create(
            model=kind.chat, messages=question(text), response_format={"type": "json_object"}
        ),
    )
    if completion:
        assert json.loads(completion.choices[0].message.content) == {"heard": text}


def test_plain_text_may_be_asked_for(client: OpenAI, kind: Kind):
    completion = client.chat.completions.create(
        model=kind.chat, messages=question("alpha"), response_format={"type": "text"}
    )
    assert completion.choices[0].message.content == kind.says("alpha")


def test_an_unknown_form_is_refused_by_name(client: OpenAI, kind: Kind):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model=kind.chat, messages=question(), response_format={"type": "yaml"}
        )
    assert refused.value.param.startswith("response_format")
