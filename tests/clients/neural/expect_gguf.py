"""Writes beside each tiny GGUF file what llama.cpp answers with it: NAME.gguf -> NAME.expected.json.

    python expect_gguf.py FOLDER              every file of make_gguf.py that lies in FOLDER
    python expect_gguf.py --only NAME FOLDER  one file

Needs the package `xllamacpp` (llama.cpp prebuilt). The JSON of a file:

    {
      "program":   "xllamacpp VERSION",
      "size":      number of tokens in the vocabulary,
      "tokenizer": [{"text", "bos": whether the model's begin token was asked for, "special": whether control tokens
                     in the text count as such, "ids": [..]}, ..],
      "chat":      [{"messages": [..], "prompt": text as the template renders it, "ids": [..] (begin token included)}],
      "prompt":    [ids] of the short fixed prompt, begin token included where the model has one,
      "long":      [ids] of a prompt of some hundred tokens, longer than the tiny sliding windows,
      "singles":   [ids], each of which is a prompt of its own
      "masked":    [ids] of the tokens that end a text; the greedy runs may not choose them (their logit counts as -inf
                   when choosing, yet the log-probabilities below are those of the unmasked logits),
      "runs":      {NAME: RUN}, NAME one of the keys of SETTINGS below
    }
    RUN = {
      "settings":  {"flash_attention": true|false, "kv": "f16"|"f32", "threads": 1},
      "logprobs":  [[one number per token id, natural log], ..] at the first 9 positions generated after "prompt",
      "long":      [one number per token id] at the first position generated after "long",
      "singles":   [[one number per token id], ..] at the first position after each of "singles",
      "greedy":    {"ids": 200 ids after "prompt", "text": the text that llama.cpp makes of them,
                    "top": for each position the 8 likeliest tokens that are not masked, [[id, log-probability], ..],
                    "gaps": for each position the log-probability of the best token less that of the second best,
                            masked ones left aside, "smallest_gap": the least of them}
    }

A greedy run that leaves "ids" at a position whose gap is tiny met a tie; one that leaves it elsewhere has a bug. Feeding
"ids" and comparing each position with "top" goes past ties. In files with quantised weights the activations are rounded
to 8 bits, where a difference in the last bit of a sum can move a rounding, and all that follows with it: the runs of
llama.cpp itself then differ by some tenths in log-probability (root of the mean square over the vocabulary), as comparing
the runs of one file shows. "singles" are for these files: over one token attention is no sum, so that with an f16 cache
most of them agree with the run `f16` to a thousandth.
llama.cpp's default on the CPU is flash attention on with an f16 cache (`default` here). There the sum over values is
kept in f16 for a single token, so that `f32` (no flash attention, f32 cache) is the more exact run.
"""

import argparse
import json
from pathlib import Path

import xllamacpp

import make_gguf
import reference

SETTINGS = {"default": (True, "f16"), "f16": (False, "f16"), "f32": (False, "f32")}
PROMPT = "The boats go out with the tide, and the keeper says:"
TEXTS = [
    "Hello, world!",
    "The old harbour town lies where the river meets the sea.",
    " leading space, trailing space ",
    "two  spaces,   three,\ttab,\n\nblank line\n\n\n\nend\r\n",
    "It's they've I'm we'll DON'T I'D",
    "1 12 123 1234 12345 3.14 1e-9 50% 2024-11-24",
    "naïve façade, Où est la gare ? Über den Fluß.",
    "你好，世界。今天 Καλημέρα Привет, мир!",
    "emoji 🎉👩‍👩‍👧 and e\u0301 combining, \u00a0nbsp, \u200bzero",
    'def f(x):\n    return {"a": [1, 2], "b": None}  # comment\n',
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "<|im_start|>user\nhi<|im_end|><s></s><start_of_turn>model<|eot_id|><tool_call>",
    "<0x41> <unk> ▁▁ _",
    "",
    " ",
    "\n",
]
CHATS = [
    [{"role": "user", "content": "How does one learn to read the clouds?"}],
    [
        {"role": "system", "content": "You are the keeper."},
        {"role": "user", "content": "Will it rain?"},
        {"role": "assistant", "content": "Within three days."},
        {"role": "user", "content": "How do you know?"},
    ],
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--only", metavar="NAME", help="one file")
    chosen = parser.parse_args()
    names = [chosen.only] if chosen.only else list(make_gguf.TINY)
    for path in (chosen.folder / f"{name}.gguf" for name in names):
        answers = expected(path)
        path.with_suffix(".expected.json").write_text(json.dumps(answers, ensure_ascii=False) + "\n")
        gaps = {name: run["greedy"]["smallest_gap"] for name, run in answers["runs"].items()}
        print(path.stem, gaps)


def expected(path: Path) -> dict:
    """All that llama.cpp says about one file."""
    family = make_gguf.FAMILIES[make_gguf.TINY[path.stem][0]]
    size = len(make_gguf.make_vocabulary(family).tokens)
    with reference.server(path) as first:
        answers = {
            "program": f"xllamacpp {xllamacpp.__version__}",
            "size": size,
            "tokenizer": [
                {"text": text, "bos": bos, "special": special, "ids": first.tokenize(text, bos, special)}
                for text in TEXTS
                for bos, special in ((False, True), (False, False), (True, True))
            ],
            "chat": chats(first),
            "prompt": first.tokenize(PROMPT, True, True),
            "singles": [size * at // 9 for at in range(1, 9)],
            "long": first.tokenize(" ".join(TEXTS[:2] * 12), True, True),
        }
    answers["runs"] = {}
    for name, (flash, kv) in SETTINGS.items():
        with reference.server(path, flash=flash, kv=kv) as server:
            answers["runs"][name], answers["masked"] = run(server, answers, size)
            answers["runs"][name]["settings"] = {"flash_attention": flash, "kv": kv, "threads": 1}
    return answers


def chats(server: reference.Server) -> list[dict]:
    found = []
    for messages in CHATS:
        prompt = server.render(messages)
        if prompt is not None:
            found.append({"messages": messages, "prompt": prompt, "ids": server.tokenize(prompt, True, True)})
    return found


def run(server: reference.Server, answers: dict, size: int) -> tuple[dict, list[int]]:
    greedy = server.complete(answers["prompt"], 200, probabilities=12)
    masked = sorted(entry["token"] for entry in greedy["generation_settings"]["logit_bias"])
    tops = [top(position, masked) for position in greedy["completion_probabilities"]]
    gaps = [round(likeliest[0][1] - likeliest[1][1], 6) for likeliest in tops]
    whole = server.complete(answers["prompt"], 9, probabilities=size)
    after_long = server.complete(answers["long"], 1, probabilities=size)
    singles = [server.complete([token], 1, probabilities=size) for token in answers["singles"]]
    answer = {
        "singles": [by_id(single["completion_probabilities"][0], size) for single in singles],
        "logprobs": [by_id(position, size) for position in whole["completion_probabilities"]],
        "long": by_id(after_long["completion_probabilities"][0], size),
        "greedy": {
            "ids": greedy["tokens"],
            "text": greedy["content"],
            "top": tops,
            "gaps": gaps,
            "smallest_gap": min(gaps),
        },
    }
    return answer, masked


def by_id(position: dict, size: int) -> list[float]:
    """The log-probabilities of all tokens, in the order of their ids."""
    found = {entry["id"]: entry["logprob"] for entry in position["top_logprobs"]}
    if len(found) != size:
        raise ValueError(f"llama.cpp told {len(found)} of {size} log-probabilities")
    return [round(found[token], 6) for token in range(size)]


def top(position: dict, masked: list[int]) -> list[list]:
    """The likeliest tokens of a position that may be chosen, best first."""
    found = [[entry["id"], round(entry["logprob"], 6)] for entry in position["top_logprobs"]]
    return [entry for entry in found if entry[0] not in masked][:8]


if __name__ == "__main__":
    main()
