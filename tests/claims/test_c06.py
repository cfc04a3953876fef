"""What chapter 06 claims of SmolLM2's circuit, on templates that the course does not have."""

import pytest
import torch

from circuits_course.checks.references import load_reference
from circuits_course.circuits import (
    KnockOuts,
    answer_directions,
    beats,
    direct_effects_without,
    fit_signals,
    interval,
    looks_by_name,
    measured_circuit,
    other_circuits,
    pair_means,
    pattern_and_values,
    run_at_end,
    signal_table,
)
from circuits_course.data import ioi_batch

TEMPLATES = (
    "Yesterday {A} and {B} had coffee at the {place}{middle} {S} gave a {object} to",
    "Because {A} and {B} both knew the {place} well{middle} {S} mailed a {object} to",
    "Before {A} and {B} drove back to the {place}{middle} {S} handed the {object} to",
    "Although {A} and {B} never liked the {place}{middle} {S} left a {object} for",
)
DATA = "32 prompts of four templates that are not in the course, seeds 40 and 41"
MOVERS, NEGATIVE = [(23, 0), (23, 1), (23, 2), (23, 7)], (24, 4)
SUPPRESSOR, INHIBITION = (23, 3), [(20, 0), (19, 2)]

answers = load_reference("06_indirect_object_identification")


@pytest.fixture(scope="module")
def batches(smollm2):
    return [ioi_batch(smollm2, 16, seed=seed, templates=TEMPLATES) for seed in (40, 41)]


@pytest.fixture(scope="module")
def engines(smollm2, batches):
    with torch.no_grad():
        return [KnockOuts(smollm2, batch, seed=9) for batch in batches]


def each(engines, gone):
    """Logit differences without some heads, pairs of twins averaged."""
    return pair_means(torch.cat([F.each(F.heads - set(gone)) for F in engines]))


def joined(batches, measure):
    return pair_means(torch.cat([measure(batch) for batch in batches], dim=-1))


def test_smollm2_names_the_indirect_object(claim, engines):
    """SmolLM2 gives the indirect object a higher logit than the subject, by several logits."""
    values = each(engines, [])
    found = interval(values)
    claim(found, unit="logits", holds=found.low > 2, data=DATA)


def test_the_suppressor_is_the_strongest_head(claim, smollm2, batches):
    """Head 23.3 looks at the subject, writes against it, and no head adds more to the answer."""

    def direct(batch):
        _, cache = run_at_end(smollm2, batch.tokens, batch.positions["END"])
        return answers.attribute_heads(cache, answer_directions(smollm2, batch.io, batch.s))

    effects = joined(batches, direct)
    found = interval(effects[SUPPRESSOR])
    others = [effects[layer, h].mean() for layer in range(30) for h in range(9)
              if (layer, h) != SUPPRESSOR]  # fmt: skip
    stronger = beats(found.mean, others)
    against = sum(answers.copy_score(smollm2, b, SUPPRESSOR, "S2", -1) for b in batches) / 2
    holds = found.low > 0.5 and stronger.more_than == stronger.of and against > 0.9
    claim(found, unit="logits", holds=holds, controls=stronger, data=DATA)


def test_the_suppressor_needs_no_repetition(claim, smollm2, batches):
    """With the attention of a prompt that repeats no name, 23.3 keeps a good part of its effect."""
    tables = [pattern_and_values(smollm2, b, SUPPRESSOR, b.corrupt("ABC", 3)) for b in batches]
    kept, other, whole = (
        pair_means(torch.cat([table[how] for table in tables]))
        for how in ("other pattern", "other values", "whole")
    )
    share = interval(kept / whole.mean())
    holds = share.low > 0.25 and interval(other).high < 0.25 * whole.mean()
    claim(share, unit="share of its direct effect", holds=holds, data=DATA)


def test_s_inhibition_says_the_place(claim, smollm2, batches):
    """S-inhibition heads 20.0 and 19.2 say at which place the subject stood, and not which name."""
    tables = [signal_table(smollm2, b, INHIBITION, seed=5) for b in batches]
    values = {how: torch.cat([t[how] for t in tables]) for how in tables[0]}
    pairs = {how: pair_means(v) for how, v in values.items()}
    fits = [
        fit_signals({how: v[i : i + 1] for how, v in pairs.items()})
        for i in range(len(pairs["clean"]))
    ]
    place, name = (interval([fit[i] for fit in fits]) for i in (0, 1))
    holds = place.low > 1 and max(abs(name.low), abs(name.high)) < 0.5
    claim(place, unit="logits a sign of the place", holds=holds, data=DATA)


def test_name_movers_carry_little_of_the_answer(claim, smollm2, engines):
    """Without its four name movers SmolLM2 loses a little, less than half of what they write."""
    more = [ioi_batch(smollm2, 16, seed=seed, templates=TEMPLATES) for seed in range(42, 46)]
    engines = [*engines, *(KnockOuts(smollm2, batch, seed=9) for batch in more)]
    cost = interval(each(engines, MOVERS) - each(engines, []))
    alone = [direct_effects_without(smollm2, F, []) for F in engines]
    written = sum(effects[head].item() for effects in alone for head in MOVERS) / len(alone)
    claim(
        cost,
        unit="logits",
        holds=cost.high < 0 and -cost.low < written / 2,
        data=f"96 prompts of four templates not in the course; directly they write {written:.1f}",
    )


def test_copy_suppression_hides_the_movers(claim, engines):
    """The movers are missed once the negative mover 24.4 is gone, which answers to them."""
    alone = each(engines, MOVERS) - each(engines, [])
    without = each(engines, [*MOVERS, NEGATIVE]) - each(engines, [NEGATIVE])
    found = interval(without - alone)
    claim(found, unit="logits", holds=found.high < 0, data=DATA)


def test_induction_heads_see_the_repetition(claim, smollm2, batches):
    """17.4 looks from S2 to S1+1 because a name returns; without a repetition it does not."""
    looks = [looks_by_name(smollm2, b, b.corrupt("ABC", 7), each=True) for b in batches]
    tables = {
        what: torch.cat([table[what] for table in looks], -1)
        for what in ("S2 to S1+1", "S2 to S1+1, ABC")
    }
    differences = pair_means(tables["S2 to S1+1"] - tables["S2 to S1+1, ABC"])
    found = interval(differences[17, 4])
    others = [d for i, d in enumerate(differences.mean(-1).flatten().tolist()) if i != 17 * 9 + 4]
    most = beats(found.mean, others)
    claim(found, unit="attention", holds=found.low > 0.4 and most.more_than == most.of,
          controls=most, data=DATA)  # fmt: skip


def test_the_circuit_holds_on_new_templates(claim, smollm2, engines):
    """An eighth of the heads keeps most of the logit difference; random sets do not."""
    listed = measured_circuit(smollm2)["heads"]
    circuit = {tuple(map(int, name.split("."))) for name in listed}
    kept = pair_means(torch.cat([F.each(circuit) for F in engines]))
    whole = each(engines, []).mean()
    sets = other_circuits(circuit, engines[0].heads, 21, seed=5)
    controls = [engines[0](chosen) / engines[0](engines[0].heads) for chosen in sets]
    found, most = interval(kept / whole), beats((kept / whole).mean(), controls)
    holds = found.low > 0.5 and most.more_than == most.of and len(circuit) <= 270 / 8
    claim(found, unit="share of the logit difference", holds=holds, controls=most, data=DATA)


def test_saying_the_other_name_twice_too_lowers_the_answer(claim, smollm2):
    """If the indirect object is said twice too, the logit difference falls and stays above 0."""

    def asked(variant):
        batches = [
            ioi_batch(smollm2, 16, seed=seed, templates=TEMPLATES, variant=variant)
            for seed in (40, 41)
        ]
        return joined(batches, lambda batch: batch.metric.each()(smollm2(batch.tokens)))

    as_long, twice = asked("bystander"), asked("duplicated_io")
    found = interval(twice - as_long)
    holds = found.high < 0 and interval(twice).low > 0
    claim(found, unit="logits, against a sentence of equal length", holds=holds, data=DATA)
