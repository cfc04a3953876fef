"""The claims of chapter 09, on sequences, seeds and families that its notebook does not use."""

from __future__ import annotations

import torch

from circuits_course.circuits import (
    TASKS,
    beats,
    control_sets,
    head_scores,
    input_cut,
    interval,
    mean_ablated,
    shipped_family,
    strongest_heads,
)
from circuits_course.circuits.behaviours import behaviour_scores
from circuits_course.data import ioi_batch, passage, repeats_for, text_tokens

SEED = 300  # of sequences; the notebook takes 0 and 1


def induction_of(model, tokens, head=None):
    """The strongest induction score of any head, or a head's own."""
    scores = behaviour_scores(model, tokens)["induction"]
    return (scores.max() if head is None else scores[head]).item()


def circuit_of(model, tokens):
    """The strongest induction head, and previous-token heads of lower layers, strongest first."""
    scores = behaviour_scores(model, tokens)
    (head,) = strongest_heads(scores["induction"], 1)
    previous = strongest_heads(scores["previous token"], 12)
    return head, [h for h in previous if h[0] < head[0]]


def test_small_models_need_a_previous_token_head(claim):
    """In small models of 2, 4 or 8 heads induction needs the best previous-token head below."""
    left, best = [], []
    for trained in shipped_family("induction", counts=[2, 4, 8]):
        tokens = repeats_for(trained.model, batch=16, seed=SEED)
        head, below = circuit_of(trained.model, tokens)
        whole = induction_of(trained.model, tokens, head)
        if whole < 0.5:
            continue  # has not learned induction at all
        with mean_ablated(trained.model, below[:1]):
            left.append(induction_of(trained.model, tokens, head) / whole)
        others = control_sets(below[:1], trained.model.cfg.n_heads, fewest=1)
        for gone in others:
            with mean_ablated(trained.model, gone):
                best.append(induction_of(trained.model, tokens, head) / whole)
    claim(
        interval(left),
        unit="of the induction score is left",
        holds=interval(left).high < 0.2,
        controls=beats(-interval(left).mean, [-value for value in best]),
        data="14 models of 2, 4 and 8 heads that learned induction, 16 sequences each",
    )


def test_a_head_for_the_current_token_is_no_part_of_every_circuit(claim):
    """With four heads most seeds grow a head that looks at the current token, for queries."""
    kept = {2: [], 4: [], 8: []}
    for trained in shipped_family("induction", counts=kept):
        tokens = repeats_for(trained.model, batch=16, seed=SEED)
        whole = induction_of(trained.model, tokens)
        if whole < 0.5:
            continue
        itself = head_scores(
            trained.model, tokens, lambda pattern: pattern.diagonal(0, -2, -1)[..., 1:].mean(-1)
        )[0]
        with input_cut(trained.model, tokens, int(itself.argmax()), "q"):
            kept[trained.n_heads].append(induction_of(trained.model, tokens) / whole)
    four = interval(kept[4])
    assert min(kept[2]) > 0.8, "models of two heads do without"
    claim(
        four,
        unit="of the induction score is left",
        holds=four.high < 0.8,
        data=f"five seeds of 4 heads; 2 heads: nothing is lost; 8: {interval(kept[8])} is left",
        only="models of 4 heads or more",
    )


def test_previous_token_heads_are_born_first(claim):
    """In training the previous-token head passes .2 first; at .5 the induction head is ahead."""

    def first_over(curve, level):
        return 10 * next(i for i, score in enumerate(curve) if score > level)

    runs = [
        t for t in shipped_family("induction", counts=[1, 2, 8]) if max(t.births["induction"]) > 0.5
    ]
    early, later = (
        interval(
            first_over(t.births["induction"], level) - first_over(t.births["previous token"], level)
            for t in runs
        )
        for level in (0.2, 0.5)
    )
    claim(
        early,
        unit="steps earlier, at a score of .2",
        holds=early.low > 0 and later.high < 0,
        data=f"{len(runs)} runs of 1, 2 and 8 heads that learned induction; at .5: {later}",
    )


def test_smollm2_induction_needs_previous_token_heads(claim, smollm2):
    """SmolLM2's best induction head needs the three best previous-token heads below it."""
    tokens = repeats_for(smollm2, period=25, batch=2, seed=SEED)
    head, below = circuit_of(smollm2, tokens)
    whole, lost = induction_of(smollm2, tokens, head), []
    for gone in [below[:3], *control_sets(below[:3], 9, 20, seed=1)]:
        with mean_ablated(smollm2, gone):
            lost.append(1 - induction_of(smollm2, tokens, head) / whole)
    won = beats(lost[0], lost[1:])
    claim(
        lost[0],
        unit="of the induction score is lost",
        holds=lost[0] > 0.5 and won.share >= 0.95,
        controls=won,
        n=2,
        data="two sequences of 25 random tokens twice, seed 300",
    )


def test_one_behaviour_and_several_worths(claim, smollm2):
    """SmolLM2's 16.0 looks one back everywhere, and costs far more on repeats than on English."""
    texts = {
        "repeats": repeats_for(smollm2, batch=6, seed=SEED),
        "English": text_tokens(smollm2, passage("pride"), 6, 41),
        "names": ioi_batch(smollm2, 6, seed=7).tokens,
    }
    costs = {}
    for name, tokens in texts.items():
        assert behaviour_scores(smollm2, tokens)["previous token"][16, 0] > 0.5, name
        whole = smollm2(tokens, return_type="loss", loss_per_token=True).mean(1)
        with mean_ablated(smollm2, [(16, 0)]):
            without = smollm2(tokens, return_type="loss", loss_per_token=True).mean(1)
        costs[name] = interval(without - whole)
    claim(
        costs["repeats"],
        unit="nats a token on repeats",
        holds=costs["repeats"].low > costs["English"].high,
        data=f"6 sequences of each kind; English (Austen) {costs['English']}",
    )


def test_jobs_asked_at_once_are_divided(claim):
    """Jobs asked at the same time get about a head each; jobs asked one at a time share one."""
    found = {}
    for task in ("all at once", "look-ups"):
        tokens = TASKS[task].batch(48, torch.Generator().manual_seed(SEED))
        found[task] = interval(_jobs_of_each(task, 4, tokens))
    claim(
        found["all at once"],
        unit="jobs a head",
        holds=found["all at once"].high < 2 and found["look-ups"].low > 6,
        data=f"five seeds of 4 heads, fresh sequences; look-ups: {found['look-ups']}",
    )


def _jobs_of_each(task, n_heads, tokens):
    loss = TASKS[task].loss
    for trained in shipped_family(task, counts=[n_heads]):
        whole, costs = loss(trained.model, tokens), []
        for head in range(n_heads):
            with mean_ablated(trained.model, [(0, head)]):
                costs.append((loss(trained.model, tokens) - whole).clamp_min(0))
        table = torch.stack(costs, -1)[:, torch.stack(costs).amax(1) > 0.1]
        yield (table.sum(0) ** 2 / (table**2).sum(0)).mean().item()


def test_very_small_heads_have_not_learned_induction(claim):
    """After 2,000 steps 32 heads of 2 dimensions are half-way and have not learned induction."""
    task = TASKS["induction"]
    tokens = task.batch(64, torch.Generator().manual_seed(SEED))
    left = [
        task.loss(t.model, tokens).mean().item()
        for t in shipped_family("induction, longer", counts=[32])
    ]
    found = interval(left)
    claim(
        found,
        unit="nats left (guessing 3.66)",
        holds=found.low > 0.2 and found.high < 1.83,
        data="five seeds, 64 fresh sequences; 4 heads of 16 dimensions end below .05",
    )
