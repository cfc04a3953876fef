"""The claims of chapter 10, on planted models that its notebook does not use."""

from __future__ import annotations

from functools import cache
from itertools import combinations

from circuits_course.circuits import interval
from circuits_course.mystery import make_mystery, open_seal
from circuits_course.mystery.bench import Bench, Paths
from circuits_course.mystery.making import make_hiding

SEEDS = range(2000, 2060)
MATTERS = 0.05


@cache
def planted():
    """Models made from other seeds, with their keys."""
    made = (make_mystery(f"claim-{seed}", seed) for seed in SEEDS)
    return [(mystery, open_seal(mystery)) for mystery in made]


@cache
def hiding(name):
    made = (make_hiding(name, seed) for seed in range(2000, 2008))
    return [(mystery, open_seal(mystery)) for mystery in made]


def bench_of(mystery, mode="mean"):
    return Bench(mystery.model, mystery.sample(48, 5), mode)


def circuit_of(key):
    return {head for heads in key.heads.values() for head in heads}


def most(bench, head):
    """The most that a head matters, alone or with one other gone."""
    alone = bench.distance(bench.heads, bench.heads - {head})
    rest = (bench.heads - {other} for other in bench.heads - {head})
    return max(alone, *(bench.distance(left, left - {head}) for left in rest))


def script(mystery):
    """The heads that matter somewhere, by the importance of all heads."""
    bench = bench_of(mystery)
    return {head for head in bench.heads if most(bench, head) >= MATTERS}


def test_heads_that_only_look_the_part_cost_nothing(claim):
    """A head outside the circuit can go at no cost, however clean its attention pattern."""
    costs = []
    for mystery, key in planted()[:20]:
        bench = bench_of(mystery)
        outside = bench.heads - circuit_of(key)
        costs.append(max(bench.distance(bench.heads, bench.heads - {head}) for head in outside))
    found = interval(costs)
    claim(
        found,
        unit="of the whole effect, the costliest of a model",
        holds=found.high < MATTERS,
        data="20 models from seeds 2000 on, 48 fresh inputs each",
    )


def test_one_ablation_at_a_time_misses_a_head_and_its_backup(claim):
    """Ablated one at a time, by its mean, neither a head nor its backup seems to matter."""
    costs = []
    for mystery, key in planted():
        if "backup" in key.heads:
            bench = bench_of(mystery)
            (last,) = key.heads["backup"]
            (first,) = [e[0] for e in key.edges if e[1] == "logits" and e[0] != last]
            costs += [max(bench.distance(bench.heads, bench.heads - {h}) for h in (first, last))]
    found = interval(costs)
    claim(
        found,
        unit="of the whole effect",
        holds=found.high < MATTERS,
        data="the models with a backup among seeds 2000 to 2059",
    )


def test_a_circuit_without_its_backup_is_faithful_and_incomplete(claim):
    """Without its backup a circuit is still faithful, and falls where the model does not."""
    faithful, incomplete = [], []
    for mystery, key in planted():
        if "backup" in key.heads:
            bench, circuit = bench_of(mystery), frozenset(circuit_of(key))
            (last,) = key.heads["backup"]
            (first,) = [e[0] for e in key.edges if e[1] == "logits" and e[0] != last]
            faithful.append(1 - bench.distance(bench.heads, circuit - {last}))
            incomplete.append(bench.distance(bench.heads - {first}, circuit - {last, first}))
    found = interval(incomplete)
    claim(
        found,
        unit="incompleteness",
        holds=found.low > 0.9 and min(faithful) > 0.9,
        data=f"the models with a backup; faithfulness at least {min(faithful):.2f}",
    )


def test_half_of_a_balance_is_worse_than_nothing(claim):
    """One of two counters alone, all else at zero, is further from the model than silence."""
    alone = []
    for mystery, key in planted():
        if key.algorithm == "balance":
            bench = bench_of(mystery, "zero")
            alone += [max(1 - bench.distance(bench.heads, {h}) for h in key.heads["counter"])]
    found = interval(alone)
    claim(
        found,
        unit="faithfulness of the better half",
        holds=found.high < 0,
        data="the models that weigh two kinds, seeds 2000 to 2059",
        only="ablation by zeros",
    )


def test_the_importance_of_all_heads_finds_an_ordinary_circuit(claim):
    """The importance of all heads, with one other gone, names the circuit and nothing else."""
    right = [script(mystery) == circuit_of(key) for mystery, key in planted()[:20]]
    found = interval(right)
    claim(
        found,
        unit="of the models",
        holds=found.mean >= 0.9,
        data="20 models from seeds 2000 on; none of those that hide",
    )


def test_it_finds_no_head_of_a_pair_of_backups_and_the_smallest_cut_does(claim):
    """Where two backups cover one head, importance finds nobody; the smallest cut finds three."""
    fooled, cut = [], []
    for mystery, key in hiding("kunzite"):
        bench, circuit = bench_of(mystery), circuit_of(key)
        fooled.append(not script(mystery) & circuit)
        sets = [
            chosen
            for size in (1, 2, 3)
            for chosen in combinations(sorted(bench.heads), size)
            if bench.distance(bench.heads, bench.heads.difference(chosen)) >= 0.5
        ]
        cut.append([set(chosen) for chosen in sets] == [circuit])
    found = interval(cut)
    claim(
        found,
        unit="of the models cut right",
        holds=all(fooled) and found.mean >= 0.9,
        data="8 models with a pair of backups, seeds 2000 to 2007",
    )


def test_means_and_other_prompts_miss_a_head_that_always_says_the_same(claim):
    """A head that always says the same matters by zeros, and by no mean or other prompt."""
    by_zero, others, edges = [], [], []
    for mystery, key in hiding("lazulite"):
        ((marker,), (reader,)) = key.heads.values()
        by_zero.append(most(bench_of(mystery, "zero"), marker))
        others.append(max(most(bench_of(mystery, mode), marker) for mode in ("mean", "resample")))
        paths = Paths(mystery.model, mystery.sample(48, 5))
        edges.append(abs(paths.effect(marker, (*reader, "k"))))
    found = interval(by_zero)
    claim(
        found,
        unit="of the whole effect, by zeros",
        holds=found.low > 0.3 and max(others) < MATTERS and max(edges) < 0.01,
        data=f"8 models with a marking head; by mean or resampling at most {max(others):.3f}",
    )
