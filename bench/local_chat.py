#!/usr/bin/env python3
"""How fast a local chat model is: aigate beside llama.cpp, on the same GGUF files and as many threads.

    cargo build --release -p aigate-neural --example chat_speed
    VENV/bin/python tests/clients/neural/make_gguf.py --bench FOLDER
    VENV/bin/python bench/local_chat.py [--threads 2] [--rounds 3] [--prompt 512] [--answer 128] FOLDER/*.gguf

VENV has tests/clients/neural/requirements.txt. Each measurement is a process of its own that loads the file, reads a prompt
of `--prompt` tokens (tokens a second of it are printed as `prompt`) and generates `--answer` tokens one by one (`answer`).
The sides take turns. `--also NAME=PROGRAM` adds a third side: a program that takes FILE THREADS PROMPT ANSWER and prints
the two lines `prompt N tokens/s` and `answer N tokens/s`, as the example does. llama.cpp runs with its defaults for the
CPU: flash attention, a cache of half floats, batches of 512.

Of the rounds the best is shown, since whatever else the machine does only takes speed away, and the middle one in brackets.
Ratios are of the best ones: above 1 aigate is faster.
"""

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
Speeds = dict[str, list[float]]


def main() -> None:
    options = arguments()
    if options.reference:
        llama_cpp(options)
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; {options.threads} threads, "
          f"prompt of {options.prompt} tokens, answer of {options.answer}, {options.rounds} rounds")  # fmt: skip
    for file in options.files:
        sides = commands(options, file)
        found: dict[str, Speeds] = {name: {"prompt": [], "answer": []} for name in sides}
        for _ in range(options.rounds):
            for name, command in sides.items():
                for phase, speed in measure(command).items():
                    found[name][phase].append(speed)
        show(file, found)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.gguf")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the prompt")
    parser.add_argument("--answer", type=int, default=128, help="tokens of the answer")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/examples/chat_speed")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=PROGRAM")
    parser.add_argument("--reference", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.reference and not options.program.is_file():
        parser.error(f"{options.program} is not there: build it as the top of this script says")
    return options


def commands(options: argparse.Namespace, file: Path) -> dict[str, list[str]]:
    """The command that measures a file, for each side."""
    counts = [str(options.threads), str(options.prompt), str(options.answer)]
    own = [sys.executable, "-B", __file__, "--reference", "--threads", counts[0], "--prompt", counts[1], "--answer"]
    sides = {"aigate": [str(options.program), str(file), *counts], "llama.cpp": [*own, counts[2], str(file)]}
    for also in options.also:
        name, _, program = also.partition("=")
        sides[name] = [program, str(file), *counts]
    return sides


def measure(command: list[str]) -> dict[str, float]:
    """Tokens a second, by phase."""
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    speeds = {phase: float(number) for phase, number in re.findall(r"^(prompt|answer) ([\d.]+) tokens/s", run.stdout, re.M)}
    if run.returncode != 0 or set(speeds) != {"prompt", "answer"}:
        raise SystemExit(f"{' '.join(command)} failed:\n{run.stdout}{run.stderr}")
    return speeds


def llama_cpp(options: argparse.Namespace) -> None:
    """The reference's side of one measurement."""
    sys.path.insert(0, str(ROOT / "tests/clients/neural"))
    import reference

    [file] = options.files
    context = options.prompt + options.answer + 8
    prompt = [3 + place * 7 % 500 for place in range(options.prompt)]
    with reference.server(file, threads=options.threads, context=context) as server:
        timings = server.complete(prompt, options.answer)["timings"]
    if (timings["prompt_n"], timings["predicted_n"]) != (options.prompt, options.answer):
        raise SystemExit(f"llama.cpp computed {timings['prompt_n']} and {timings['predicted_n']} tokens")
    print(f"prompt {timings['prompt_per_second']:.2f} tokens/s")
    print(f"answer {timings['predicted_per_second']:.2f} tokens/s")


def show(file: Path, found: dict[str, Speeds]) -> None:
    print(f"\n{file.name}, {file.stat().st_size / 2**20:.0f} MiB")
    for phase in ("prompt", "answer"):
        for name, speeds in found.items():
            best, middle = max(speeds[phase]), statistics.median(speeds[phase])
            ratio = "" if name == "aigate" else f"  aigate is at {max(found['aigate'][phase]) / best:.2f} of it"
            print(f"  {phase:6} {name:10} {best:8.2f} tokens/s  (middle {middle:.2f}){ratio}", flush=True)


if __name__ == "__main__":
    main()
