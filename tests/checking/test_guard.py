"""The engine never lets a learner down: whatever an answer does, the next right one passes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from circuits_course.checking import Case, Exercise, Outcome
from circuits_course.checks.inputs import random_model, random_tokens


@pytest.fixture
def logits_of():
    """An exercise on a small model: its logits."""
    exercise = Exercise("logits_of", difficulty=1, importance=1, minutes=1, hints=["a", "b"])
    model = random_model(2, 3, seed=5)

    @exercise.cases
    def _cases() -> Iterator[Case]:
        for seed in range(2):
            yield Case(f"tokens of seed {seed}", model, random_tokens(2, 5, seed=seed))

    @exercise.oracle
    def _oracle(model, tokens):
        return model(tokens).detach()

    exercise.expectations()
    return exercise


def right(model, tokens):
    return model(tokens)


def native_hook(model, tokens):
    model.blocks[0].attn.register_forward_hook(lambda module, args, out: out * 0)
    return model(tokens)


def their_hook(model, tokens):
    model.add_hook("blocks.0.attn.hook_z", lambda z, hook: z * 0)
    return model(tokens)


def patched_forward(model, tokens):
    model.forward = lambda *args, **kwargs: torch.zeros(2, 5, 30)
    return model(tokens)


def replaced_class(model, tokens):
    model.__class__ = nn.Module
    return torch.zeros(2, 5, 30)


def half(model, tokens):
    return model.half()(tokens)


def to_meta(model, tokens):
    model.to("meta")
    return torch.zeros(2, 5, 30)


def deleted_weights(model, tokens):
    del model.blocks[0].attn.W_Q
    return torch.zeros(2, 5, 30)


def removed_block(model, tokens):
    model.blocks = model.blocks[:1]
    return model(tokens)


def scaled_data(model, tokens):
    model.blocks[0].attn.W_O.data *= 2
    return model(tokens)


def nothing_left(model, tokens):
    vars(model).clear()
    return torch.zeros(2, 5, 30)


def leaves_gradients(model, tokens):
    model.requires_grad_(True)
    logits = model(tokens)
    logits.sum().backward()
    return logits.detach()


HARM = [native_hook, their_hook, patched_forward, replaced_class, half, to_meta, deleted_weights,
        removed_block, scaled_data, nothing_left, leaves_gradients]  # fmt: skip


@pytest.mark.parametrize("attempt", HARM, ids=lambda attempt: attempt.__name__)
def test_a_harmed_model_is_told_and_right_again(logits_of, attempt):
    result = logits_of.check(attempt)
    assert result.outcome in (Outcome.WRONG, Outcome.CRASHED)
    assert "model" in result.message, result.text
    again = logits_of.check(right)
    assert again.passed, again.text


def test_hooks_that_were_there_may_stay_there(logits_of):
    model = logits_of.built_cases()[0].args[0]
    model.add_hook("hook_embed", lambda value, hook: value, is_permanent=True)
    try:
        assert logits_of.check(right).passed
        wiped = logits_of.check(lambda model, tokens: (model.reset_hooks(including_permanent=True),
                                                       model(tokens))[1])  # fmt: skip
        assert "took off hooks" in wiped.message
    finally:
        model.reset_hooks(including_permanent=True)


def test_switches_are_turned_back_in_silence(logits_of):
    def attempt(model, tokens):
        model.train()
        model.cfg.use_attn_result = True
        return model(tokens)

    assert logits_of.check(attempt).passed
    model = logits_of.built_cases()[0].args[0]
    assert not model.training
    assert not model.cfg.use_attn_result


def test_settings_come_back():
    exercise = Exercise("double", difficulty=1, importance=1, minutes=1, hints=["a", "b"])
    exercise.cases(lambda: iter([Case("x", torch.ones(2, 3))]))
    exercise.oracle(lambda x: 2 * x)

    def attempt(x):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))
        random.seed(3), np.random.seed(3), torch.manual_seed(3)
        return 2 * x

    before = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads())
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert exercise.check(attempt).passed
    assert (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()) == before
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert after == states


class Rude(BaseException):
    def __str__(self):
        raise ValueError("not even that")


class Hostile:
    def __getattribute__(self, name):
        raise RuntimeError("leave me alone")


def raises_rude(x):
    raise Rude


@pytest.mark.parametrize(
    "attempt",
    [
        raises_rude,
        lambda x: 10**5000,
        lambda x: x.to_sparse(),
        lambda x: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        lambda x: Hostile(),
        lambda x: (_ for _ in ()),
        lambda x: float("nan"),
        lambda x: [x],
        lambda x: {1: {2: x}},
    ],
)
def test_check_never_raises(attempt):
    exercise = Exercise("double", difficulty=1, importance=1, minutes=1, hints=["a", "b"])
    exercise.cases(lambda: iter([Case("x", torch.ones(2, 3))]))
    exercise.oracle(lambda x: 2 * x)
    exercise.wrong("you forgot to double.")(lambda x: x)
    result = exercise.check(attempt)
    assert result.outcome in (Outcome.WRONG, Outcome.CRASHED)
    assert result.message


@pytest.mark.parametrize(
    ("inputs", "attempt"),
    [
        (({1, 2},), lambda s: s.clear()),
        (([1, 2],), lambda s: s.pop()),
        (({"a": [1]},), lambda s: s["a"].append(2)),
        (({"a": torch.ones(2)},), lambda s: s["a"].mul_(2)),
        ((torch.ones(3),), lambda s: s.add_(1)),
    ],
)
def test_whatever_is_changed_in_place_is_noticed(inputs, attempt):
    exercise = Exercise("keep", difficulty=1, importance=1, minutes=1, hints=["a", "b"])
    exercise.cases(lambda: iter([Case("inputs", *inputs)]))

    @exercise.oracle
    def _oracle(thing):
        return 1

    result = exercise.check(lambda thing: (attempt(thing), 1)[1])
    assert "changed its input thing in place" in result.message
    assert exercise.check(lambda thing: 1).passed
