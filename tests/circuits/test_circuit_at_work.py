"""A circuit at work: every number held against hooks on the whole model."""

from __future__ import annotations

import json

import pytest
import torch

from circuits_course import load_model
from circuits_course.circuits import CircuitAtWork
from circuits_course.errors import CourseError
from tests.circuits.architectures import (
    gpt2_shaped,
    pythia_shaped,
    random_words,
    rotary_with_grouped_keys,
)

N_POS, RIGHT, WRONG = 9, 70, 80


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module", params=[rotary_with_grouped_keys, gpt2_shaped, pythia_shaped])
def bridge(request):
    return request.param()


@pytest.fixture(scope="module")
def work(bridge):
    with torch.no_grad():
        heads = {(0, 1): "first", (1, 0): "second", (2, 3): "third"}
        tokens, reference = random_words(1, N_POS, seed=1), random_words(5, N_POS, seed=2)
        return CircuitAtWork(bridge, tokens, heads, right=RIGHT, wrong=WRONG, reference=reference)


def mean_z(model, reference, layer):
    name = f"blocks.{layer}.attn.hook_z"
    return model.run_with_cache(reference, names_filter=name)[1][name].mean(0, keepdim=True)


def said_by(model, work, layer, head):
    name = f"blocks.{layer}.attn.hook_z"
    z = model.run_with_cache(work.task.tokens, names_filter=name)[1][name]
    beyond = z - mean_z(model, work.task.reference, layer)
    return beyond[:, :, head] @ model.W_O[layer, head]


@pytest.mark.parametrize("letter", ["Q", "K"])
def test_what_a_head_hears_is_what_hooks_take_from_one_of_its_inputs(bridge, work, letter):
    layer, head, sender = 2, 3, (0, 1)
    said = said_by(bridge, work, *sender)
    inputs = {x: f"blocks.{layer}.attn.hook_{x.lower()}" for x in "QKV"}
    pattern = f"blocks.{layer}.attn.hook_pattern"
    _, clean = bridge.run_with_cache(work.task.tokens, names_filter=[*inputs.values(), pattern])
    hooks = [(f"blocks.{layer}.hook_resid_pre", lambda resid, hook: resid - said)]
    hooks += [
        (name, lambda value, hook: clean[hook.name]) for x, name in inputs.items() if x != letter
    ]
    seen = {}
    hooks.append((pattern, lambda value, hook: seen.update(without=value.clone())))
    bridge.run_with_hooks(work.task.tokens, fwd_hooks=hooks)

    fact = work.facts["2.3"]
    at = (0, head, fact["query"], fact["key"])
    (heard,) = [f.share for f in work.hears("2.3") if (f.letter, f.sender) == (letter, "0.1")]
    assert heard == pytest.approx(float(clean[pattern][at] - seen["without"][at]), abs=1e-5)


def induction():
    """The hand-known circuit on one text, and random texts to take means over."""
    model = load_model("induction-2l")
    tokens = model.to_tokens("qxbmztq")
    reference = torch.randint(1, 60, (32, 8), generator=torch.Generator().manual_seed(0))
    reference[:, 0] = tokens[0, 0]
    heads = {(layer, head): "" for layer in range(2) for head in range(4)}
    return model, CircuitAtWork(model, tokens, heads, right="x", reference=reference)


def test_values_heard_add_up_to_the_write_where_nothing_is_normed():
    """Without a norm values are linear: all senders together are the values beyond their mean."""
    model, work = induction()
    layer, head = 1, 3
    names = [f"blocks.{layer}.hook_resid_pre", f"blocks.{layer}.attn.hook_pattern"]
    resid, pattern = (model.run_with_cache(work.task.tokens)[1][name][0] for name in names)
    mean = model.run_with_cache(work.task.reference)[1][names[0]].mean(0)
    row = pattern[head, work.facts["1.3"]["query"]]
    gone = row @ (resid - mean) @ model.W_V[layer, head] @ model.W_O[layer, head]
    wrote = said_by(model, work, layer, head)[0, work.facts["1.3"]["query"]]
    shares = [f.share for f in work.hears("1.3") if f.letter == "V"]
    assert sum(shares) == pytest.approx(float(gone @ wrote / (wrote @ wrote)), abs=1e-4)


def test_a_state_is_the_model_with_means_in_place(bridge, work):
    layer, head = 1, 0
    instead = mean_z(bridge, work.task.reference, layer)

    def silence(z, hook):
        z = z.clone()
        z[:, :, head] = instead[:, :, head]
        return z

    hooks = [(f"blocks.{layer}.attn.hook_z", silence)]
    pattern = []
    hooks.append(("blocks.2.attn.hook_pattern", lambda value, hook: pattern.append(value.clone())))
    logits = bridge.run_with_hooks(work.task.tokens, fwd_hooks=hooks)[0, -1]
    state = work.state(["1.0"])
    assert state["score"] == pytest.approx(float(logits[RIGHT] - logits[WRONG]), abs=2e-3)
    assert state["says"][0][1] == pytest.approx(float(logits.softmax(-1).max()), abs=1e-3)
    row = [round(100 * float(x)) for x in pattern[0][0, 3, -1]]
    assert state["heads"]["2.3"]["pattern"][-1] == pytest.approx(row, abs=1)


def test_what_a_head_adds_to_the_answer(bridge, work):
    """A head of the last layer, read by the final norm at the scale of the whole stream."""
    wrote = said_by(bridge, work, 2, 3)[0, -1]
    _, cache = bridge.run_with_cache(work.task.tokens)
    resid = cache["blocks.2.hook_resid_post"][0, -1]
    if bridge.cfg.normalization_type.startswith("LN"):
        wrote, resid = wrote - wrote.mean(), resid - resid.mean()
        scale = resid.var(unbiased=False).add(bridge.cfg.eps).sqrt()
    else:
        scale = resid.square().mean().add(bridge.cfg.eps).sqrt()
    adds = float((wrote / scale) @ (bridge.W_U[:, RIGHT] - bridge.W_U[:, WRONG]))
    share = work.facts["2.3"]["direct"]
    assert share * work.state()["score"] == pytest.approx(adds, abs=2e-3)


def test_the_position_is_the_one_where_silence_costs_most(bridge, work):
    instead = mean_z(bridge, work.task.reference, 1)
    changes = []
    for place in range(N_POS):

        def silence(z, hook, place=place):
            z = z.clone()
            z[:, place, 0] = instead[:, place, 0]
            return z

        logits = bridge.run_with_hooks(
            work.task.tokens, fwd_hooks=[("blocks.1.attn.hook_z", silence)]
        )[0, -1]
        changes.append(abs(work.state()["score"] - float(logits[RIGHT] - logits[WRONG])))
    assert work.facts["1.0"]["query"] == max(range(N_POS), key=changes.__getitem__)


def test_induction_is_the_five_edges_that_the_chapters_cut():
    _, work = induction()
    found = {(sender, reader, letter) for sender, reader, share, letter in work.arrows(0.25)}
    assert found == {
        ("tokens", "0.3", "V"), ("0.3", "1.3", "K"), ("tokens", "1.3", "Q"),
        ("tokens", "1.3", "V"), ("1.3", "logits", ""),
    }  # fmt: skip
    assert work.state(["0.3"])["says"][0][0] != "x" == work.state()["says"][0][0]
    looked = (state["heads"]["1.3"]["pattern"][7][2] for state in map(work.state, ([], ["0.3"])))
    assert next(looked) > 50 > 10 > next(looked)


def test_all_of_it_is_plain_data(work):
    assert json.loads(json.dumps([work.roles, work.facts, work.arrows(), work.states()]))
    assert [state["silenced"] for state in work.states()] == [[], ["0.1"], ["1.0"], ["2.3"]]


def test_mistakes_are_told_in_a_line():
    model = load_model("induction-2l")
    tokens = model.to_tokens("qxbmztq")
    reference = tokens.repeat(3, 1)

    def at_work(prompt=tokens, heads=None, right="x", reference=reference):
        heads = {(0, 3): ""} if heads is None else heads
        return CircuitAtWork(model, prompt, heads, right=right, reference=reference)

    with pytest.raises(CourseError, match="room for 24 tokens"):
        at_work("a" * 30, reference=model.to_tokens("a" * 30))
    with pytest.raises(CourseError, match=r"no head 2\.0"):
        at_work(heads={(2, 0): ""})
    with pytest.raises(CourseError, match="'xy' is 2 tokens"):
        at_work(right="xy")
    with pytest.raises(CourseError, match="length"):
        at_work(reference=reference[:, :-1])
    with pytest.raises(CourseError, match=r"'1\.3' is none of"):
        at_work().state(["1.3"])
    with pytest.raises(CourseError, match="at least one head"):
        at_work(heads={})


def test_an_answer_that_is_no_better_than_the_other_has_no_shares():
    """Right and wrong are the same token: every difference is 0, and nothing is divided by it."""
    model = load_model("induction-2l")
    tokens = model.to_tokens("qxbmztq")
    work = CircuitAtWork(
        model, tokens, {(1, 3): ""}, right="x", wrong="x", reference=tokens.repeat(2, 1)
    )
    assert work.state()["score"] == 0
    assert work.facts["1.3"]["direct"] == 0
