"""Chapter 04's claims: which heads look back, which write, which are needed."""

import math

import torch

from circuits_course.checks.references import load_reference
from circuits_course.circuits import (
    added_losses,
    beats,
    control_sets,
    direct_scores,
    interval,
    knock_out_hooks,
    losses_without,
    token_OV,
)
from circuits_course.data import passage, repeats_for, text_tokens

LOOKERS = [(17, 3), (17, 4), (17, 5)]
WRITERS = [(18, 6), (18, 7), (20, 6), (23, 2), (23, 7)]
EIGHT = LOOKERS + WRITERS
answers = load_reference("04_induction_heads")


def twice(tokens):
    """[BOS, text, text] from [BOS, text]."""
    return torch.cat([tokens, tokens[:, 1:]], dim=1)


def test_chance_repeats_make_the_first_copy_dear(claim, induction_2l):
    """Over 90 % of what a first copy costs induction-2l beyond guessing comes of chance repeats."""
    shares = []
    for seed in range(100, 112):
        tokens = repeats_for(induction_2l, 22, batch=48, seed=seed)
        current = tokens[:, :22]
        seen = (current[:, :, None] == current[:, None, :]).tril(-1).any(-1)
        excess = losses_without(induction_2l, tokens)[:, :22] - math.log(63)
        shares.append(excess[seen].sum() / excess.sum())
    found = interval(shares)
    claim(found, unit="share of the excess", holds=found.low > 0.9,
          data="12 batches of 48 sequences, period 22, seeds 100-111")  # fmt: skip


def test_three_of_eight_look_and_do_not_write(claim, smollm2):
    """17.3, 17.4 and 17.5 look back like induction heads and write next to nothing directly."""
    kinds = {
        "random": repeats_for(smollm2, 33, batch=10, seed=101),
        "English": twice(text_tokens(smollm2, passage("pride"), 10, 34)),
    }
    pushes = {}
    for kind, tokens in kinds.items():
        _, cache = smollm2.run_with_cache(
            tokens, names_filter=lambda n: n.endswith(("hook_z", "ln_final.hook_scale"))
        )
        pushes[kind] = direct_scores(smollm2, cache, tokens, slice(34, 66))
    three, five = (
        {k: [interval(p[head]) for head in heads] for k, p in pushes.items()}
        for heads in (LOOKERS, WRITERS)
    )
    random = all(i.high < 0.05 for i in three["random"]) and all(
        i.low > 0.05 for i in five["random"]
    )
    english = all(i.high < 0.05 for i in three["English"])
    found = interval(torch.stack([pushes["random"][head] for head in LOOKERS]).mean(0))
    claim(found, unit="logits, mean of the three", holds=random,
          only="" if english else "random tokens; on English they raise every word of the text",
          data="10 repeats of 33 random tokens; 10 stretches of Austen, twice")  # fmt: skip


def test_the_three_are_needed_all_the_same(claim, smollm2):
    """Removing 17.3, 17.4 and 17.5 costs second copies more than any other three of layer 17."""
    tokens = repeats_for(smollm2, 28, batch=6, seed=102)
    controls = control_sets(LOOKERS, smollm2.cfg.n_heads)
    second = (torch.arange(56) > 28).expand(6, -1)
    cost, *others = added_losses(smollm2, tokens, [LOOKERS, *controls], where=second)[
        :, :, 29:
    ].mean(-1)
    found, beaten = interval(cost), beats(cost.mean(), [other.mean() for other in others])
    claim(found, unit="nats", holds=found.low > 0.5 and beaten.more_than == beaten.of,
          controls=beaten, data="6 repeats of 28 random tokens, seed 102")  # fmt: skip


def test_the_best_writer_leans_on_the_lookers(claim, smollm2):
    """Without the five of layers 17 and 18, head 23.2 looks at the right place far less."""
    period, five = 31, [*LOOKERS, (18, 6), (18, 7)]
    tokens = repeats_for(smollm2, period, batch=5, seed=103)
    kept = {}

    def keep(pattern, hook):
        kept["looks"] = answers.induction_score(pattern[:, 2], period)

    def looks(heads):
        hooks = [*knock_out_hooks(heads), ("blocks.23.attn.hook_pattern", keep)]
        smollm2.run_with_hooks(tokens, stop_at_layer=24, fwd_hooks=hooks)
        return kept["looks"]

    whole = looks([])
    lost = 1 - looks(five) / whole
    others = [(1 - looks(heads) / whole).mean() for heads in control_sets(five, 9)]
    found, beaten = interval(lost), beats(lost.mean(), others)
    claim(found, unit="share of its score lost", holds=found.low > 0.5 and beaten.share > 0.95,
          controls=beaten, data="5 repeats of 31 random tokens, seed 103")  # fmt: skip


def test_effective_embeddings_tell_who_copies(claim, smollm2):
    """The copying score tells writers from the rest with effective embeddings, not with raw W_E."""
    gaps = {"raw": [], "effective": []}
    for seed in range(5, 9):
        draw = torch.Generator().manual_seed(seed)
        words = torch.randperm(smollm2.cfg.d_vocab, generator=draw)[:800]
        rows = {
            "raw": smollm2.W_E[words],
            "effective": answers.effective_embedding(smollm2, words, 1),
        }
        for kind, row in rows.items():
            scores = {
                h: float(answers.copying_score(token_OV(smollm2, *h, row, words))) for h in EIGHT
            }
            gap = min(scores[h] for h in WRITERS) - max(scores[h] for h in LOOKERS)
            gaps[kind].append(gap)
    raw, effective = interval(gaps["raw"]), interval(gaps["effective"])
    claim(effective, unit="weakest writer minus best of the rest",
          holds=effective.low > 0.1 and raw.high < 0,
          data=f"4 draws of 800 tokens; from raw W_E {raw}")  # fmt: skip


def test_the_eight_carry_the_context_of_repeated_tokens(claim, smollm2):
    """On random tokens shown twice the eight carry most of SmolLM2's in-context-learning score."""
    tokens = repeats_for(smollm2, 45, batch=8, seed=104)
    whole, without = (
        answers.in_context_learning_score(losses_without(smollm2, tokens, heads), 8, 75, 12)
        for heads in ([], EIGHT)
    )
    found = interval(1 - without / whole)
    claim(found, unit="share of the score lost", holds=found.low > 0.6,
          data="8 repeats of 45 random tokens, seed 104, tokens 75-86 against 8-19")  # fmt: skip


def test_the_eight_carry_the_context_of_english(claim, smollm2):
    """Induction heads are in-context learning: SmolLM2's eight carry most of it on English."""
    text = torch.cat(
        [
            text_tokens(smollm2, passage("pride"), 4, 121),
            text_tokens(smollm2, passage()[9000:], 8, 121),
        ]
    )
    whole, without = (
        answers.in_context_learning_score(losses_without(smollm2, text, heads), 8, 95, 20)
        for heads in ([], EIGHT)
    )
    lost, half = interval(without - whole), -float(whole.mean()) / 2
    claim(lost, unit="nats lost", holds=lost.mean > half, expected=False,
          data="12 passages of 120 tokens, Austen and Carroll, places 95 and 8")  # fmt: skip
