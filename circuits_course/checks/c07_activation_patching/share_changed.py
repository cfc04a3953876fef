"""Exercise `share_changed`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

share_changed = Exercise(
    "share_changed",
    difficulty=1,
    importance=3,
    minutes=8,
    hints=[
        "First lengths, then means: the length of clean - corrupted over the last axis.",
        "x.norm(dim=-1) has shape [batch, pos, head]; .mean(0) takes the mean over prompts. Do so "
        "for the difference and for clean, and divide.",
    ],
)


@share_changed.cases
def _share_cases() -> Iterator[Case]:
    one = torch.tensor([[[[3.0, 4.0]], [[1.0, 0.0]]]])
    other = torch.tensor([[[[3.0, 4.0]], [[0.0, 1.0]]]])
    yield Case("one prompt, one head, a change at position 1 alone", one, other)
    two = torch.tensor([[[[1.0, 0.0]]], [[[9.0, 0.0]]]])
    yield Case(
        "two prompts of very different size",
        two,
        two * torch.tensor([0.0, 1.0])[:, None, None, None],
    )
    large = normal(2, 3, 2, 4, seed=9)
    yield Case("differences many times as large as the clean output", large, -6.0 * large)
    for seed, shape in enumerate([(2, 5, 3, 4), (4, 3, 5, 2), (3, 6, 2, 7)]):
        clean = normal(*shape, seed=seed)
        step = normal(*shape, seed=seed + 20)
        step[:, 0] = 0.0
        yield Case("random outputs, equal at position 0", clean, clean + 0.6 * step)


@share_changed.oracle
def _share_oracle(clean: Tensor, corrupted: Tensor) -> Tensor:
    batch, n_pos, n_heads, _ = clean.shape
    out = torch.zeros(n_pos, n_heads)
    for pos in range(n_pos):
        for head in range(n_heads):
            pairs = [(clean[b, pos, head], corrupted[b, pos, head]) for b in range(batch)]
            moved = sum(((a - b) ** 2).sum().sqrt() for a, b in pairs)
            out[pos, head] = moved / sum((a**2).sum().sqrt() for a, _ in pairs)
    return out


@share_changed.wrong("that is the difference itself. Divide by the size of the clean output.")
def not_divided(clean: Tensor, corrupted: Tensor) -> Tensor:
    return (clean - corrupted).norm(dim=-1).mean(0)


@share_changed.wrong(
    "you took each prompt's ratio and then the mean. A prompt on which the head says next to "
    "nothing drowns the others: means first, then one division."
)
def mean_of_shares(clean: Tensor, corrupted: Tensor) -> Tensor:
    return ((clean - corrupted).norm(dim=-1) / clean.norm(dim=-1)).mean(0)


@share_changed.wrong(
    "you took the mean over prompts before the length, so changes in opposite directions cancel. "
    "Lengths first."
)
def mean_before_length(clean: Tensor, corrupted: Tensor) -> Tensor:
    return (clean - corrupted).mean(0).norm(dim=-1) / clean.norm(dim=-1).mean(0)


@share_changed.wrong(
    "you compared lengths: |clean| - |corrupted|. A head can say something else equally loudly: "
    "take the length of the difference."
)
def difference_of_lengths(clean: Tensor, corrupted: Tensor) -> Tensor:
    a, b = clean.norm(dim=-1).mean(0), corrupted.norm(dim=-1).mean(0)
    return (a - b).abs() / a


@share_changed.wrong("axes are exchanged: positions come first, heads second.")
def heads_first(clean: Tensor, corrupted: Tensor) -> Tensor:
    return _share_oracle(clean, corrupted).T


@share_changed.wrong("the division is by the corrupted output's size; asked is the clean one's.")
def by_the_corrupted_size(clean: Tensor, corrupted: Tensor) -> Tensor:
    return (clean - corrupted).norm(dim=-1).mean(0) / corrupted.norm(dim=-1).mean(0)


@share_changed.wrong(
    "these are sums of absolute values. The length of a vector is the root of the sum of squares."
)
def sums_of_absolutes(clean: Tensor, corrupted: Tensor) -> Tensor:
    return (clean - corrupted).abs().sum(-1).mean(0) / clean.abs().sum(-1).mean(0)


slip(
    share_changed,
    "change_of_length",
    "this is the change of length. An output can turn and keep its length: take the length of "
    "the difference.",
    ("(clean - corrupted).norm(dim=-1)", "(clean.norm(dim=-1) - corrupted.norm(dim=-1)).abs()"),
)


slip(
    share_changed,
    "means_before_lengths",
    "means over prompts were taken before both lengths, so that prompts cancel. Take each "
    "prompt's length first, then the mean.",
    (
        "difference = (clean - corrupted).norm(dim=-1).mean(0)",
        "difference = (clean - corrupted).mean(0).norm(dim=-1)",
    ),
    (
        "return difference / clean.norm(dim=-1).mean(0)",
        "return difference / clean.mean(0).norm(dim=-1)",
    ),
)


slip(
    share_changed,
    "squared_lengths",
    "these are squared lengths. Take the root before the mean: .norm(dim=-1).",
    (
        "difference = (clean - corrupted).norm(dim=-1).mean(0)",
        "difference = (clean - corrupted).pow(2).sum(-1).mean(0)",
    ),
    (
        "return difference / clean.norm(dim=-1).mean(0)",
        "return difference / clean.pow(2).sum(-1).mean(0)",
    ),
)


slip(
    share_changed,
    "one_minus_cosine",
    "that is 1 minus a cosine: it forgets how large the change is. Take the length of the "
    "difference.",
    (
        "return difference / clean.norm(dim=-1).mean(0)",
        "return (1 - torch.cosine_similarity(clean, corrupted, dim=-1)).mean(0)",
    ),
)


slip(
    share_changed,
    "positions_share_a_size",
    "the clean length was averaged over positions as well. Each position has its own size.",
    (
        "return difference / clean.norm(dim=-1).mean(0)",
        "return difference / clean.norm(dim=-1).mean((0, 1))",
    ),
)


slip(
    share_changed,
    "heads_share_a_size",
    "the clean length was averaged over the heads as well. Each head has its own size.",
    (
        "return difference / clean.norm(dim=-1).mean(0)",
        "return difference / clean.norm(dim=-1).mean(0).mean(-1, keepdim=True)",
    ),
)


slip(
    share_changed,
    "by_both_sizes",
    "the division is by the size of both outputs together; asked is the clean one's.",
    (
        "return difference / clean.norm(dim=-1).mean(0)",
        "return difference / (clean.norm(dim=-1) + corrupted.norm(dim=-1)).mean(0)",
    ),
)


slip(
    share_changed,
    "largest_prompt",
    "the largest share of any prompt was taken. Take means over the prompts, then divide.",
    (
        "return difference / clean.norm(dim=-1).mean(0)",
        "return ((clean - corrupted).norm(dim=-1) / clean.norm(dim=-1)).amax(0)",
    ),
)


slip(
    share_changed,
    "root_of_mean_square",
    "these are roots of mean squares, in which large prompts count more. Take the mean of "
    "the lengths.",
    (
        "difference = (clean - corrupted).norm(dim=-1).mean(0)",
        "difference = (clean - corrupted).norm(dim=-1).pow(2).mean(0).sqrt()",
    ),
    (
        "return difference / clean.norm(dim=-1).mean(0)",
        "return difference / clean.norm(dim=-1).pow(2).mean(0).sqrt()",
    ),
)


slip(
    share_changed,
    "entry_by_entry",
    "each number was divided by its own clean value. Take the length over d_head first.",
    (
        "return difference / clean.norm(dim=-1).mean(0)",
        "return ((clean - corrupted) / clean).abs().mean((0, 3))",
    ),
)


slip(
    share_changed,
    "first_prompt_only",
    "only the first prompt was counted: take means over all of them.",
    (
        "return difference / clean.norm(dim=-1).mean(0)",
        "return (clean - corrupted)[0].norm(dim=-1) / clean[0].norm(dim=-1)",
    ),
)


slip(
    share_changed,
    "lengths_over_prompts",
    "the length runs over the prompts and the mean over d_head. Take each prompt's length "
    "over d_head, the last axis, then the mean over prompts.",
    (
        "difference = (clean - corrupted).norm(dim=-1).mean(0)",
        "difference = (clean - corrupted).norm(dim=0).mean(-1)",
    ),
    (
        "return difference / clean.norm(dim=-1).mean(0)",
        "return difference / clean.norm(dim=0).mean(-1)",
    ),
)


slip(
    share_changed,
    "at_most_1",
    "shares above 1 were cut off. An output may change by more than its size.",
    (
        "return difference / clean.norm(dim=-1).mean(0)",
        "return (difference / clean.norm(dim=-1).mean(0)).clamp(max=1)",
    ),
)


slip(
    share_changed,
    "largest_number",
    "the largest number of each vector was taken for its length. The length is the root of "
    "the sum of squares.",
    (
        "difference = (clean - corrupted).norm(dim=-1).mean(0)",
        "difference = (clean - corrupted).abs().amax(-1).mean(0)",
    ),
    (
        "return difference / clean.norm(dim=-1).mean(0)",
        "return difference / clean.abs().amax(-1).mean(0)",
    ),
)


slip(
    share_changed,
    "root_of_the_mean_square",
    "squares were averaged over the prompts, and the root taken last. Take each prompt's length "
    "first, then the mean.",
    (
        "(clean - corrupted).norm(dim=-1).mean(0)",
        "(clean - corrupted).pow(2).sum(-1).mean(0).sqrt()",
    ),
)


slip(
    share_changed,
    "sum_of_sizes",
    "the sizes of the entries were added up. The length is the root of the sum of squares: "
    "norm(dim=-1).",
    (
        "(clean - corrupted).norm(dim=-1)",
        "(clean - corrupted).abs().sum(-1)",
    ),
)


slip(
    share_changed,
    "never_above_two",
    "shares were cut off at 2. A difference may be many times as long as the clean output.",
    (
        "return difference / clean.norm(dim=-1).mean(0)",
        "return (difference / clean.norm(dim=-1).mean(0)).clamp_max(2)",
    ),
)
