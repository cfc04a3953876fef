"""Prompts of different lengths: read where their words stand, or refused by name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from circuits.architectures import PAD, rotary_with_grouped_keys

from circuits_course.circuits import (
    Ablation,
    added_losses,
    attribution_patch,
    attribution_path,
    behaviour_scores,
    cache_without,
    direct_effects,
    direct_scores,
    gap_shares,
    head_scores,
    losses_without,
    mean_ablated,
    patch_sweep,
    patch_under_noise,
    path_patch,
    residual_states,
    swap_states,
    walk_head,
)
from circuits_course.circuits.padding import (
    real_lengths,
    real_positions,
    require_at_words,
    require_left_aligned,
    require_one_length,
)
from circuits_course.data import LogitDifference
from circuits_course.data.sequences import repeats_for
from circuits_course.errors import CourseError

RIGHT, WRONG = torch.tensor([5, 6]), torch.tensor([9, 10])
AT_THE_LAST = LogitDifference(RIGHT, WRONG)
TOOLS = {
    "sweep": lambda m, a, b, metric: patch_sweep(m, a, b, metric),
    "shares": lambda m, a, b, metric: gap_shares(m, a, b, metric),
    "path": lambda m, a, b, metric: path_patch(m, a, b, (0, 0), "logits", metric),
    "attribution": lambda m, a, b, metric: attribution_patch(m, a, b, metric),
    "attributed path": lambda m, a, b, metric: attribution_path(
        m, a, b, metric, (0, 0), (1, 0, "q")
    ),
    "ablation": lambda m, a, b, metric: Ablation(m, a).score([(0, 0)], metric),
    "walk": lambda m, a, b, metric: walk_head(m, a, b, metric, (0, 0), [1.0], (1, 0, -1, 0)),
    "noise": lambda m, a, b, metric: patch_under_noise(
        m, a, torch.tensor([1, 1]), metric, [(0, 0)]
    ),
}
"""Everything that takes tokens and a metric."""


@pytest.fixture(scope="module")
def model():
    return rotary_with_grouped_keys()


@pytest.fixture
def prompts(model):
    """Two prompts of 6 and 3 tokens, and the same with one other word each."""
    tokens = model.to_tokens(["one two three four five", "one two"])
    other = tokens.clone()
    other[:, 2] += 1
    return tokens, other


def lengths_of(model, prompts):
    return real_lengths(model, prompts[0])


@pytest.mark.parametrize("tool", TOOLS)
def test_padding_is_not_read_as_a_word(tool, model, prompts):
    with pytest.raises(CourseError, match=r"prompt 1 has 3 tokens.*only padding stands"):
        TOOLS[tool](model, *prompts, AT_THE_LAST)
    TOOLS[tool](model, *prompts, LogitDifference(RIGHT, WRONG, lengths_of(model, prompts) - 1))


@pytest.mark.parametrize("tool", TOOLS)
def test_a_metric_of_ones_own_is_tried_on_padding(tool, model, prompts):
    rows, ends = torch.arange(2), lengths_of(model, prompts) - 1
    with pytest.raises(CourseError, match=r"prompt 1 has 3 tokens.*reads the padding"):
        TOOLS[tool](model, *prompts, lambda logits: logits[:, -1, 5].mean())
    with pytest.raises(CourseError, match="reads the padding"):
        TOOLS[tool](model, *prompts, lambda logits: logits.log_softmax(-1)[..., 7].mean())
    TOOLS[tool](model, *prompts, lambda logits: logits[rows, ends, 5].mean())


def test_direct_effects_are_read_at_words(model, prompts):
    with pytest.raises(CourseError, match="prompt 1 has 3 tokens"):
        direct_effects(model, prompts[0], AT_THE_LAST)
    direct_effects(model, prompts[0], LogitDifference(RIGHT, WRONG, lengths_of(model, prompts) - 1))


def test_accuracy_at_padding_is_noticed(model, prompts):
    said = model(prompts[0])[:, -1].argmax(-1)
    with pytest.raises(CourseError, match="reads the padding"):
        patch_sweep(
            model, *prompts, lambda logits: (logits[:, -1].argmax(-1) == said).float().mean()
        )


def test_a_padded_prompt_scores_as_it_does_alone(model, prompts):
    tokens, other = prompts
    metric = LogitDifference(RIGHT[1:], WRONG[1:], lengths_of(model, prompts)[1:] - 1)
    both = patch_sweep(model, tokens[1:], other[1:], metric)
    single = patch_sweep(
        model, tokens[1:, :3], other[1:, :3], LogitDifference(RIGHT[1:], WRONG[1:])
    )
    torch.testing.assert_close(both, single, atol=1e-4, rtol=1e-4)


def test_a_short_prompt_sliced_out_of_its_batch_is_not_read_at_its_end(model, prompts):
    with pytest.raises(CourseError, match="prompt 0 has 3 tokens"):
        patch_sweep(model, prompts[0][1:], prompts[1][1:], LogitDifference(RIGHT[1:], WRONG[1:]))


def test_clean_and_corrupted_prompts_are_as_long_as_each_other(model, prompts):
    tokens, other = prompts
    other[1, 3] = 77
    metric = LogitDifference(RIGHT, WRONG, lengths_of(model, prompts) - 1)
    with pytest.raises(CourseError, match="Prompt 1 has 3 tokens clean and 4 corrupted"):
        patch_sweep(model, tokens, other, metric)


def test_a_sender_at_the_last_position_is_not_padding(model, prompts):
    metric = LogitDifference(RIGHT, WRONG, lengths_of(model, prompts) - 1)
    with pytest.raises(CourseError, match="prompt 1 has 3 tokens"):
        path_patch(model, *prompts, (0, 0), "logits", metric, position=-1)


def test_the_mean_over_prompts_leaves_their_padding_out(model, prompts):
    tokens, other = prompts
    three = torch.cat([tokens, other[:1]])
    found = Ablation(model, three).instead[1]
    cache = model.run_with_cache(three)[1]["z", 1]
    torch.testing.assert_close(found[0, 4], cache[[0, 2], 4].mean(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[1, 2], cache[:, 2].mean(0), atol=1e-5, rtol=1e-5)


def test_nothing_is_resampled_from_padding(model, prompts):
    with pytest.raises(CourseError, match=r"has 6 tokens and one of its reference prompts 3"):
        Ablation(model, prompts[0], "resample")
    Ablation(model, prompts[0], "resample", groups=torch.tensor([0, 1]))
    with pytest.raises(CourseError, match=r"has 6 tokens and the longest of its reference prom"):
        Ablation(model, prompts[0], "mean", reference=prompts[0][1:].repeat(2, 1))


def test_head_scores_count_words_only(model, prompts):
    tokens, _ = prompts
    with pytest.raises(CourseError, match="prompt 1 has 3 tokens"):
        head_scores(model, tokens, lambda pattern: pattern[..., 0].mean(-1))
    first = head_scores(model, tokens, lambda pattern: pattern[:, :, 2, 1])
    alone = [head_scores(model, row[None, :3], lambda p: p[:, :, 2, 1]) for row in tokens]
    torch.testing.assert_close(first, torch.stack(alone).mean(0), atol=1e-5, rtol=1e-5)


def test_padding_does_not_count_in_the_behaviours(model):
    tokens = torch.tensor([[1, 7, 8, 9, 7, 8, 9], [1, 7, 8, 7, 8, PAD, PAD]])
    found = behaviour_scores(model, tokens)["induction"]
    patterns = model.run_with_cache(tokens)[1]["pattern", 0]
    looks = [(0, 4, 2), (0, 5, 3), (0, 6, 4), (1, 3, 2), (1, 4, 3)]
    expected = torch.stack([patterns[row, :, q, k] for row, q, k in looks]).mean(0)
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-5)


REFUSING = {
    "losses": lambda m, x: losses_without(m, x, [(0, 0)]),
    "added losses": lambda m, x: added_losses(m, x, [[(0, 0)]]),
    "direct scores": lambda m, x: direct_scores(m, m.run_with_cache(x)[1], x, slice(1, 3)),
    "cache": lambda m, x: cache_without(m, x, [(0, 0)], "mean"),
    "states": residual_states,
    "last positions": lambda m, x: swap_states(m, x, x),
}


@pytest.mark.parametrize("tool", REFUSING)
def test_tools_of_every_position_want_prompts_of_one_length(tool, model, prompts):
    with pytest.raises(CourseError, match=r"prompt 1 has 3 tokens, prompt 0 has 6"):
        REFUSING[tool](model, prompts[0])
    REFUSING[tool](model, prompts[0][:1])


def test_a_model_without_heads_refuses_padding_and_comes_back(model, prompts):
    tokens, _ = prompts
    with (
        mean_ablated(model, [(0, 1)]) as without,
        pytest.raises(CourseError, match="prompt 1 has 3 tokens"),
    ):
        without(tokens)
    model(tokens)


def test_prompts_padded_on_the_left_are_refused(model, prompts):
    left = prompts[0].clone()
    left[1] = torch.tensor([PAD, PAD, PAD, 1, 537, 827])
    for tool in TOOLS.values():
        with pytest.raises(CourseError, match="Prompt 1 begins with 3 padding tokens"):
            tool(model, left, left, AT_THE_LAST)
    with pytest.raises(CourseError, match="begins with 3"):
        require_one_length(model, left)


def test_the_padding_token_as_a_word_is_let_be(model):
    """A chat prompt ends with it; a random row may; where it is meant can be said."""
    tokens = torch.tensor([[1, 5, PAD, 6, PAD], [1, 7, 8, 9, PAD]])
    require_at_words(model, tokens, -1)
    require_one_length(model, tokens)
    one = torch.tensor([[1, 5, 6, 7], [1, 7, 8, PAD]])
    with pytest.raises(CourseError, match="prompt 1 has 3 tokens"):
        require_at_words(model, one, -1)
    require_at_words(model, one, torch.tensor([3, 3]))
    assert real_positions(model, tokens)[:, :-1].all()


def test_a_model_whose_padding_is_its_bos_may_begin_with_it():
    tokenizer = SimpleNamespace(pad_token_id=50, bos_token_id=50)
    gpt2 = SimpleNamespace(tokenizer=tokenizer)
    tokens = torch.tensor([[50, 3, 4, 5], [50, 3, 50, 50]])
    require_left_aligned(gpt2, tokens)
    assert real_lengths(gpt2, tokens).tolist() == [4, 2]


def test_random_repeats_hold_no_padding():
    class Small:
        cfg = SimpleNamespace(n_ctx=64, d_vocab=5)
        tokenizer = SimpleNamespace(bos_token_id=1, pad_token_id=PAD)

    tokens = repeats_for(Small(), period=20, batch=8)
    assert not (tokens == PAD).any()
    assert set(tokens[:, 1:].flatten().tolist()) == {0, 3, 4}
