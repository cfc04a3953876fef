"""The IOI data set: what its prompts say, where its words stand, what its corruptions change."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from circuits_course.data.ioi import NAMES, TEMPLATES, ioi_batch, single_token_words, word_token
from circuits_course.errors import CourseError
from circuits_course.models.loading import load_model


@pytest.fixture(scope="module")
def model(smollm2):
    return smollm2


@pytest.fixture(scope="module")
def batch(model):
    return ioi_batch(model, 4 * len(TEMPLATES), seed=3)


def words_at(batch, position):
    rows = torch.arange(len(batch))
    return [batch.model.tokenizer.decode([t]) for t in batch.tokens[rows, position].tolist()]


def test_positions_hold_what_their_names_say(batch):
    assert words_at(batch, batch.positions["IO"]) == [f" {p.io}" for p in batch.prompts]
    assert words_at(batch, batch.positions["S1"]) == [f" {p.s}" for p in batch.prompts]
    assert words_at(batch, batch.positions["S2"]) == [f" {p.s}" for p in batch.prompts]
    assert set(words_at(batch, batch.positions["END"])) == {" to"}
    assert (batch.positions["S1+1"] == batch.positions["S1"] + 1).all()
    assert (batch.positions["S2"] > batch.positions["S1"]).all()
    assert "IO2" not in batch.positions


def test_order_says_who_comes_first(batch):
    io_first = batch.positions["IO"] < batch.positions["S1"]
    assert io_first.tolist() == [prompt.order == "ABBA" for prompt in batch.prompts]


def test_a_batch_is_balanced(batch):
    per_cell = Counter((prompt.template, prompt.order) for prompt in batch.prompts)
    assert set(per_cell.values()) == {2}
    assert len(per_cell) == 2 * len(TEMPLATES)
    assert batch.io.sort().values.equal(batch.s.sort().values)
    for one, other in zip(batch.prompts[::2], batch.prompts[1::2], strict=True):
        assert (one.io, one.s, one.place) == (other.s, other.io, other.place)


def test_tokens_are_the_models_own(model, batch):
    for row, prompt in zip(batch.tokens, batch.prompts, strict=True):
        own = model.to_tokens(prompt.text)[0]
        assert row[: len(own)].equal(own)


@torch.no_grad()
def test_filling_up_changes_no_logits(model, batch):
    ends = batch.positions["END"]
    shortest = int(ends.argmin())
    assert ends[shortest] < batch.tokens.shape[1] - 1, "nothing is filled up here"
    together = model(batch.tokens)[shortest, ends[shortest]]
    alone = model(model.to_tokens(batch.prompts[shortest].text))[0, -1]
    torch.testing.assert_close(together.log_softmax(-1), alone.log_softmax(-1), atol=1e-3, rtol=0)


@torch.no_grad()
def test_the_model_does_the_task(model, batch):
    assert batch.metric(model(batch.tokens)) > 2


def test_the_same_seed_gives_the_same_prompts(model, batch):
    again = ioi_batch(model, len(batch), seed=3)
    assert again.prompts == batch.prompts
    assert ioi_batch(model, len(batch), seed=4).prompts != batch.prompts
    assert batch.corrupt("ABC", seed=1).equal(batch.corrupt("ABC", seed=1))
    assert not batch.corrupt("ABC", seed=1).equal(batch.corrupt("ABC", seed=2))


@pytest.mark.parametrize(
    ("how", "changed"),
    [
        ("ABC", {"IO", "S1", "S2"}),
        ("swap_s2", {"S2"}),
        ("new_s2", {"S2"}),
        ("swap_names", {"IO", "S1", "S2"}),
        ("new_names", {"IO", "S1", "S2"}),
        ("swap_first", {"IO", "S1"}),
        ("new_names_swap_s2", {"IO", "S1", "S2"}),
    ],
)
def test_a_corruption_changes_these_positions_alone(batch, how, changed):
    corrupted = batch.corrupt(how)
    expected = torch.zeros_like(corrupted, dtype=torch.bool)
    rows = torch.arange(len(batch))
    for name in changed:
        expected[rows, batch.positions[name]] = True
    assert (corrupted != batch.tokens).equal(expected)


def test_what_corruptions_put_there(batch):
    rows, at = torch.arange(len(batch)), batch.positions
    abc, swapped = batch.corrupt("ABC"), batch.corrupt("swap_s2")
    names = torch.stack([abc[rows, at[name]] for name in ("IO", "S1", "S2")])
    assert all(len(set(column)) == 3 for column in names.T.tolist())
    assert not ((names == batch.io) | (names == batch.s)).any()
    assert swapped[rows, at["S2"]].equal(batch.io)
    exchanged = batch.corrupt("swap_names")
    assert exchanged[rows, at["IO"]].equal(batch.s)
    assert exchanged[rows, at["S2"]].equal(batch.io)
    new = batch.corrupt("new_names")
    assert new[rows, at["S1"]].equal(new[rows, at["S2"]])
    first = batch.corrupt("swap_first")
    assert first[rows, at["IO"]].equal(batch.s)
    assert first[rows, at["S1"]].equal(batch.io)
    other = batch.corrupt("new_names_swap_s2")
    assert other[rows, at["IO"]].equal(other[rows, at["S2"]])


def test_a_reference_has_as_many_prompts_for_each_group(batch):
    tokens, groups = batch.abc_reference(per_group=3, seed=1)
    assert Counter(groups.tolist()) == dict.fromkeys(batch.groups.tolist(), 3)
    assert tokens.shape == (3 * len(batch.groups.unique()), batch.tokens.shape[1])
    for group in batch.groups.unique():
        filled = batch.tokens[batch.groups == group][0] == batch.model.tokenizer.eos_token_id
        theirs = tokens[groups == group] == batch.model.tokenizer.eos_token_id
        assert (theirs == filled).all(), "lengths differ within a group"


def test_the_io_can_be_said_twice(model):
    batch = ioi_batch(model, 8, variant="duplicated_io", templates=[0, 1])
    assert words_at(batch, batch.positions["IO2"]) == [f" {p.io}" for p in batch.prompts]
    assert (batch.positions["IO2"] > batch.positions["S1"]).all()
    control = ioi_batch(model, 8, variant="bystander", templates=[0, 1])
    assert control.tokens.shape == batch.tokens.shape
    assert "IO2" not in control.positions


def test_names_are_one_token(model):
    kept = single_token_words(model, NAMES)
    assert 50 < len(kept) <= len(NAMES)
    assert single_token_words(model, ["Mary", "Xanthippe"]) == ("Mary",)
    assert model.tokenizer.decode([word_token(model, "Mary")]) == " Mary"


OWN = "Here {A} and {B} saw the {place}{middle} {S} sold a {object} to"


def test_templates_and_names_of_your_own(model):
    names = ["Mary", "John", "Paul", "Lisa", "Anna"]
    batch = ioi_batch(model, 4, templates=[OWN], names=names, order="BABA")
    assert {prompt.order for prompt in batch.prompts} == {"BABA"}
    assert {prompt.io for prompt in batch.prompts} <= set(names)
    assert all(prompt.text.startswith("Here ") for prompt in batch.prompts)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"templates": [99]}, "no template 99; they are numbered 0 to 7"),
        ({"templates": [OWN.replace("{S}", "she")]}, "lacks {S}"),
        ({"templates": [OWN + " {who} at"]}, "unknown field {who}"),
        ({"templates": [OWN + " {A} at"]}, "repeats {A}"),
        ({"templates": [OWN.replace(" {place}", "{place}")]}, "needs a space before {place}"),
        ({"templates": [OWN + " "]}, "must end with a word"),
        ({"templates": [OWN.replace("Here", "Mary,")]}, "may hold no name"),
        ({"templates": ["{S}"]}, "lacks {A}"),
        ({"templates": ["{"]}, "cannot be read"),
        ({"names": ["Mary", "John", "Paul", "Lisa", "Xanthippe"]}, "'Xanthippe' is"),
        ({"names": ["Mary", "John"]}, "At least five different names"),
        ({"order": "AB"}, "There is no order 'AB'"),
        ({"variant": "plan"}, "plain"),
        ({"n": 0}, "at least one prompt"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(model, options, words):
    with pytest.raises(CourseError) as error:
        ioi_batch(model, **options)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_corruption_and_a_model_without_words(batch):
    with pytest.raises(CourseError, match="swap_s2"):
        batch.corrupt("swap_s")
    with pytest.raises(CourseError, match="no words"):
        ioi_batch(load_model("induction-2l"), 4)
