"""What the policy costs: its share of a clip's time, and a line of the audit log.

python bench/policy.py [--model default] [--rounds 5]

Clips of 17 frames of 96x96 from words alone, one thread. The clip's time is that of `generate` with the model loaded;
the policy's is measured inside it, around its own calls. Each prompt is new, since a text's scores are remembered.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.generation.generate import generate
from sorairo.safety.audit import AuditLog
from sorairo.safety.guards import frame_guard, word_guard
from sorairo.safety.policy import policy_of
from sorairo.tasks.ask import Ask
from sorairo.tasks.text_to_video import text_to_video

COLOURS = (
    "red",
    "blue",
    "green",
    "orange",
    "purple",
    "yellow",
    "black",
    "white",
    "pink",
    "teal",
    "grey",
    "brown",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default", help="name or folder of a model")
    parser.add_argument("--rounds", type=int, default=5, help="clips, 1 to 12")
    options = parser.parse_args()
    torch.set_num_threads(1)

    start = time.perf_counter()
    first = policy_of().words(["a first prompt, which loads what is needed"])
    words_load = time.perf_counter() - start
    start = time.perf_counter()
    guard = frame_guard()
    model = load_checkpoint(options.model)
    prompts = [f"A large {colour} ball rolls across the floor to the right." for colour in COLOURS]
    warm = generate(text_to_video("A red cube drops.", model.abilities, Ask(seed=0)), model)[0]

    rows: list[tuple[float, float, float, float]] = []  # clip, policy, words, frames; seconds
    for seed, prompt in enumerate(prompts[: options.rounds]):
        begin, cpu = time.perf_counter(), time.process_time()
        sample = generate(text_to_video(prompt, model.abilities, Ask(seed=seed)), model)[0]
        spent, work = time.perf_counter() - begin, time.process_time() - cpu
        begin = time.process_time()
        word_guard()(prompt + " Still.")
        read = time.process_time() - begin
        begin = time.process_time()
        if guard:
            guard.scores(sample.video.frames, sample.video.fps)
        looked = time.process_time() - begin
        rows.append((work, sample.timings["policy"] / spent, read, looked))
    clip, wall, read, looked = (statistics.median(column) for column in zip(*rows, strict=True))
    print("| | |")
    print("|---|---:|")
    print(f"| a clip of {len(warm.video)} frames, policy included, processor s | {clip:.2f} |")
    print(f"| reading the words, processor ms | {1000 * read:.1f} |")
    print(
        f"| looking at the frames, processor ms | {1000 * looked:.1f} |"
        if guard
        else "| no guard of frames | |"
    )
    print(f"| share of a clip's processor time, % | {100 * (read + looked) / clip:.1f} |")
    print(f"| share of a clip's wall time, as measured inside, % | {100 * wall:.1f} |")
    print(f"| loading the guard of words, once a process, s | {words_load:.2f} |")
    with tempfile.TemporaryDirectory() as folder:
        log = AuditLog(Path(folder))
        begin = time.perf_counter()
        for _ in range(50):
            log.append("key", prompts[0], first)
        print(f"| a line of the audit log, on the disk, ms | {20 * (time.perf_counter() - begin):.1f} |")


if __name__ == "__main__":
    main()
