"""Tools: calls, streamed calls, several calls at once, their results, and who decides which tool is called."""

import json

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from gateway import Kind, outcome


def function(name: str, argument: str) -> dict:
    parameters = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return {
        "type": "function",
        "function": {"name": name, "description": f"Tells by {argument}.", "parameters": parameters},
    }


TOOLS = [function("get_weather", "city"), function("get_time", "zone")]
PING = {"type": "function", "function": {"name": "ping", "description": "Has no parameters."}}

BERLIN = 'call: get_weather({"city": "Berlin"})'
ROME = 'call: get_weather({"city": "Rome"})'
CLOCK = 'call: get_time({"zone": "CET"})'


def ask(client: OpenAI, kind: Kind, *lines: str, **fields):
    messages = [{"role": "user", "content": "\n".join(("Please.", *lines))}]
    return client.chat.completions.create(model=kind.chat, messages=messages, **{"tools": TOOLS, **fields})


def calls_of(message) -> list[tuple[str, dict]]:
    return [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []]


def answer(client: OpenAI, kind: Kind, lines: list[str], results: dict[int, object]):
    """Asks with `lines`, then gives `results` (by the call's index, in the order of the dict) and returns the end."""
    messages = [{"role": "user", "content": "\n".join(["Please.", *lines])}]
    first = client.chat.completions.create(model=kind.chat, messages=messages, tools=TOOLS).choices[0].message
    assert len(first.tool_calls) == len(lines)
    messages.append(first)
    for index, result in results.items():
        messages.append({"role": "tool", "tool_call_id": first.tool_calls[index].id, "content": result})
    return client.chat.completions.create(model=kind.chat, messages=messages, tools=TOOLS).choices[0]


def test_a_tool_is_called(client: OpenAI, kind: Kind):
    choice = ask(client, kind, BERLIN).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert not choice.message.content
    [call] = choice.message.tool_calls
    assert call.type == "function" and call.id
    assert calls_of(choice.message) == [("get_weather", {"city": "Berlin"})]


def test_offered_tools_need_not_be_called(client: OpenAI, kind: Kind):
    choice = ask(client, kind).choices[0]
    assert choice.message.content == kind.says("Please.")
    assert not choice.message.tool_calls
    assert choice.finish_reason == "stop"


def test_a_tool_without_parameters_is_called(client: OpenAI, kind: Kind):
    choice = ask(client, kind, "call: ping({})", tools=[PING]).choices[0]
    assert calls_of(choice.message) == [("ping", {})]


def test_several_tools_are_called_at_once(client: OpenAI, kind: Kind):
    message = ask(client, kind, BERLIN, CLOCK, ROME).choices[0].message
    assert calls_of(message) == [
        ("get_weather", {"city": "Berlin"}),
        ("get_time", {"zone": "CET"}),
        ("get_weather", {"city": "Rome"}),
    ]
    assert len({call.id for call in message.tool_calls}) == 3


def test_a_result_is_answered(client: OpenAI, kind: Kind):
    choice = answer(client, kind, [BERLIN], {0: "sunny"})
    assert choice.message.content == f"SIM {kind.cloud} results: sunny"
    assert choice.finish_reason == "stop"


def test_several_results_are_answered_together(client: OpenAI, kind: Kind):
    choice = answer(client, kind, [BERLIN, ROME], {0: "sunny", 1: "rainy"})
    assert choice.message.content == f"SIM {kind.cloud} results: sunny; rainy"


def test_results_may_come_in_any_order(client: OpenAI, kind: Kind):
    choice = answer(client, kind, [BERLIN, CLOCK], {1: "noon", 0: "sunny"})
    assert choice.message.content == f"SIM {kind.cloud} results: sunny; noon"


def test_a_result_may_be_text_parts(client: OpenAI, kind: Kind):
    choice = answer(client, kind, [BERLIN], {0: [{"type": "text", "text": "sunny"}]})
    assert choice.message.content == f"SIM {kind.cloud} results: sunny"


def test_a_conversation_goes_on_after_the_results(client: OpenAI, kind: Kind):
    messages = [{"role": "user", "content": BERLIN}]
    first = client.chat.completions.create(model=kind.chat, messages=messages, tools=TOOLS).choices[0].message
    messages += [first, {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "sunny"}]
    second = client.chat.completions.create(model=kind.chat, messages=messages, tools=TOOLS).choices[0].message
    messages += [second, {"role": "user", "content": "thanks"}]
    third = client.chat.completions.create(model=kind.chat, messages=messages, tools=TOOLS).choices[0].message
    assert third.content == kind.says("thanks")


def test_calls_are_streamed(client: OpenAI, kind: Kind):
    with ask(client, kind, BERLIN, CLOCK, stream=True) as stream:
        choices = [choice for chunk in stream for choice in chunk.choices]
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["tool_calls"]
    pieces = [call for choice in choices for call in choice.delta.tool_calls or []]
    for index, expected in enumerate([("get_weather", {"city": "Berlin"}), ("get_time", {"zone": "CET"})]):
        own = [piece for piece in pieces if piece.index == index]
        assert own[0].id and own[0].type == "function" and own[0].function.name == expected[0]
        assert not any(piece.id or piece.function.name for piece in own[1:])
        arguments = [piece.function.arguments for piece in own if piece.function.arguments]
        assert len(arguments) >= kind.facts["least_argument_pieces"]
        assert json.loads("".join(arguments)) == expected[1]


def test_the_stream_helper_gathers_calls(client: OpenAI, kind: Kind):
    with client.chat.completions.stream(
        model=kind.chat, messages=[{"role": "user", "content": f"{BERLIN}\n{CLOCK}"}], tools=TOOLS
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [event.name for event in done] == ["get_weather", "get_time"]
    assert calls_of(final.choices[0].message) == [("get_weather", {"city": "Berlin"}), ("get_time", {"zone": "CET"})]
    assert final.choices[0].finish_reason == "tool_calls"


def test_a_streamed_call_can_be_answered(client: OpenAI, kind: Kind):
    messages = [{"role": "user", "content": BERLIN}]
    with client.chat.completions.stream(model=kind.chat, messages=messages, tools=TOOLS) as stream:
        [call] = stream.get_final_completion().choices[0].message.tool_calls
    called = {"name": call.function.name, "arguments": call.function.arguments}
    messages += [
        {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": called}]},
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    with client.chat.completions.stream(model=kind.chat, messages=messages, tools=TOOLS) as stream:
        content = stream.get_final_completion().choices[0].message.content
    assert content == f"SIM {kind.cloud} results: sunny"


def test_a_forced_tool_is_called(client: OpenAI, kind: Kind):
    forced = {"type": "function", "function": {"name": "get_time"}}
    message = ask(client, kind, tool_choice=forced).choices[0].message
    assert calls_of(message) == [("get_time", {})]


def test_a_required_call_is_made(client: OpenAI, kind: Kind):
    message = ask(client, kind, CLOCK, tool_choice="required").choices[0].message
    assert calls_of(message) == [("get_time", {"zone": "CET"})]


def test_auto_is_the_model_s_choice(client: OpenAI, kind: Kind):
    assert calls_of(ask(client, kind, CLOCK, tool_choice="auto").choices[0].message)
    assert not calls_of(ask(client, kind, tool_choice="auto").choices[0].message)


def test_no_tool_is_called_when_none_may_be(client: OpenAI, kind: Kind):
    completion = outcome(
        kind, "tool_choice_none", "tool_choice", lambda: ask(client, kind, CLOCK, tool_choice="none")
    )
    if completion:
        assert not completion.choices[0].message.tool_calls
        assert completion.choices[0].message.content.startswith(kind.says("Please."))


def test_one_call_at_a_time_is_honoured_or_refused(client: OpenAI, kind: Kind):
    completion = outcome(
        kind,
        "parallel_tool_calls_false",
        "parallel_tool_calls",
        lambda: ask(client, kind, CLOCK, parallel_tool_calls=False),
    )
    if completion:
        assert calls_of(completion.choices[0].message) == [("get_time", {"zone": "CET"})]


def test_strict_arguments_are_parsed_by_the_sdk_or_refused(client: OpenAI, kind: Kind):
    class GetWeather(BaseModel):
        """Tells the weather."""

        city: str

    completion = outcome(
        kind,
        "strict_tools",
        "tools",
        lambda: client.chat.completions.parse(
            model=kind.chat,
            messages=[{"role": "user", "content": 'call: GetWeather({"city": "Berlin"})'}],
            tools=[openai.pydantic_function_tool(GetWeather)],
        ),
    )
    if completion:
        [call] = completion.choices[0].message.tool_calls
        assert call.function.parsed_arguments == GetWeather(city="Berlin")


@pytest.mark.parametrize(
    ("choice", "field"),
    [("sometimes", "tool_choice"), ({"type": "function", "function": {}}, "tool_choice")],
    ids=["unknown word", "no name"],
)
def test_an_invalid_choice_is_refused_by_name(client: OpenAI, kind: Kind, choice, field: str):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, kind, tool_choice=choice)
    assert refused.value.param == field
