"""States, windows, lenses and the shortlist, on course models and on random real architectures."""

from __future__ import annotations

import pytest
import torch
from circuits.architectures import (
    gpt2_shaped,
    pythia_shaped,
    random_words,
    rotary_with_grouped_keys,
)
from transformer_lens.tools.analysis import logit_lens as their_lens

from circuits_course.checks.c08_logit_lens.shared import normed_model
from circuits_course.checks.inputs import normal, random_model
from circuits_course.checks.references import load_reference
from circuits_course.circuits.lens import (
    Shortlist,
    TunedLens,
    head_contributions,
    kl_of_mean_prediction,
    kl_to_final,
    least_squares_lens,
    residual_states,
    state_names,
    token_ranks,
    windows,
)
from circuits_course.errors import CourseError

TOKENS, MORE = random_words(5, 7, seed=1), random_words(4, 7, seed=2)
reference = load_reference("08_logit_lens")


MAKERS = (random_model, normed_model, rotary_with_grouped_keys, gpt2_shaped, pythia_shaped)


@pytest.fixture(scope="module", params=MAKERS, ids=lambda make: make.__name__)
def model(request):
    with torch.no_grad():
        yield request.param()


def test_states_are_what_the_cache_holds(model):
    states = residual_states(model, TOKENS)
    _, cache = model.run_with_cache(TOKENS)
    assert states.shape[:3] == (model.cfg.n_layers + 1, 5, 7)
    for name, state in zip(state_names(model), states, strict=True):
        torch.testing.assert_close(state, cache[name], atol=1e-4, rtol=1e-4)


def test_some_states_in_any_order(model):
    states = residual_states(model, TOKENS)
    torch.testing.assert_close(residual_states(model, TOKENS, [3, 1, 3]), states[[3, 1, 3]])


def test_the_reference_lens_is_transformer_lens_own(model):
    mine = reference.logit_lens(model, TOKENS[:1])
    theirs = their_lens(model, TOKENS[:1], positions=None).values[:, 0]
    torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(mine[-1], model(TOKENS[:1])[0], atol=1e-3, rtol=1e-3)


def test_contributions_sum_to_the_logit(model):
    logits = model(TOKENS[:1])[0, -1]
    for token, other in ((3, None), (3, 9)):
        parts = reference.contributions_by_component(model, TOKENS[:1], token, other)
        expected = logits[token] - (0 if other is None else logits[other])
        assert sum(parts.values()) == pytest.approx(expected.item(), abs=2e-3)


def test_a_layers_heads_sum_to_its_contribution(model):
    parts = reference.contributions_by_component(model, TOKENS[:1], 3, 9)
    for layer in range(model.cfg.n_layers):
        writes = sum(
            reference.head_write(model, TOKENS[:1], layer, head)
            for head in range(model.cfg.n_heads)
        )
        bias = getattr(model.blocks[layer].attn, "b_O", None)
        if bias is None or not bias.any():
            heads = (writes[3] - writes[9]).item()
            assert heads == pytest.approx(parts[f"{layer}_attn_out"], abs=2e-3)


def test_a_write_is_whole_until_the_next_layer_sees_it(model):
    other = TOKENS[1:2]
    survival = reference.write_survival(model, TOKENS[:1], other, 1)
    assert survival[:2].abs().max() < 1e-5
    if getattr(model.cfg, "attn_only", False):
        assert survival[2].item() == pytest.approx(1.0, abs=1e-4)


def test_distances_to_the_end_are_those_of_the_exercise(model):
    states = residual_states(model, TOKENS).flatten(1, 2)
    lens = TunedLens.identity(len(states) - 1, states.shape[-1])
    expected = reference.lens_kl(model.unembed(model.ln_final(states)))[:-1]
    for given in (None, lens):
        found = kl_to_final(model, states, given)
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)


def test_the_mean_prediction_says_the_same_everywhere(model):
    known, final = (residual_states(model, tokens)[-1].flatten(0, 1) for tokens in (TOKENS, MORE))
    probs = model.unembed(model.ln_final(known[None]))[0].softmax(-1).mean(0)
    log_p = model.unembed(model.ln_final(final[None]))[0].log_softmax(-1)
    expected = (log_p.exp() * (log_p - probs.log())).sum(-1)
    found = kl_of_mean_prediction(model, known, final)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_a_tuned_lens_gets_nearer_to_the_end(model):
    train, held_out = (
        residual_states(model, random_words(40, 9, seed=seed)).flatten(1, 2) for seed in (2, 3)
    )

    def distance(lens: TunedLens):
        states = torch.cat([lens(held_out[:-1]), held_out[-1:]])
        return reference.lens_kl(model.unembed(model.ln_final(states))).mean(-1)[:-1]

    same = TunedLens.identity(len(train) - 1, train.shape[-1])
    raw = distance(same)
    tuned = distance(reference.train_tuned_lens(model, train, same, steps=40, lr=0.01))
    assert (tuned < 0.97 * raw).all(), (raw, tuned)


def test_transformer_lens_takes_a_tuned_lens_as_its_lens(model):
    n, d_model = model.cfg.n_layers, model.cfg.d_model
    lens = TunedLens(torch.eye(d_model) + 0.1 * normal(n, d_model, d_model), normal(n, d_model))
    maps = TunedLens(
        torch.cat([lens.weight, torch.eye(d_model)[None]]),
        torch.cat([lens.bias, torch.zeros(1, d_model)]),
    )

    def through(entry, index):
        return entry @ maps.weight[index].mT + maps.bias[index]

    theirs = their_lens(model, TOKENS[:1], positions=None, lens=through).values[:, 0]
    states = maps(residual_states(model, TOKENS[:1])[:, 0])
    mine = model.unembed(model.ln_final(states))
    torch.testing.assert_close(mine, theirs, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("shape", [(), (6,), (2, 5)])
def test_a_lens_takes_any_axes_of_places(shape):
    lens = TunedLens(normal(3, 4, 4), normal(3, 4, seed=1))
    states = normal(3, *shape, 4, seed=2)
    for i in range(3):
        torch.testing.assert_close(lens(states)[i], states[i] @ lens.weight[i].T + lens.bias[i])


def test_least_squares_finds_an_affine_map():
    x = normal(200, 6)
    A, b = normal(6, 6, seed=1), normal(6, seed=2)
    lens = least_squares_lens(torch.stack([x, x @ A.T + b]), ridge=0.0)
    torch.testing.assert_close(lens.weight[0], A, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(lens.bias[0], b, atol=1e-3, rtol=1e-3)


def test_windows_cut_a_text_and_lead_each_with_its_first_token():
    text = torch.arange(12)[None]
    assert windows(text, 4).tolist() == [[0, 1, 2, 3], [0, 4, 5, 6], [0, 7, 8, 9]]
    assert windows(text, 4, 2).shape == (2, 4)
    with pytest.raises(CourseError, match="3 windows of 4 tokens, not 5"):
        windows(text, 4, 5)
    with pytest.raises(CourseError, match="0 windows"):
        windows(text, 40)


def test_a_shortlist_draws_columns_that_belong_together(model):
    final = residual_states(model, TOKENS)[-1].flatten(0, 1)
    shortlist = Shortlist(model, final, size=20)
    generator = torch.Generator().manual_seed(0)
    first, second = (shortlist.draw(generator) for _ in range(2))
    assert first[0].shape == (model.cfg.d_model, 20)
    assert first[1].shape == (20,)
    assert not torch.equal(first[0], second[0]), "drawn anew"
    again = shortlist.draw(torch.Generator().manual_seed(0))
    assert torch.equal(first[0], again[0])
    logits = model.unembed(model.ln_final(final[None]))[0]
    some = model.ln_final(final[None])[0] @ first[0] + first[1]
    distances = (some.T[:, None] - logits.T[None]).norm(dim=-1)
    assert distances.amin(-1).max() < 1.0  # cdist is rough; others are far
    assert Shortlist(model, final, size=10**9).size == logits.shape[-1]


def test_ranks_count_the_larger_logits():
    logits, tokens = normal(3, 2, 11, seed=4), torch.tensor([4, 9])
    ranks = token_ranks(logits, tokens)
    assert ranks.shape == (3, 2)
    for state in range(3):
        for row, token in enumerate(tokens.tolist()):
            own = logits[state, row].tolist()
            assert ranks[state, row] == sum(value > own[token] for value in own)


def test_contributions_of_heads_are_those_of_the_exercise(model):
    parts = head_contributions(model, TOKENS[:1], 3, 9)
    assert parts.shape == (model.cfg.n_layers, model.cfg.n_heads)
    for layer, head in ((0, 1), (1, 3)):
        write = reference.head_write(model, TOKENS[:1], layer, head)
        assert parts[layer, head].item() == pytest.approx((write[3] - write[9]).item(), abs=2e-3)
