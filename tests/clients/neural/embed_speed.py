"""How fast sentence-transformers makes vectors: `embed_speed.py MODEL TEXTS THREADS ROUNDS`; see examples/embed_speed.rs."""

import sys
import time

import torch
from sentence_transformers import SentenceTransformer


def main():
    model, texts, threads, rounds = sys.argv[1:]
    torch.set_num_threads(int(threads))
    model = SentenceTransformer(model, device="cpu")
    with open(texts, encoding="utf-8") as file:
        texts = file.read().splitlines()
    tokens = sum(len(model.tokenizer(text, truncation=True, max_length=model.max_seq_length)["input_ids"]) for text in texts)
    for _ in range(int(rounds)):
        start = time.perf_counter()
        model.encode(texts, batch_size=32, show_progress_bar=False)
        every = time.perf_counter() - start
        start = time.perf_counter()
        for text in texts[:50]:
            model.encode([text], show_progress_bar=False)
        each = (time.perf_counter() - start) / len(texts[:50])
        print(f"{len(texts)} texts, {tokens} tokens: {every:.3f} s; one alone: {each * 1000:.2f} ms")


if __name__ == "__main__":
    main()
