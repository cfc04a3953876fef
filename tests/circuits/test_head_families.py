"""Tasks of many jobs, and the families of models trained on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from circuits_course.circuits import head_families as diversity
from circuits_course.circuits.head_families import (
    COUNTS,
    EVERY,
    SEEDS,
    SHIPPED,
    TASKS,
    family_recipe,
    held_out,
    shipped_family,
    train_head_family,
)
from circuits_course.data.head_jobs import AllAtOnce, LookUps
from circuits_course.errors import CourseError, UnknownName
from circuits_course.models.training import steps


def draw(task, size=16, seed=0):
    return task.batch(size, torch.Generator().manual_seed(seed))


def says(task, logits):
    """A stand-in for a model that gives these logits whatever it is asked."""

    def model(tokens, return_type="logits", loss_per_token=False):
        if return_type == "logits":
            return logits
        log_probs = logits[:, :-1].log_softmax(-1)
        return -log_probs.gather(-1, tokens[:, 1:, None])[..., 0]

    return model


# --- the tasks --------------------------------------------------------------------------------


def test_a_look_up_is_answered_by_its_slot():
    task = LookUps(n_jobs=5, n_symbols=7)
    tokens = draw(task)
    assert tokens.shape == (16, task.n_ctx)
    assert (tokens[:, 0] == 0).all()
    for row in tokens.tolist():
        slots, pairs = row[1:6], row[6:]
        commands, answers = pairs[::2], pairs[1::2]
        assert sorted(commands) == [1, 2, 3, 4, 5]
        assert answers == [slots[command - 1] for command in commands]
        assert all(5 < symbol < task.d_vocab for symbol in slots)


def test_the_loss_of_a_look_up_belongs_to_its_command():
    task = LookUps(n_jobs=3, n_symbols=4)
    tokens = draw(task)
    logits = torch.zeros(*tokens.shape, task.d_vocab)
    for b, row in enumerate(tokens.tolist()):
        for q in range(task.n_jobs + 1, len(row) - 1):
            right = row[q + 1] if row[q] != 2 else 0  # command 2, job 1, is answered wrongly
            logits[b, q, right] = 30.0
    losses = task.loss(says(task, logits), tokens)
    assert losses[[0, 2]].max() < 1e-3
    assert losses[1] == pytest.approx(30.0, abs=1e-2)


def test_all_at_once_every_symbol_is_what_some_job_says():
    task = AllAtOnce()
    tokens = draw(task, 64)
    assert tokens.shape == (64, task.n_ctx)
    chosen = Counter()
    for row in tokens.tolist():
        for q in range(max(task.backs) + 1, len(row) - 1):
            said = [int(task.codes[job, row[q - back]]) for job, back in enumerate(task.backs)]
            assert row[q + 1] in said
            chosen[said.index(row[q + 1])] += 1
    assert min(chosen.values()) > 0.7 * max(chosen.values())


def test_best_and_worst_of_all_at_once_are_reached_by_who_knows_all_and_nothing():
    task = AllAtOnce()
    tokens = draw(task, 256, seed=5)
    nothing = torch.zeros(*tokens.shape, task.d_vocab)
    nothing[..., 0] = -30.0
    assert task.loss(says(task, nothing), tokens).mean() == pytest.approx(task.worst, abs=1e-3)
    votes = torch.zeros_like(nothing)
    first = max(task.backs) + 1
    said = task.candidates(tokens)
    votes[:, first:].scatter_add_(2, said, torch.ones_like(said, dtype=votes.dtype))
    everything = (votes / len(task.backs) + 1e-9).log()
    assert task.loss(says(task, everything), tokens).mean() == pytest.approx(task.best, abs=0.02)
    assert task.best < task.worst - 1


def test_batches_come_from_the_generator_alone():
    for task in TASKS.values():
        assert torch.equal(draw(task, seed=3), draw(task, seed=3))
        assert not torch.equal(draw(task, seed=3), draw(task, seed=4))


def test_copies_leave_no_doubt():
    tokens = draw(TASKS["induction"])
    period = TASKS["induction"].period
    assert tokens.shape == (16, 1 + 2 * period)
    assert torch.equal(tokens[:, 1 : period + 1], tokens[:, period + 1 :])
    assert all(len(set(row)) == period for row in tokens[:, 1 : period + 1].tolist())


# --- the families -----------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_members_of_a_family_are_equally_large(task):
    sizes = {
        sum(w.numel() for w in next(steps(family_recipe(task, n, 0))).model.parameters())
        for n in COUNTS
    }
    assert len(sizes) == 1


def test_what_cannot_be_trained_says_so():
    with pytest.raises(UnknownName, match="look-ups"):
        family_recipe("look-up", 4, 0)
    with pytest.raises(CourseError, match="does not divide into 3 heads"):
        family_recipe("look-ups", 3, 0)


def test_a_live_family_goes_through_counts_and_seeds(monkeypatch):
    monkeypatch.setitem(TASKS, "all at once", replace(TASKS["all at once"], steps=20))
    members = list(train_head_family("all at once", counts=[1, 2], seeds=iter([3, 4])))
    assert [(t.n_heads, t.seed) for t in members] == [(1, 3), (1, 4), (2, 3), (2, 4)]
    assert all(len(t.history) == 1 + 20 // EVERY for t in members)
    assert members[0].history != members[1].history
    assert not any(w.requires_grad for w in members[0].model.parameters())


def test_induction_families_tell_when_their_heads_are_born(monkeypatch):
    monkeypatch.setitem(TASKS, "induction", replace(TASKS["induction"], steps=10))
    (member,) = train_head_family("induction", counts=[2], seeds=[0])
    assert set(member.births) == {"previous token", "induction"}
    assert len(member.births["induction"]) == len(member.history) == 2


# --- what ships -------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_shipped_weights_have_the_loss_they_ended_with(task):
    tokens, family = held_out(TASKS[task]), shipped_family(task)
    assert [(t.n_heads, t.seed) for t in family] == [(n, s) for n in SHIPPED[task] for s in SEEDS]
    for trained in family:
        loss = TASKS[task].loss(trained.model, tokens).mean().item()
        assert loss == pytest.approx(trained.history[-1], abs=0.03), trained.name
        assert trained.model.cfg.n_heads == trained.n_heads


@pytest.mark.parametrize("task", ["induction", "look-ups", "all at once"])
def test_training_again_starts_like_the_shipped_run(task):
    (shipped,) = shipped_family(task, counts=[4], seeds=[1])
    tokens, again = held_out(TASKS[task]), []
    for step in steps(family_recipe(task, 4, 1), threads=1):
        if step.number % EVERY == 0:
            again.append(TASKS[task].loss(step.model, tokens).mean().item())
        if step.number == 50:
            break
    assert again == pytest.approx(shipped.history[:6], abs=0.05)


def test_half_way_is_the_first_step_over_the_middle():
    (trained,) = shipped_family("look-ups", counts=[4], seeds=[0])
    middle = TASKS["look-ups"].worst / 2
    assert trained.half_way is not None
    index = trained.half_way // EVERY
    assert trained.history[index] <= middle < trained.history[index - 1]
    assert replace(trained, history=[9.0] * 4).half_way is None


def test_members_that_do_not_ship_and_damaged_weights_say_so(monkeypatch, tmp_path):
    with pytest.raises(CourseError, match="No such member ships: look-ups, 16 heads, seed 0"):
        shipped_family("look-ups", counts=[16], seeds=[0])
    copy = tmp_path / diversity.FAMILIES.name
    copy.write_bytes(diversity.FAMILIES.read_bytes())
    copy.with_suffix(".safetensors").write_bytes(b"not weights")
    monkeypatch.setattr(diversity, "FAMILIES", copy)
    with pytest.raises(CourseError, match=r"install the course again, or run `python -m"):
        shipped_family("look-ups")
