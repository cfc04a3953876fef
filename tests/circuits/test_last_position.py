"""The last position followed alone, against whole runs with hooks, on four architectures."""

from __future__ import annotations

import pytest
import torch
from circuits.architectures import (
    gpt2_shaped,
    pythia_shaped,
    random_words,
    rotary_with_grouped_keys,
)

from circuits_course.checks.c08_logit_lens.shared import normed_model
from circuits_course.checks.inputs import random_model
from circuits_course.checks.references import load_reference
from circuits_course.circuits import residual_states, swap_states, trace_writes

MAKERS = (random_model, normed_model, rotary_with_grouped_keys, gpt2_shaped, pythia_shaped)
TOKENS, OTHERS = random_words(3, 7, seed=1), random_words(3, 7, seed=2)
ANSWERS = torch.tensor([[3, 9], [5, 2], [11, 4]])
reference = load_reference("08_logit_lens")


@pytest.fixture(scope="module", params=MAKERS, ids=lambda make: make.__name__)
def model(request):
    with torch.no_grad():
        yield request.param()


def test_a_swapped_state_gives_what_a_hook_gives(model):
    swapped = swap_states(model, TOKENS, OTHERS)
    states = residual_states(model, OTHERS)
    assert swapped.shape[:2] == (model.cfg.n_layers, 3)
    for state in range(model.cfg.n_layers):

        def swap(resid, hook, state=state):
            resid[:, -1] = states[state][:, -1]
            return resid

        name = f"blocks.{state}.hook_resid_pre"
        expected = model.run_with_hooks(TOKENS, fwd_hooks=[(name, swap)])[:, -1].log_softmax(-1)
        torch.testing.assert_close(swapped[state].log_softmax(-1), expected, atol=2e-3, rtol=1e-3)


def test_shares_are_those_of_the_exercise(model):
    trace = trace_writes(model, TOKENS, OTHERS, ANSWERS, n_random=4)
    assert trace.shares.shape == (3, model.cfg.n_layers, 5, model.cfg.n_layers + 1)
    for prompt in range(3):
        for layer in range(model.cfg.n_layers):
            pair = TOKENS[[prompt]], OTHERS[[prompt]]
            expected = reference.write_survival(model, *pair, layer)
            torch.testing.assert_close(
                trace.shares[prompt, layer, 0], expected, atol=2e-3, rtol=1e-3
            )
    assert trace.random_left.shape == (3, model.cfg.n_layers, 4)


def test_total_effects_are_those_of_replacing_the_write(model):
    trace = trace_writes(model, TOKENS, OTHERS, ANSWERS, n_random=2)
    rows = torch.arange(3)

    def difference(logits):
        return logits[rows, -1, ANSWERS[:, 0]] - logits[rows, -1, ANSWERS[:, 1]]

    for layer in range(model.cfg.n_layers):
        name = f"blocks.{layer}.hook_attn_out"
        theirs = model.run_with_cache(OTHERS)[1][name][:, -1].clone()

        def replace(attn_out, hook, theirs=theirs):
            attn_out[:, -1] = theirs
            return attn_out

        changed = model.run_with_hooks(TOKENS, fwd_hooks=[(name, replace)])
        expected = difference(model(TOKENS)) - difference(changed)
        torch.testing.assert_close(trace.total[:, layer], expected, atol=3e-3, rtol=1e-3)


def test_direct_effects_are_the_layers_contributions(model):
    trace = trace_writes(model, TOKENS, OTHERS, ANSWERS, n_random=2)
    right, wrong = ANSWERS[0].tolist()
    _, cache = model.run_with_cache(TOKENS[:1])
    _, other = model.run_with_cache(OTHERS[:1])
    for layer in range(model.cfg.n_layers):
        w = (cache["attn_out", layer] - other["attn_out", layer])[:, -1]
        normed = cache.apply_ln_to_stack(w[None], layer=-1, pos_slice=-1)[0, 0]
        expected = normed @ (model.W_U[:, right] - model.W_U[:, wrong])
        torch.testing.assert_close(trace.direct[0, layer], expected, atol=2e-3, rtol=1e-3)


def test_the_table_names_the_layers_that_are_worth_most(model):
    trace = trace_writes(model, TOKENS, OTHERS, ANSWERS, n_random=2)
    rows = trace.table(2)
    assert {row["layer"] for row in rows} == set(trace.total.mean(0).abs().topk(2).indices.tolist())
    assert [row["layer"] for row in rows] == sorted(row["layer"] for row in rows)
