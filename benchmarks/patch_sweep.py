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
from itertools import product

os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported, which torch does

import pandas
import torch
from torch import Tensor
from transformer_lens import patching

from circuits_course import load_model
from circuits_course.circuits.patching import first_difference, patch_sweep
from circuits_course.data.logit_difference import LogitDifference

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


def compare(model, title: str, batch: int, late: bool, *, every: int = 0, longer: int = 0) -> None:
    """One line: seconds of both, ratio, largest difference, peak memory.

    every: 0 to sweep over heads, else over heads and positions, of whose patches theirs runs one in
    `every`; its time is then scaled up, and the results of those are compared.
    """
    clean, corrupted, right, wrong = prompts(model, batch, late, longer)
    metric = LogitDifference(right, wrong)
    axes = ("layer", "head", "position") if every else ("layer", "head")
    ours, before = timed(lambda: patch_sweep(model, clean, corrupted, metric, axes))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if every:
        theirs, their_time = timed(lambda: sampled(model, clean, corrupted, metric, every))
        their_time *= every
        ours = ours.permute(0, 2, 1).flatten()[::every]  # theirs are [layer, pos, head]
    else:
        theirs, their_time = timed(lambda: all_heads(model, clean, corrupted, metric))
    _, after = timed(lambda: patch_sweep(model, clean, corrupted, metric, axes))
    our_time, difference = (before + after) / 2, (ours - theirs).abs().max().item()
    print(
        f"{title}: {list(clean.shape)}, first difference at {first_difference(clean, corrupted)}: "
        f"{their_time:.1f} s / {our_time:.1f} s = {their_time / our_time:.1f}x, "
        f"largest difference {difference:.1e}, peak memory {peak:.2f} GB",
        flush=True,
    )


@torch.no_grad()
def all_heads(model, clean: Tensor, corrupted: Tensor, metric: LogitDifference) -> Tensor:
    """TransformerLens' sweep over heads."""
    return patching.get_act_patch_attn_head_out_all_pos(
        model, corrupted, cached_z(model, clean), metric
    )


@torch.no_grad()
def sampled(model, clean: Tensor, corrupted: Tensor, metric: LogitDifference, every: int) -> Tensor:
    """One in `every` patches of TransformerLens' sweep over heads and positions."""
    axes = {"layer": model.cfg.n_layers, "pos": clean.shape[1], "head": model.cfg.n_heads}
    places = pandas.DataFrame(list(product(*map(range, axes.values()))), columns=list(axes))
    return patching.generic_activation_patch(
        model, corrupted, cached_z(model, clean), metric,
        patching.layer_pos_head_vector_patch_setter, "z", index_df=places[::every],
    )  # fmt: skip


def cached_z(model, clean: Tensor):
    return model.run_with_cache(clean, names_filter=lambda name: name.endswith("hook_z"))[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument(
        "--every", type=int, default=10,
        help="of the patches by position, TransformerLens runs one in so many (1: 20 minutes)",
    )  # fmt: skip
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    if arguments.scaling:
        for batch in (1, 4, 16):
            compare(model, f"batch {batch}", batch, late=True)
        for longer in (2, 6):
            compare(model, f"longer by {longer} sentences", 4, late=True, longer=longer)
        return
    compare(model, "late, by head", 4, late=True)
    compare(model, "early, by head", 4, late=False)
    compare(model, "late, by head and position", 4, late=True, every=arguments.every)


if __name__ == "__main__":
    main()
