"""Small vocabularies of both kinds that GGUF files carry, trained on the text below.

`byte_level` is GPT-2's kind (`tokenizer.ggml.model = "gpt2"`: merges by rank over bytes written as letters), `sentence`
is SentencePiece's (`"llama"`: merges by score over characters, bytes for what is missing). Both give tokens, their types,
and which of them a model may say: bytes alone, control tokens and fillers stay silent, so that greedy text is readable.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

from gguf import TokenType

TEXT = """The old harbour town lies where the river meets the sea. In the morning the boats go out with the tide, and in
the evening they come back with fish, salt and stories. The people who live there know the weather better than any
newspaper does. When the wind turns north they say that it will rain within three days, and they are usually right.

How does one learn to read the clouds? First, look at the horizon: a clear line means dry air. Second, look up; thin
white feathers tell of a change that is still far away. Third, ask somebody who has been out there for forty years.
It's not a science, it's a habit. They've seen it all, I'm told, and we'll see it too. That is what the keeper said.

The machine reads a request, finds the model, and writes an answer. If the answer is wrong, the caller should be told
what is wrong, where, and what would be right. A program that hides its errors is worse than a program that stops.

def answer(question: str, limit: int = 100) -> str:
    words = question.split()
    if len(words) > limit:
        raise ValueError("the question is longer than the limit")
    return " ".join(reversed(words))

fn main() { let numbers = vec![1, 2, 3, 42, 100, 2024]; println!("{:?}", numbers); }
{"name": "harbour", "boats": 12, "open": true, "fish": ["cod", "herring"], "keeper": null}

Die alte Stadt am Fluß hat drei Brücken, und über jede geht morgens ein Zug. Où est la gare, s'il vous plaît ? Le café
est fermé à cette heure. 你好，世界。今天天气很好，我们去海边吧。Καλημέρα. Привет, мир! naïve façade, 3.14, 1e-9, 50%.
"""

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = (
    TokenType.NORMAL, TokenType.UNKNOWN, TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.UNUSED, TokenType.BYTE,
)  # fmt: skip


@dataclass
class Vocabulary:
    """Tokens in the order of their ids."""

    model: str
    tokens: list[str] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    spoken: list[bool] = field(default_factory=list)
    scores: list[float] | None = None
    merges: list[str] | None = None

    def add(self, token: str, kind: int = NORMAL, spoken: bool = False, score: float = 0.0) -> int:
        self.tokens.append(token)
        self.types.append(int(kind))
        self.spoken.append(spoken)
        if self.scores is not None:
            self.scores.append(score)
        return len(self.tokens) - 1

    def fill(self, size: int) -> None:
        """Adds tokens that no text ever becomes, up to `size`."""
        for index in range(len(self.tokens), size):
            self.add(f"<filler {index}>", UNUSED, score=-1e6)


def letters_of_bytes() -> dict[int, str]:
    """GPT-2's letter for each byte: itself where it is visible, else one from U+0100 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(0x100 + at) for at, byte in enumerate(hidden)}


def train(words: Counter, count: int) -> list[tuple[str, str]]:
    """The first `count` merges of byte pair encoding, most frequent pair first, ties by their text."""
    parts = {word: list(word) for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter = Counter()
        for word, pieces in parts.items():
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for pieces in parts.values():
            at = 0
            while at + 1 < len(pieces):
                if (pieces[at], pieces[at + 1]) == best:
                    pieces[at : at + 2] = ["".join(best)]
                at += 1
    return merges


def byte_level(controls: list[str], merges: int = 320, *, size: int | None = None) -> Vocabulary:
    """256 bytes, the merges, fillers up to `size`, and the control tokens last, as llama 3 and qwen have them."""
    letters = letters_of_bytes()
    words = Counter(
        "".join(letters[byte] for byte in word.encode())
        for word in re.findall(r" ?[^\W\d_]+|\d{1,3}| ?[^\w\s]+|\s*\n+|\s+", TEXT)
    )
    trained = train(words, merges)
    vocabulary = Vocabulary("gpt2", merges=[f"{left} {right}" for left, right in trained])
    back = {letter: byte for byte, letter in letters.items()}
    for byte, letter in sorted(letters.items()):
        vocabulary.add(letter, spoken=0x20 <= byte < 0x7F or byte == 0x0A)
    for left, right in trained:
        whole = left + right
        if whole not in vocabulary.tokens:
            text = bytes(back[letter] for letter in whole)
            vocabulary.add(whole, spoken=is_text(text))
    if size is not None:
        vocabulary.fill(size - len(controls))
    for control in controls:
        vocabulary.add(control, CONTROL)
    return vocabulary


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def sentence(
    first: list[tuple[str, int]], merges: int = 260, *, later: list[tuple[str, int]] = (), prefix: bool = True
) -> Vocabulary:
    """The tokens of `first`, 256 bytes, those of `later`, merged pieces by falling score, single characters last."""
    text = TEXT.replace("\n", " ") if prefix else TEXT
    words = Counter(word.replace(" ", "▁") for word in re.findall(r" ?[^\s]+", text))
    trained = list(dict.fromkeys(left + right for left, right in train(words, merges)))
    characters = sorted({letter for word in words for letter in word} | {"▁"})
    vocabulary = Vocabulary("llama", scores=[])
    for token, kind in first:
        vocabulary.add(token, kind)
    for byte in range(256):
        vocabulary.add(f"<0x{byte:02X}>", BYTE)
    for token, kind in later:
        vocabulary.add(token, kind, spoken=kind == USER)
    for rank, piece in enumerate([*trained, *(letter for letter in characters if letter not in trained)]):
        vocabulary.add(piece, spoken=True, score=-float(rank))
    return vocabulary
