"""How much faster `patch_sweep` is than `transformer_lens.patching`, and whether both agree.

    python benchmarks/patch_sweep.py            the bars: late and early difference, by position
    python benchmarks/patch_sweep.py --scaling  how the ratio moves with length and batch

Both sweeps run in this process on the same prompts, ours before and after theirs; compare the
ratio, not the seconds.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable

os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported, which torch does

import torch
from torch import Tensor

NAMES = ("John", "Mary", "Tom", "Anna", "Paul", "Lisa", "Mark", "Kate")
TEMPLATE = "When {a} and {b} went to the store, {s} gave a drink to"


def prompts(
    model, batch: int, late: bool, longer: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Clean and corrupted tokens, the right and the wrong name. late: only the second subject is
    swapped; otherwise both names are new from their first mention on."""
    pairs = [(NAMES[i % 8], NAMES[(i + 1) % 8]) for i in range(batch)]
    opening = "It was a long day. " * longer
    clean = [opening + TEMPLATE.format(a=a, b=b, s=a) for a, b in pairs]
    swapped = [TEMPLATE.format(a=a, b=b, s=b) for a, b in pairs]
    new = [TEMPLATE.format(a=NAMES[(i + 4) % 8], b=b, s=NAMES[(i + 4) % 8])
           for i, (_, b) in enumerate(pairs)]  # fmt: skip
    corrupted = [opening + text for text in (swapped if late else new)]
    right, wrong = (torch.tensor([_token(model, f" {n}") for n in names])
                    for names in zip(*[(b, a) for a, b in pairs], strict=True))  # fmt: skip
    return model.to_tokens(clean), model.to_tokens(corrupted), right, wrong


def _token(model, word: str) -> int:
    (token,) = model.tokenizer.encode(word, add_special_tokens=False)
    return token


def timed(run: Callable[[], Tensor]) -> tuple[Tensor, float]:
    start = time.perf_counter()
    return run(), time.perf_counter() - start


def compare(model, title: str, batch: int, late: bool, by_position: bool, longer: int = 0) -> None:
    """One line: seconds of both, ratio, largest difference, peak memory."""
    from transformer_lens import patching

    from circuits_course.patching import LogitDifference, first_difference, patch_sweep

    clean, corrupted, right, wrong = prompts(model, batch, late, longer)
    metric = LogitDifference(right, wrong)
    axes = ("layer", "head", "position") if by_position else ("layer", "head")
    ours, our_time = timed(lambda: patch_sweep(model, clean, corrupted, metric, axes))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    theirs, their_time = timed(
        lambda: _theirs(patching, model, clean, corrupted, metric, by_position)
    )
    _, again = timed(lambda: patch_sweep(model, clean, corrupted, metric, axes))
    our_time = (our_time + again) / 2
    difference = (ours - theirs).abs().max().item()
    print(
        f"{title}: {list(clean.shape)}, first difference at {first_difference(clean, corrupted)}: "
        f"{their_time:.1f} s / {our_time:.1f} s = {their_time / our_time:.1f}x, "
        f"largest difference {difference:.1e}, peak memory {peak:.2f} GB",
        flush=True,
    )


@torch.no_grad()
def _theirs(patching, model, clean, corrupted, metric, by_position: bool) -> Tensor:
    _, cache = model.run_with_cache(clean, names_filter=lambda name: name.endswith("hook_z"))
    if not by_position:
        return patching.get_act_patch_attn_head_out_all_pos(model, corrupted, cache, metric)
    by_head = patching.get_act_patch_attn_head_out_by_pos(model, corrupted, cache, metric)
    return by_head.permute(0, 2, 1)  # [layer, pos, head] -> [layer, head, pos]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--by-position", action="store_true", help="minutes: 4,050 runs")
    arguments = parser.parse_args()
    from circuits_course import load_model

    model = load_model(arguments.model)
    if arguments.scaling:
        for batch in (1, 4, 16):
            compare(model, f"batch {batch}", batch, late=True, by_position=False)
        for longer in (2, 6):
            compare(model, f"longer by {longer} sentences", 4, True, False, longer)
        return
    compare(model, "late, by head", 4, late=True, by_position=False)
    compare(model, "early, by head", 4, late=False, by_position=False)
    if arguments.by_position:
        compare(model, "late, by head and position", 4, late=True, by_position=True)


if __name__ == "__main__":
    main()
