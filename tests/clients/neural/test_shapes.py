"""The form of what a local model says: JSON, a schema, calls of tools. See the top of test_chat.py.

Random models say random things, so that only the constraint can make the form right.
"""

import json

import openai
import pydantic_core
import pytest
from openai import OpenAI

from chat import FAMILIES, QUESTION, WITH_TOOLS, WITHOUT_TOOLS, Expected, ask, finishes, joined, said, streamed

SCHEMA = {
    "type": "object",
    "properties": {
        "mood": {"type": "string", "enum": ["good", "bad", "très bien"]},
        "open": {"type": "boolean"},
        "boats": {"type": "integer", "minimum": 0, "maximum": 40},
        "fish": {"type": "array", "items": {"enum": ["cod", "herring", None]}, "minItems": 1, "maxItems": 3},
        "keeper": {
            "anyOf": [
                {"type": "null"},
                {
                    "type": "object",
                    "properties": {"name": {"type": "string", "maxLength": 6}},
                    "required": ["name"],
                    "additionalProperties": False,
                },
            ]
        },
    },
    "required": ["mood", "open", "boats", "fish", "keeper"],
    "additionalProperties": False,
}


def tool(name: str, values: list[str]) -> dict:
    parameters = {
        "type": "object",
        "properties": {"place": {"type": "string", "enum": values}, "days": {"type": "integer", "enum": [1, 3, 7]}},
        "required": ["place", "days"],
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "function": {"name": name, "description": "Tells about a place.", "parameters": parameters},
    }


PLACES = {"get_weather": ["harbour", "sea"], "get_tides": ["river", "bridge"]}
TOOLS = [tool(name, values) for name, values in PLACES.items()]
# One: a random model that may call several at once might never end.
ONE_CALL = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False, "max_completion_tokens": 300}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(3))
def test_a_json_object_is_one_or_the_beginning_of_one(client: OpenAI, family: str, seed: int):
    completion = ask(
        client, family, temperature=1.0, seed=seed, max_completion_tokens=150, response_format={"type": "json_object"}
    )
    choice = completion.choices[0]
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content), dict)
    else:
        assert choice.finish_reason == "length"
        partial = pydantic_core.from_json(choice.message.content, allow_partial="trailing-strings")
        assert isinstance(partial, dict)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(3))
def test_an_answer_follows_its_schema(client: OpenAI, family: str, seed: int):
    shape = {"type": "json_schema", "json_schema": {"name": "harbour", "strict": True, "schema": SCHEMA}}
    completion = ask(
        client, family, temperature=1.0, seed=seed, max_completion_tokens=400, response_format=shape
    )
    assert completion.choices[0].finish_reason == "stop"
    assert_harbour(json.loads(said(completion)))


def test_a_streamed_answer_follows_its_schema(client: OpenAI):
    shape = {"type": "json_schema", "json_schema": {"name": "harbour", "strict": True, "schema": SCHEMA}}
    parts = streamed(client, "gemma3", temperature=1.0, seed=3, max_completion_tokens=400, response_format=shape)
    assert finishes(parts) == ["stop"]
    assert_harbour(json.loads(joined(parts)))


def assert_harbour(found: dict) -> None:
    assert list(found) == ["mood", "open", "boats", "fish", "keeper"]
    assert found["mood"] in ("good", "bad", "très bien")
    assert isinstance(found["open"], bool)
    assert type(found["boats"]) is int and 0 <= found["boats"] <= 40
    assert 1 <= len(found["fish"]) <= 3 and all(fish in ("cod", "herring", None) for fish in found["fish"])
    if found["keeper"] is not None:
        assert list(found["keeper"]) == ["name"] and len(found["keeper"]["name"]) <= 6


@pytest.mark.parametrize("family", WITH_TOOLS)
@pytest.mark.parametrize("seed", range(3))
def test_a_required_call_is_one_of_the_tools(client: OpenAI, family: str, seed: int):
    completion = ask(client, family, **ONE_CALL, temperature=1.0, seed=seed)
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls
    assert_call(call)


@pytest.mark.parametrize("family", WITH_TOOLS)
@pytest.mark.parametrize("name", PLACES)
def test_a_named_tool_is_called(client: OpenAI, family: str, name: str):
    wish = {"type": "function", "function": {"name": name}}
    completion = ask(client, family, tools=TOOLS, tool_choice=wish, max_completion_tokens=300)
    [call] = completion.choices[0].message.tool_calls
    assert call.function.name == name
    assert_call(call)


def assert_call(call) -> None:
    assert call.type == "function" and call.id
    arguments = json.loads(call.function.arguments)
    assert set(arguments) == {"place", "days"}
    assert arguments["place"] in PLACES[call.function.name]
    assert arguments["days"] in (1, 3, 7)


@pytest.mark.parametrize("family", WITH_TOOLS)
def test_a_streamed_call_is_the_whole_one(client: OpenAI, family: str):
    whole = ask(client, family, **ONE_CALL).choices[0].message.tool_calls
    parts = streamed(client, family, **ONE_CALL)
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for delta in (choice.delta for chunk in parts for choice in chunk.choices):
        for call in delta.tool_calls or []:
            names[call.index] = names.get(call.index, "") + (call.function.name or "")
            arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
    assert list(names.values()) == [call.function.name for call in whole]
    assert [json.loads(text) for text in arguments.values()] == [json.loads(call.function.arguments) for call in whole]
    assert finishes(parts) == ["tool_calls"]


@pytest.mark.parametrize("family", WITH_TOOLS)
def test_no_tool_is_called_when_none_may_be(client: OpenAI, family: str):
    message = ask(client, family, tools=TOOLS, tool_choice="none").choices[0].message
    assert not message.tool_calls and message.content


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_a_call_and_its_result_are_written_as_the_template_says(client: OpenAI, llama_cpp, family: str):
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"place": "sea", "days": 3}'},
    }
    messages = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    expected = Expected.of(llama_cpp(family), messages, 1, tools=TOOLS)
    completion = ask(client, family, messages, tools=TOOLS)
    assert completion.usage.prompt_tokens == expected.prompt_tokens


@pytest.mark.parametrize("family", WITHOUT_TOOLS)
def test_tools_are_refused_where_the_template_has_none(client: OpenAI, family: str):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, family, tools=TOOLS)
    assert refused.value.param == "tools" or "tools" in refused.value.message
