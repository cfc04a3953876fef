"""Chapter 08: what a lens shows of SmolLM2, what ignores the text, what is erased."""

from __future__ import annotations

import pytest
import torch

from circuits_course.checks.references import load_reference
from circuits_course.circuits import (
    beats,
    interval,
    kl_of_mean_prediction,
    kl_to_final,
    least_squares_lens,
    residual_states,
    swap_states,
    trace_writes,
    windows,
)
from circuits_course.data import capital_prompts, ioi_batch, passage

STATES = [4, 8, 13, 18, 23, 28, 30]  # others than the notebook's
reference = load_reference("08_logit_lens")


@pytest.fixture(scope="module")
def alice(smollm2):
    """States of other windows than the notebook's: 90 tokens, [state, window, place, d_model]."""
    tokens = windows(smollm2.to_tokens(passage("alice")), 90)
    return residual_states(smollm2, tokens[:44], STATES)[:, :, 1:]


@pytest.fixture(scope="module")
def pride(smollm2):
    tokens = windows(smollm2.to_tokens(passage("pride")), 40)
    return residual_states(smollm2, tokens, STATES)[:, :, 1::3]


@pytest.fixture(scope="module")
def capitals(smollm2):
    """A template that the notebook does not use."""
    return capital_prompts(smollm2, "Everybody knows that the capital city of {country} is")


def of_windows(model, states, lens=None):
    """KL of each map but the last, by window."""
    kl = kl_to_final(model, states.flatten(1, 2), lens)
    return kl.unflatten(1, states.shape[1:3]).mean(-1)


def last_lens(model, tokens):
    states = residual_states(model, tokens)[:, :, -1]
    return model.unembed(model.ln_final(states))  # [state, prompt, d_vocab]


def test_known_capitals_are_settled_late(claim, smollm2, capitals):
    """By the logit lens a known capital stays on top only from the last third of the layers on."""
    logits = last_lens(smollm2, capitals.tokens)
    settled = [reference.settles_at(logits[:, i]) for i in range(logits.shape[1])]
    found = interval(settled)
    claim(found, unit="of 30 states", holds=found.low > 20, data="known capitals, another template")


def test_middle_states_are_further_off_than_even_guessing(claim, smollm2, alice):
    """The lens's middle states are further from the final prediction than even guessing."""
    some = alice[:, ::3, ::9]
    final = smollm2.unembed(smollm2.ln_final(some[-1].flatten(0, 1)[None]))[0].log_softmax(-1)
    even = torch.tensor(float(final.shape[-1])).log() + (final.exp() * final).sum(-1)
    even = even.view(some.shape[1:3]).mean(-1)
    further = of_windows(smollm2, some)[1:4].mean(0) - even  # states 8, 13, 18
    found = interval(further)
    claim(found, unit="nats more", holds=found.low > 0, data="Alice, windows of 90 tokens")


def test_most_of_the_gap_is_an_offset(claim, smollm2, alice, pride):
    """Moving all states by the difference of the means takes away most of the lens's distance."""
    _, shift = reference.lenses_of_means(alice.flatten(1, 2))
    raw, moved = of_windows(smollm2, pride), of_windows(smollm2, pride, shift)
    found = interval(((raw - moved) / raw)[:4].mean(0))  # states 4 to 18
    claim(found, unit="of the distance", holds=found.low > 0.5, data="Pride, means from Alice")


def test_the_trained_lens_beats_readers_that_ignore_the_text(claim, smollm2, alice, pride):
    """A lens trained from least squares beats it, and every reader that ignores the text."""
    known = alice[:, :32].flatten(1, 2)
    squares = least_squares_lens(known, ridge=0.1)
    tuned = reference.train_tuned_lens(smollm2, known, start=squares, steps=60, seed=1)
    constant, shift = reference.lenses_of_means(known)
    behind = []
    for held_out in (pride, alice[:, 34:, ::8]):  # another book; later pages
        shape = held_out.shape[1:3]
        final = held_out[-1].flatten(0, 1)
        guess = kl_of_mean_prediction(smollm2, known[-1, ::4], final).view(shape).mean(-1)
        others = [of_windows(smollm2, held_out, lens) for lens in (squares, constant, shift)]
        best = torch.minimum(torch.stack(others).amin(0), guess)
        behind.append(best - of_windows(smollm2, held_out, tuned))
    ahead = torch.cat(behind, dim=1)
    each = [interval(row) for row in ahead]
    claim(
        interval(ahead[:-1].mean(0)), unit="nats nearer than the best other",
        holds=min(row.low for row in each[:-1]) > 0, only="states 4 to 23",
        data="Pride and later pages of Alice; at state 28 it is as near as least squares",
    )  # fmt: skip


def test_a_state_decides_before_the_lens_shows_it(claim, smollm2, capitals):
    """The state at the last position decides the capital before the lens has it on top."""
    order = torch.arange(len(capitals.answers)).roll(-3)
    theirs = capitals.answers[order]
    said = swap_states(smollm2, capitals.tokens, capitals.tokens[order]).argmax(-1) == theirs
    shown = last_lens(smollm2, capitals.tokens[order]).argmax(-1) == theirs
    both = torch.cat([said, shown[-1:]])
    decided, settled = (
        torch.tensor([_settled(x[:, i]) for i in range(len(order))]) for x in (both, shown)
    )
    found = interval((settled - decided).tolist())
    claim(found, unit="states earlier", holds=found.low > 0, data="swapped capitals")


def _settled(holds):
    """The first state from which on it holds without a break."""
    missing = (~holds).nonzero()
    return int(missing.max()) + 1 if len(missing) else 0


@pytest.fixture(scope="module")
def traces(smollm2):
    """Layers 0 to 29 on templates, names and orders that the notebook does not use."""
    found = []
    for template in (2, 5):
        batch = ioi_batch(smollm2, 6, seed=20 + template, templates=[template])
        answers = torch.stack([batch.io, batch.s], dim=1)
        others = batch.corrupt("swap_s2")
        found.append(trace_writes(smollm2, batch.tokens, others, answers, seed=template))
    return found


def test_layer_20_is_worth_what_it_does_not_add(claim, traces):
    """On IOI, layer 20's write is worth logits that direct attribution does not show."""
    hidden = torch.cat([trace.total[:, 20] - trace.direct[:, 20] for trace in traces])
    direct = interval(torch.cat([trace.direct[:, 20] for trace in traces]))
    found = interval(hidden)
    claim(found, unit="logits beyond the direct", holds=found.low > 1 and direct.high < 0.5,
          data="IOI, two other templates")  # fmt: skip


def test_layer_20_is_erased_beyond_random_directions(claim, traces):
    """Later layers erase layer 20's write beyond random directions of the same length."""
    left = torch.cat([trace.left[:, 20] for trace in traces])
    random_left = torch.cat([trace.random_left[:, 20] for trace in traces])
    controls = beats(-left.mean(), -random_left.mean(0))
    each = (left[:, None] < random_left).sum(-1)
    found = interval(random_left.mean(-1) - left)
    claim(
        found,
        unit="of the write",
        holds=found.low > 0.2 and bool((each >= 22).all()),
        controls=controls,
        data="IOI, two other templates; random directions",
        only="IOI",
    )


@pytest.fixture(scope="module")
def capital_trace(smollm2, capitals):
    tokens, mine = capitals.tokens[:8], capitals.answers[:8]
    order = torch.arange(8).roll(-3)
    answers = torch.stack([mine, mine[order]], dim=1)
    return trace_writes(smollm2, tokens, tokens[order], answers)


def test_layer_23_is_worth_more_than_it_adds(claim, capital_trace):
    """On capitals, layer 23's write is worth more than it adds: later layers amplify it."""
    more = interval(capital_trace.total[:, 23] - capital_trace.direct[:, 23])
    left, random_left = capital_trace.left[:, 23], capital_trace.random_left[:, 23]
    claim(more, unit="logits beyond the direct", holds=more.low > 0 and bool((left > 1).all()),
          controls=beats(left.mean(), random_left.mean(0)),
          data="8 capitals, another template; random directions")  # fmt: skip


def test_head_23_3_lowers_the_wrong_name(claim, smollm2):
    """Head 23.3 favours the right name by lowering the wrong one (IOI)."""
    batch = ioi_batch(smollm2, 12, seed=31, templates=[1, 4, 7])
    to_s, to_io = [], []
    for row in range(len(batch)):
        prompt = batch.tokens[row, : int(batch.positions["END"][row]) + 1][None]
        write = reference.head_write(smollm2, prompt, 23, 3)
        to_s.append(write[batch.s[row]].item())
        to_io.append(write[batch.io[row]].item())
    lowered, raised = interval(-torch.tensor(to_s)), interval(to_io)
    claim(lowered, unit="logits lower", holds=lowered.low > max(0.5, 2 * raised.high),
          data="IOI, three other templates")  # fmt: skip
