"""The claims of chapter 11: what methods of discovery find where the circuit is known."""

from __future__ import annotations

from functools import cache, partial
from random import Random

import torch
from scipy.stats import spearmanr

from circuits_course.checks.references import load_reference
from circuits_course.circuits import (
    acdc,
    beats,
    between_heads,
    edge_attribution,
    edge_effects,
    edges_of,
    induction_task,
    integrated_edge_attribution,
    interval,
    ioi_task,
    metric_gap,
    precision_recall,
    random_circuits,
    residual_states,
    run_with_edges,
    steered,
    strongest_edges,
)
from circuits_course.circuits.discovery import EdgeRuns
from circuits_course.data import word_token
from circuits_course.errors import CourseError
from circuits_course.mystery import contest, make_planted, planted_edges, planted_task

MODELS, PROMPTS = 12, 16
FOUND = 0.05  # of the gap between clean and corrupted run: a score from here on is a find
IG = partial(integrated_edge_attribution, steps=5)


@cache
def cases(kind):
    """Models with a planted circuit, from seeds that no table and no notebook uses, with tasks."""
    found, seed = [], 7000
    while len(found) < MODELS:
        seed += 1
        mystery = make_planted(kind, seed)
        try:
            task = planted_task(mystery, PROMPTS, seed)
        except CourseError:
            continue
        found.append((mystery.model, task, planted_edges(mystery)))
    return found


def recalls(kind, method):
    """Of each model's planted edges, the share whose score is a find."""
    shares = []
    for model, task, planted in cases(kind):
        scores, least = method(model, *task), FOUND * metric_gap(model, *task)
        found = [edge for edge, score in scores.items() if abs(score) >= least]
        shares.append(precision_recall(found, planted).recall)
    return shares


def chance(kind):
    """What random circuits of the true size find: 20 for each model."""
    return [
        precision_recall(drawn, planted).recall
        for model, _, planted in cases(kind)
        for drawn in random_circuits(between_heads(edges_of(model)), len(planted))
    ]


def silenced(model, clean, _corrupted, metric):
    return edge_effects(model, clean, None, metric)


def test_exact_patching_finds_a_planted_chain(claim):
    """Patched one by one, the edges of a planted chain of three heads are all found."""
    found = interval(recalls("odd_one_out", edge_effects))
    claim(
        found,
        unit="of the planted edges",
        holds=found.mean > 0.95,
        controls=beats(found.mean, chance("odd_one_out")),
        data=f"{MODELS} fresh models of the odd one out; controls: random circuits",
    )


def test_plain_attribution_misses_saturated_edges(claim):
    """On the same models EAP finds a quarter: where attention is saturated its gradient is 0."""
    found = interval(recalls("odd_one_out", edge_attribution))
    claim(
        found,
        unit="of the planted edges",
        holds=found.high < 0.5,
        data=f"{MODELS} fresh models of the odd one out",
    )


def test_five_steps_find_more_than_one(claim):
    """Five steps of integrated gradients find more of these edges than one gradient does."""
    more = [
        five - one
        for five, one in zip(
            recalls("odd_one_out", IG), recalls("odd_one_out", edge_attribution), strict=True
        )
    ]
    found = interval(more)
    claim(
        found,
        unit="of the planted edges, more than EAP",
        holds=found.low > 0.2,
        data=f"{MODELS} fresh models of the odd one out",
    )


def test_what_never_changes_is_found_by_none(claim):
    """No method that holds one prompt against another finds edges that say the same on both."""
    per_model = [
        max(recall)
        for recall in zip(
            *(recalls("told_twice", m) for m in (edge_effects, edge_attribution, IG)), strict=True
        )
    ]
    found = interval(per_model)
    claim(
        found,
        unit="of the planted edges, the best of three methods",
        holds=found.high < 0.4,
        data=f"{MODELS} fresh models that hand on a mark; EAP, EAP-IG, exact patching",
    )


def test_silence_finds_what_never_changes(claim):
    """Edges that carry nothing, instead of another prompt's value, give that circuit away."""
    found = interval(recalls("told_twice", silenced))
    claim(
        found,
        unit="of the planted edges",
        holds=found.low > 0.9,
        controls=beats(found.mean, chance("told_twice")),
        data=f"{MODELS} fresh models that hand on a mark; controls: random circuits",
    )


def either(kind="either_will_do"):
    for model, task, planted in cases(kind):
        yield model, task, [edge for edge in planted if edge.receiver != "logits"]


def test_of_two_that_will_do_single_patches_find_neither(claim):
    """Where either of two heads will do, patching their edges one by one finds neither."""
    shares = []
    for model, task, pair in either():
        effects = edge_effects(model, *task, pair)
        shares.append(max(map(abs, effects.values())) / metric_gap(model, *task))
    found = interval(shares)
    claim(
        found,
        unit="of the gap, the larger of two edges",
        holds=found.high < FOUND,
        data=f"{MODELS} fresh models where either of two heads will do",
    )


def test_of_two_that_will_do_both_matter_together(claim):
    """Taken out together, the same two edges cost the model much of its answer."""
    shares, controls = [], []
    for model, task, pair in either():
        runs, gap = EdgeRuns(model, task.clean, task.corrupted), metric_gap(model, *task)
        every, clean = runs.graph.edges, task.metric(model(task.clean)).item()
        others = between_heads(e for e in every if e not in pair and e.receiver != "logits")

        def cost(out, runs=runs, every=every, clean=clean, gap=gap, metric=task.metric):
            return (clean - runs.score([e for e in every if e not in out], metric).item()) / gap

        shares.append(cost(pair))
        controls += [cost(drawn) for drawn in random_circuits(others, 2, 4)]
    found = interval(shares)
    claim(
        found,
        unit="of the gap",
        holds=found.low > 0.1,
        controls=beats(found.mean, controls),
        data=f"{MODELS} fresh models; controls: other pairs of edges between heads",
    )


def test_greedy_pruning_keeps_one_of_two(claim):
    """Of two edges either of which will do, ACDC keeps exactly one."""
    kept = []
    for model, task, pair in either():
        left = acdc(model, *task, FOUND * metric_gap(model, *task))
        kept.append(sum(edge in left for edge in pair))
    claim(
        sum(kept) / len(kept),
        unit="of two edges",
        n=len(kept),
        holds=set(kept) == {1},
        data=f"{MODELS} fresh models where either of two heads will do",
    )


def test_the_order_decides_which_of_two_greedy_pruning_keeps(claim):
    """Which of the two ACDC keeps is decided by the order in which it tries them."""
    turned = []
    for model, task, pair in either():
        threshold = FOUND * metric_gap(model, *task)
        kept = [
            [edge in acdc(model, *task, threshold, order=order) for edge in pair]
            for order in ("from the logits", "from the embedding")
        ]
        turned.append(float(kept[0] != kept[1]))
    found = sum(turned) / len(turned)
    claim(
        found,
        unit="of the models keep the other in the other order",
        n=len(turned),
        holds=found > 0.9,
        data=f"{MODELS} fresh models where either of two heads will do",
    )


def test_backups_escape(claim):
    """The edges from backups to the logits score below a twentieth of the gap in every method."""
    sizes = []
    for model, task, planted in cases("two_backups"):
        idle = [edge for edge in planted if edge.receiver == "logits"]
        first = min(idle, key=lambda edge: edge.sender)
        methods = (edge_effects, edge_attribution, IG)
        found = [abs(m(model, *task)[edge]) for m in methods for edge in idle if edge != first]
        sizes.append(max(found) / metric_gap(model, *task))
    found = interval(sizes)
    claim(
        found,
        unit="of the gap, the largest of each model",
        holds=found.high < FOUND,
        data=f"{MODELS} fresh models with two backups; EAP, EAP-IG, exact patching",
    )


def test_a_faithful_circuit_may_lack_most_edges(claim):
    """A circuit without two of three planted edges can be faithful: overlap is another question."""
    values, controls = [], []
    for model, task, planted in cases("told_twice"):
        exact, gap = edge_effects(model, *task), metric_gap(model, *task)
        kept = strongest_edges(exact, 12)
        assert precision_recall(kept, planted).recall < 0.7
        low = task.metric(model(task.corrupted))

        def faithful(circuit, model=model, task=task, low=low, gap=gap):
            logits = run_with_edges(model, task.clean, task.corrupted, circuit)
            return (task.metric(logits) - low).item() / gap

        values.append(faithful(kept))
        controls += [faithful(c) for c in random_circuits(edges_of(model), 12, 4)]
    found = interval(values)
    claim(
        found,
        unit="faithfulness",
        holds=found.low > 0.9,
        controls=beats(found.mean, controls),
        data=f"{MODELS} fresh models, 12 strongest edges of 118; controls: 12 at random",
    )


def test_one_kind_of_text_hides_the_switch(claim, induction_2l):
    """Chain against chain, the switch Q 0.0 > 1.2 of induction-2l scores next to nothing."""
    switch = ((0, 0), (1, 2, "q"))
    found = interval(_shares(induction_2l, "chain", switch))
    claim(
        found,
        unit="of the gap",
        holds=max(abs(found.low), abs(found.high)) < FOUND,
        data="8 draws of 16 texts, exact patching",
    )


def test_the_other_kind_of_text_shows_the_switch(claim, induction_2l):
    """Held against repeats, the same texts show it: what the corrupted prompts are decides."""
    switch = ((0, 0), (1, 2, "q"))
    found = interval(_shares(induction_2l, "chain against repeats", switch))
    claim(
        found,
        unit="of the gap",
        holds=found.high < -FOUND,
        data="8 draws of 16 texts, exact patching",
    )


def _shares(model, data, edge):
    tasks = [induction_task(model, data, 16, seed) for seed in range(700, 708)]
    return [edge_effects(model, *t, [edge])[edge] / metric_gap(model, *t) for t in tasks]


def test_estimates_rank_edges_of_a_real_model(claim, smollm2):
    """EAP ranks the strong edges of SmolLM2's IOI circuit much as exact patching does."""
    task = ioi_task(smollm2, 4, seed=70)
    estimate = edge_attribution(smollm2, *task)
    strong = Random(0).sample(strongest_edges(estimate, 300), 40)
    exact = edge_effects(smollm2, *task, strong)
    ours, theirs = [estimate[edge] for edge in strong], [exact[edge] for edge in strong]
    found = spearmanr(ours, theirs).statistic
    draw = Random(1)
    shuffled = [spearmanr(draw.sample(ours, 40), theirs).statistic for _ in range(200)]
    claim(
        found,
        unit="rank correlation",
        n=40,
        holds=found > 0.7,
        controls=beats(found, shuffled),
        data="40 of the 300 strongest edges, 4 prompts; controls: shuffled estimates",
    )


def test_one_gradient_into_the_keys_is_a_lottery(claim, induction_2l):
    """From draw to draw EAP misses the edge into 1.3's keys by half or more, EAP-IG by far less."""
    edge, errors = ((0, 3), (1, 3, "k")), {"EAP": [], "EAP-IG": []}
    for seed in range(40, 52):
        task = induction_task(induction_2l, "repeats", 32, seed=seed)
        exact = edge_effects(induction_2l, *task, edges=[edge])[edge]
        for name, method in (("EAP", edge_attribution), ("EAP-IG", IG)):
            guess = method(induction_2l, *task)[edge]
            errors[name].append(abs(guess - exact) / abs(exact))
    one, along = (interval(values) for values in errors.values())
    claim(
        one,
        unit="of the exact effect, mean error of EAP",
        holds=one.low > 0.5 and along.high < 0.35,
        data=f"12 draws of 32 prompts, seeds 40 to 51; EAP-IG with 5 steps: {along}",
    )


def test_praise_minus_blame_steers(claim, smollm2):
    """Praise minus blame moves words of liking more than other contrasts of the same sentences."""
    words = {
        "praise": ("fine", "good", "nice", "perfect"),
        "blame": ("bad", "sad", "ugly", "cruel"),
    }
    states = {
        kind: torch.stack(
            [
                residual_states(smollm2, smollm2.to_tokens(f"The {thing} was {word}."), [12])[
                    0, 0, -1
                ]
                for thing in ("book", "walk", "speech", "dinner")
                for word in said
            ]
        )
        for kind, said in words.items()
    }
    direction = 2 * (states["praise"].mean(0) - states["blame"].mean(0))
    dice, contrasts = torch.Generator().manual_seed(60), []
    for _ in range(20):
        halves = [s[torch.randperm(len(s), generator=dice)].chunk(2) for s in states.values()]
        apart = torch.cat([h[0] for h in halves]).mean(0) - torch.cat([h[1] for h in halves]).mean(
            0
        )
        contrasts.append(apart * direction.norm() / apart.norm())
    probes = smollm2.to_tokens(
        [f"We talked of the {what}. They said it was" for what in
         ("concert", "house", "trip", "coat", "garden", "game", "city", "dog")]
    )  # fmt: skip
    good, bad = (
        [word_token(smollm2, word) for word in text.split()]
        for text in ("great wonderful beautiful amazing", "terrible awful horrible worst")
    )
    logits = steered(smollm2, probes, 12, torch.stack([0 * direction, direction, *contrasts]))
    liking = logits[..., good].mean(-1) - logits[..., bad].mean(-1)
    up, *others = liking[1:] - liking[0]
    won = beats(up.mean(), [other.mean().abs() for other in others])
    claim(
        interval(up),
        unit="logits of four good words less four bad ones",
        holds=interval(up).low > 0 and won.share >= 0.95,
        controls=won,
        data="other things, prompts and words; controls: halves against halves, as long",
    )


def test_trying_beats_a_gradient_alone(claim):
    """Thirty edges chosen by a gradient and then tried are nearer to the truth than it alone."""

    def gradient_alone(model, task):
        scores = edge_attribution(model, *task)
        least = FOUND * metric_gap(model, *task)
        return [edge for edge, score in scores.items() if abs(score) > least]

    answers = load_reference("11_automatic_discovery")
    entries = {"tried": answers.my_discovery, "alone": gradient_alone}
    tried, alone = contest(entries, range(7100, 7120)).values()
    found = interval(a.f1 - b.f1 for a, b in zip(tried, alone, strict=True))
    claim(
        found,
        unit="F1, tried less alone",
        holds=found.low > 0,
        data="20 planted models of all kinds, seeds 7100 to 7119",
    )
