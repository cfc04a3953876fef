"""The claims of chapter 03, on texts, seeds, lengths and contexts that the chapter does not use."""

import pytest
import torch

from circuits_course.circuits import (
    added_losses,
    beats,
    control_sets,
    head_scores,
    head_values,
    interval,
)
from circuits_course.data import (
    all_tokens,
    likeliest_followers,
    pairs_in_noise,
    passage,
    repeats_for,
    text_tokens,
)
from circuits_course.models import find_recipe

PREVIOUS = [(1, 2), (2, 1), (11, 1), (16, 0)]  # SmolLM2's, over 0.5 on random tokens and English
WIDTH = 43  # tokens of a row for SmolLM2, BOS with them


def losses(model, tokens, heads=()):
    """Loss on each token, with the outputs of some heads at their mean over this batch."""

    def edit(z, hook):
        for layer, head in heads:
            if layer == hook.layer():
                z[:, :, head] = z[:, :, head].mean((0, 1))
        return z

    hooks = [(f"blocks.{layer}.attn.hook_z", edit) for layer in {layer for layer, _ in heads}]
    logits = model.run_with_hooks(tokens, fwd_hooks=hooks)
    return -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)


def looks_back(pattern):
    """Mean attention to the token before, [batch, head]; BOS counts neither way."""
    return pattern[..., 1:, 1:].diagonal(-1, -2, -1).mean(-1)


# --- induction-2l, whose data is known ---

SEEDS = range(100, 116)


def test_without_its_previous_token_head_induction_2l_loses_second_copies_alone(
    induction_2l, claim
):
    """Without head 0.3 induction-2l loses its second copies and nothing on text made of bigrams."""
    data = find_recipe("induction-2l").data
    copies, chains = [], []
    for seed in SEEDS:
        period = 12 + seed % 16
        rows = repeats_for(induction_2l, period, batch=8, seed=seed)
        text = data.chain(8, torch.Generator().manual_seed(seed))[:, : rows.shape[1]]
        both = torch.cat([rows, text])
        change = losses(induction_2l, both, [(0, 3)]) - losses(induction_2l, both)
        copies.append(change[:8, period + 1 :].mean())
        chains.append(change[8:].mean())
    lost, kept = interval(copies), interval(chains)
    claim(
        lost,
        unit="nats on second copies",
        holds=lost.low > 2 and kept.high < 0.05,
        data=f"16 seeds of 8 rows, periods 12 to 27; on chain text {kept} nats",
    )


def test_one_token_parks_the_bigram_head(induction_2l, claim):
    """Another first token parks induction-2l's bigram head for the whole text: two nats."""
    data = find_recipe("induction-2l").data
    rise, parked, right = [], [], []
    for seed in SEEDS:
        generator = torch.Generator().manual_seed(seed)
        text = data.chain(16, generator)[:, :50]
        other = text.clone()
        other[:, 1] = torch.randint(1, 64, (16,), generator=generator)
        rise.append((losses(induction_2l, other) - losses(induction_2l, text))[:, 2:].mean())
        _, cache = induction_2l.run_with_cache(other)
        parked.append(cache["pattern", 1][:, 2, 2:, 0].mean())
        guess = induction_2l(other)[:, 2:-1].argmax(-1)
        right.append((guess == data.bigrams.argmax(-1)[text[:, 2:-1]]).float().mean())
    lost, at_bos, kept = interval(rise), interval(parked), interval(right)
    claim(
        lost,
        unit="nats on later tokens",
        holds=lost.low > 1.5 and at_bos.low > 0.8 and 0.55 < kept.mean < 0.85,
        data=f"16 seeds of 16 chain texts; at BOS {at_bos.mean:.2f}, likeliest bigram still first "
        f"in {kept.mean:.0%} of places",
    )


# --- SmolLM2 ---


@pytest.fixture(scope="module")
def texts(smollm2):
    """Rows of English from two books, none of them the chapter's, and of repeated random tokens."""
    late = passage("alice")[9000:]
    english = torch.cat(
        [text_tokens(smollm2, late, 8, WIDTH), text_tokens(smollm2, passage("pride"), 4, WIDTH)]
    )
    return english, repeats_for(smollm2, 21, batch=4, seed=7)


def test_heads_that_look_one_back_do_so_less_on_english(smollm2, texts, claim):
    """SmolLM2's previous-token heads look one back on English too, less than on random tokens."""
    english, copies = texts
    on_copies = head_scores(smollm2, copies, looks_back)
    rows = torch.stack([head_scores(smollm2, row[None], looks_back) for row in english])
    both = (on_copies > 0.5) & (rows.mean(0) > 0.5)
    heads = list(zip(*(on_copies > 0.5).nonzero().T.tolist(), strict=True))
    gaps = [sum(on_copies[head] - row[head] for head in heads) / len(heads) for row in rows]
    found = interval(gaps)
    claim(
        found,
        unit="attention, random minus English",
        holds=found.low > 0 and sorted(map(tuple, both.nonzero().tolist())) == PREVIOUS,
        data="12 English rows of two books, 4 of random tokens; 1.2, 2.1, 11.1, 16.0 pass on both",
    )


def test_sinks_keep_their_values_short(smollm2, texts, claim):
    """SmolLM2's heads that rest at BOS would write little from there; the others would not."""
    gaps, sinks, others = [], [], []
    for row in [*texts[0], *texts[1]]:
        _, cache = smollm2.run_with_cache(row[None], names_filter=lambda n: n[-1] in "nv")
        share, length = [], []
        for layer in range(smollm2.cfg.n_layers):
            v = head_values(smollm2, cache, layer)[0]
            written = torch.einsum("khd,hdm->khm", v, smollm2.W_O[layer]).norm(dim=-1)
            length.append(written[0] / written[1:].mean(0))
            share.append(cache["pattern", layer][0, :, 1:, 0].mean(-1))
        share, length = torch.stack(share), torch.stack(length)
        sinks.append(length[share > 0.5].median())
        others.append(length[share < 0.2].median())
        gaps.append(others[-1] - sinks[-1])
    found = interval(gaps)
    claim(
        found,
        unit="of the usual length, others minus sinks",
        holds=found.low > 0.5 and max(sinks) < 0.5,
        data=f"12 English rows, 4 of random tokens; sinks {interval(sinks).mean:.2f}, heads that "
        f"do not rest there {interval(others).mean:.2f}",
    )


PAIRS = """United Kingdom, New Zealand, Las Vegas, Costa Rica, North Korea, Vice President, Red Sea,
High School, Far East, European Union, Civil War, owing to, prior to, as well, a lot, kind of, part
of, one another, less than, at last, no longer, based on"""


def pairs_of(text):
    return tuple(" ".join(text.split()).split(", "))


@pytest.fixture(scope="module")
def knock_outs(smollm2, texts):
    """What the heads and 20 control sets add to the loss on English, second copies and pairs."""
    english, copies = texts
    pairs = pairs_in_noise(smollm2, pairs_of(PAIRS), context=5, seed=3)
    sets = [PREVIOUS, *control_sets(PREVIOUS, smollm2.cfg.n_heads, 20, seed=11)]
    ninth = [[(16, head)] for head in range(9)]
    cases = {
        "english": (english[3:10], sets),
        "copies": (copies[:3], sets),
        "pairs": (pairs, sets),
        "16 alone": (copies[:3], ninth),
    }
    return {name: added_losses(smollm2, *case) for name, case in cases.items()}


def of_second_copies(changes):
    return changes[:, :, (WIDTH - 1) // 2 + 1 :].mean(-1)


def test_second_copies_need_the_previous_token_heads(knock_outs, claim):
    """Without its previous-token heads SmolLM2 loses most of what it gains from a second copy."""
    rows = of_second_copies(knock_outs["copies"])
    lost, more = interval(rows[0]), beats(rows[0].mean(), rows[1:].mean(-1))
    claim(
        lost,
        unit="nats on second copies",
        holds=lost.low > 2 and more.more_than >= 19,
        controls=more,
        data="3 rows of 21 random tokens twice, means over repeats",
    )


def test_one_of_them_carries_the_second_copies(knock_outs, claim):
    """Losing SmolLM2's head 16.0 alone costs second copies nearly as much as losing all four."""
    rows = of_second_copies(knock_outs["16 alone"])
    together = of_second_copies(knock_outs["copies"])[0].mean()
    lost, more = interval(rows[0]), beats(rows[0].mean(), rows[1:].mean(-1))
    claim(
        lost,
        unit="nats on second copies",
        holds=lost.low > 2 and lost.mean > 0.7 * together and more.more_than == 8,
        controls=f"{more} others of its layer",
        data=f"3 rows of 21 random tokens twice; all four heads {together:.2f}",
    )


def test_english_costs_a_little(knock_outs, claim):
    """On English its previous-token heads are worth a little to SmolLM2, more than most others."""
    rows = knock_outs["english"].mean(-1)
    lost, more = interval(rows[0]), beats(rows[0].mean(), rows[1:].mean(-1))
    claim(
        lost,
        unit="nats on English",
        holds=lost.low > 0 and lost.mean < 1 and more.more_than >= 16,
        controls=more,
        data="7 rows of 42 tokens of two novels, means over English",
    )


def test_english_costs_most_inside_words(smollm2, texts, knock_outs, claim):
    """English suffers most from that loss where the current token is a later piece of a word."""
    words = [smollm2.to_str_tokens(row)[:-1] for row in texts[0][3:10]]
    piece = torch.tensor([[word[0].isalpha() for word in row] for row in words])
    some = piece.any(1)
    inside = [torch.stack([r[p].mean() for r, p in zip(change[some], piece[some], strict=True)])
              for change in knock_outs["english"]]  # fmt: skip
    outside = [r[~p].mean() for r, p in
               zip(knock_outs["english"][0][some], piece[some], strict=True)]  # fmt: skip
    gap = interval(a - b for a, b in zip(inside[0], outside, strict=True))
    more = beats(inside[0].mean(), [control.mean() for control in inside[1:]])
    claim(
        gap,
        unit="nats more than elsewhere",
        holds=gap.low > 0 and more.more_than >= 16,
        expected=False,
        controls=more,
        data=f"{int(piece.sum())} places in {int(some.sum())} rows of two novels",
    )


def test_bigrams_do_not_need_them(knock_outs, claim):
    """SmolLM2 says the second word of a famous pair as well without its previous-token heads."""
    rows = knock_outs["pairs"][:, :, -1]
    lost, more = interval(rows[0]), beats(rows[0].mean(), rows[1:].mean(-1))
    claim(
        lost,
        unit="nats on the second word",
        holds=lost.mean < 0.2 and lost.low < 0 and more.more_than <= 15,
        controls=more,
        data=f"{rows.shape[1]} pairs after five random tokens",
    )


def test_the_direct_path_says_the_same_again(smollm2, claim):
    """SmolLM2's direct path raises the token itself most, not what usually follows it."""
    text = all_tokens(smollm2, passage("pride") + passage("alice")[:9000])
    follower = likeliest_followers(text, at_least=6)
    itself, follows = [], []
    for token, after in follower.items():
        raised = (smollm2.W_E[token] @ smollm2.W_U).topk(10).indices.tolist()
        itself.append(float(raised[0] == token))
        follows.append(float(after in raised))
    first, among_ten = interval(itself), interval(follows)
    claim(
        first,
        unit="of tokens",
        holds=first.low > 0.6 and among_ten.high < 0.25,
        data=f"{len(follower)} tokens of two novels; usual follower among ten: "
        f"{among_ten.mean:.0%}",
    )
