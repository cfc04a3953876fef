"""Chapter 05: what weights say of composition, and what cutting a path does."""

from __future__ import annotations

import pytest
import torch

from circuits_course.circuits import (
    all_composition_scores,
    attention_moved,
    beats,
    cut_from_keys,
    diagonal_mean,
    for_key_parts,
    head_name,
    interval,
    key_cuts,
    key_parts,
    mean_losses,
)
from circuits_course.data import (
    MarkovAndRepeats,
    passage,
    repeated_random_tokens,
    repeats_for,
    text_tokens,
)

PATHS = [(kind, (0, a), (1, b)) for kind in "QKV" for a in range(4) for b in range(4)]
FED = [(17, 3), (17, 4), (17, 5), (18, 6), (18, 7)]
RUNS = {"period 18": (18, 3, 31), "period 26": (26, 3, 32), "period 41": (41, 2, 33)}


# --- the small model --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cuts(induction_2l):
    """Added loss of each sequence and attention moved, for all 48 paths on both kinds of data."""
    with torch.no_grad():
        repeats = [repeated_random_tokens(24, p, 64, _draw(200 + p)) for p in (14, 22, 29)]
        chain = MarkovAndRepeats().chain(72, _draw(300))
        kinds = {
            "repeats": [(t, (t.shape[1] - 1) // 2 + 1) for t in repeats],
            "chain": [(chain, 1)],
        }
        return {kind: _all_cuts(induction_2l, batches) for kind, batches in kinds.items()}


def _draw(seed):
    return torch.Generator().manual_seed(seed)


def _all_cuts(model, batches):
    added = {path: [] for path in PATHS}
    moved = {path: [] for path in PATHS}
    for tokens, first in batches:
        logits, cache = model.run_with_cache(tokens)
        whole = mean_losses(logits, tokens, first + 1)
        for path in PATHS:
            cut_logits, pattern = _cut(model, tokens, cache, *path)
            added[path] += (mean_losses(cut_logits, tokens, first + 1) - whole).tolist()
            shift = attention_moved(cache["pattern", 1][:, path[2][1]], pattern)
            moved[path] += shift[:, max(first, 2) :].mean(-1).tolist()
    return added, moved


def _cut(model, tokens, cache, kind, source, target):
    W = {"Q": model.W_Q, "K": model.W_K, "V": model.W_V}[kind][target]
    share = cache["z", 0][:, :, source[1]] @ model.W_O[source] @ W
    kept = []

    def take(x, hook):
        x[:, :, target[1]] -= share
        return x

    keep = ("blocks.1.attn.hook_pattern", lambda p, hook: kept.append(p[:, target[1]].clone()))
    hooks = [(f"blocks.1.attn.hook_{kind.lower()}", take), keep]
    return model.run_with_hooks(tokens, fwd_hooks=hooks), kept[0]


def _mean(values):
    return sum(values) / len(values)


def test_highest_score_found_a_circuit(claim, induction_2l, cuts):
    """The highest score of induction-2l, Q 0.0 > 1.2, found a circuit that works on the chain."""
    path = ("Q", (0, 0), (1, 2))
    tables = {kind: all_composition_scores(induction_2l, kind)[0, :, 1] for kind in "QKV"}
    scores = {other: tables[other[0]][other[1][1], other[2][1]].item() for other in PATHS}
    added, moved = cuts["chain"]
    found = interval(added[path])
    others = [_mean(added[other]) for other in PATHS if other != path]
    claim(found, unit="nats on the chain", controls=beats(found.mean, others),
          holds=max(scores, key=scores.get) == path and found.low > 1 and _mean(moved[path]) > 0.9,
          data="72 texts of the chain; controls: the other 47 paths")  # fmt: skip


def test_the_switch_does_not_show_on_repeats(claim, cuts):
    """On repeats, cutting Q 0.0 > 1.2 costs nothing: one kind of data hides half the circuits."""
    found = interval(cuts["repeats"][0]["Q", (0, 0), (1, 2)])
    claim(found, unit="nats on repeats", holds=max(abs(found.low), abs(found.high)) < 0.02,
          data="72 sequences, periods 14, 22 and 29")  # fmt: skip


def test_previous_token_head_feeds_keys(claim, cuts):
    """K 0.3 > 1.3 costs everything on second copies, and nothing on the chain."""
    path = ("K", (0, 3), (1, 3))
    found, chain = (interval(cuts[kind][0][path]) for kind in ("repeats", "chain"))
    others = [_mean(cuts["repeats"][0][other]) for other in PATHS if other != path]
    claim(found, unit="nats on second copies", controls=beats(found.mean, others),
          holds=found.low > 2 and max(abs(chain.low), abs(chain.high)) < 0.02,
          data="72 sequences of each kind; controls: the other 47 paths")  # fmt: skip


def test_a_score_above_chance_can_be_idle(claim, cuts):
    """K 0.1 > 1.0 scores twice what chance gives and is idle on both kinds of data."""
    path = ("K", (0, 1), (1, 0))
    moved = interval([m for kind in cuts for m in cuts[kind][1][path]])
    cost = max(abs(_mean(cuts[kind][0][path])) for kind in cuts)
    claim(moved, unit="of the attention moved", holds=moved.high < 0.02 and cost < 0.005,
          data="72 sequences of each kind")  # fmt: skip


def test_a_score_below_chance_can_move_attention(claim, induction_2l, cuts):
    """K 0.3 > 1.0 and K 0.3 > 1.1 score below chance and move a tenth of the attention or more."""
    scores = all_composition_scores(induction_2l, "K")[0, 3, 1, :2]
    moved = [interval(cuts["repeats"][1]["K", (0, 3), (1, head)]) for head in (0, 1)]
    least = min(moved, key=lambda found: found.mean)
    claim(least, unit="of the attention moved", holds=scores.max() < 64**-0.5 and least.low > 0.1,
          data="72 sequences, periods 14, 22 and 29; the smaller of the two")  # fmt: skip


# --- SmolLM2 ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repeats(smollm2):
    """For each run: tokens, cache, and a function from patterns to attention on the right token."""
    out = {}
    with torch.no_grad():
        for name, (period, batch, seed) in RUNS.items():
            tokens = repeats_for(smollm2, period, batch, seed)
            _, cache = smollm2.run_with_cache(tokens, names_filter=for_key_parts)
            out[name] = tokens, cache, lambda p, b=period: diagonal_mean(p, b - 1, b + 1)
    return out


@pytest.fixture(scope="module")
def lost_by_cuts(smollm2, repeats):
    """(run, head) -> the share of its attention that an induction head loses, by writer."""
    with torch.no_grad():
        return {
            (name, head): key_cuts(smollm2, cache, *head, matched)
            for name, (_, cache, matched) in repeats.items()
            for head in FED
        }


def _costliest(lost):
    return max((name for name in lost if "." in name), key=lost.get)


def test_one_head_feeds_five_induction_heads(claim, smollm2, repeats, lost_by_cuts):
    """In SmolLM2 16.0 feeds the keys of the five strongest induction heads; cut, all is lost."""
    shares, first = [], []
    for (name, (layer, head)), lost in lost_by_cuts.items():
        _, cache, matched = repeats[name]
        shares.append(lost["16.0"] / matched(cache["pattern", layer][:, head]).mean().item())
        first.append(_costliest(lost) == "16.0")
    _, cache, matched = repeats["period 18"]
    for how in ("mean", "another"):
        cuts = [key_cuts(smollm2, cache, *head, matched, how) for head in FED]
        first += [_costliest(lost) == "16.0" for lost in cuts]
    found = interval(shares)
    claim(found, unit="of the attention lost", holds=found.low > 0.9 and all(first),
          controls=f"costliest of all heads below in {sum(first)} of {len(first)} cuts",
          data="3 periods, 5 heads, 3 replacements")  # fmt: skip


def test_weights_rank_that_source_first_or_second(claim, smollm2):
    """The weights rank 16.0 first or second among the 153 or more heads below each of the five."""
    scores = all_composition_scores(smollm2, "K")
    ranks = []
    for layer, head in FED:
        feeds = scores[:layer, :, layer, head]
        ranks.append(int((feeds > feeds[16, 0]).sum()) + 1)
    claim(max(ranks), unit="(lowest rank)", holds=max(ranks) <= 2, n=5, data="the weights, 5 heads")


def test_weights_miss_a_source(claim, smollm2, repeats):
    """Head 10.8 scores below chance with the keys of 17.3, and cutting it costs them attention."""
    score = all_composition_scores(smollm2, "K")[10, 8, 17, 3].item()
    lost, others = [], []
    for _, cache, matched in repeats.values():
        scores = cache["attn_scores", 17][:, 3]
        parts = key_parts(smollm2, cache, 17, 3)
        whole = matched(scores.softmax(-1))
        effects = {
            name: whole - matched((scores - part).softmax(-1)) for name, part in parts.items()
        }
        lost += effects["10.8"].tolist()
        others.append([effects[name].mean() for name in effects if "." in name and name != "10.8"])
    controls = [_mean(values) for values in zip(*others, strict=True)]
    found = interval(lost)
    claim(found, unit="of the attention", controls=beats(found.mean, controls),
          holds=score < 576**-0.5 and found.low > 0.03, only="replacement by nothing",
          data="8 sequences, periods 18, 26 and 41; controls: all other heads below")  # fmt: skip


def test_shared_keys_fit_a_head_that_does_not_use_them(claim, smollm2, repeats):
    """16.0 and 17.8 fit 18.8, which shares its keys with 18.6, and 18.8 does not use them."""
    scores = all_composition_scores(smollm2, "K")
    fits = min(
        scores[16, 0, 18, 8] / scores[16, 0, 18, 6], scores[17, 8, 18, 8] / scores[17, 8, 18, 6]
    )
    caches = [cache for _, cache, _ in repeats.values()]
    for text in ("pride", "alice"):
        tokens = text_tokens(smollm2, passage(text), 3, 70)
        caches.append(smollm2.run_with_cache(tokens, names_filter=for_key_parts)[1])
    moved = []
    for cache in caches:
        whole, parts = cache["attn_scores", 18][:, 8], key_parts(smollm2, cache, 18, 8)
        for source in ((16, 0), (17, 8)):
            cut = (whole - parts[head_name(source)]).softmax(-1)
            moved += attention_moved(whole.softmax(-1), cut)[:, 1:].mean(-1).tolist()
    found = interval(moved)
    claim(found, unit="of the attention moved", holds=fits > 0.95 and found.high < 0.02,
          data="random repeats of 3 periods, English from two novels")  # fmt: skip


def test_one_path_carries_the_second_copy(claim, smollm2):
    """Cutting 16.0 out of the keys of the induction heads of layers 17 and 18 costs over 5 nats."""
    tokens = repeats_for(smollm2, 22, 5, 77)
    logits, cache = smollm2.run_with_cache(tokens, names_filter=for_key_parts)
    whole = mean_losses(logits, tokens, 24)
    added = {
        (layer, head): mean_losses(
            cut_from_keys(smollm2, tokens, cache, (layer, head), FED), tokens, 24
        ) - whole
        for layer in (14, 15, 16) for head in range(9)
    }  # fmt: skip
    found = interval(added.pop((16, 0)))
    controls = [values.mean() for values in added.values()]
    claim(found, unit="nats on second copies", controls=beats(found.mean, controls),
          holds=found.low > 5 and found.mean > 3 * max(controls),
          data="5 repeats of 22 random tokens; controls: others of layers 14-16")  # fmt: skip


def test_that_path_is_idle_on_english(claim, smollm2):
    """On English, cutting 16.0 out of the keys of the induction heads costs next to nothing."""
    values = []
    for text in ("pride", "alice"):
        tokens = text_tokens(smollm2, passage(text), 5, 70)
        logits, cache = smollm2.run_with_cache(tokens, names_filter=for_key_parts)
        cut = cut_from_keys(smollm2, tokens, cache, (16, 0), FED)
        values += (mean_losses(cut, tokens, 1) - mean_losses(logits, tokens, 1)).tolist()
    found = interval(values)
    claim(found, unit="nats on English", holds=max(abs(found.low), abs(found.high)) < 0.1,
          data="10 stretches of 69 tokens from two novels")  # fmt: skip


def test_scores_tell_how_much_a_path_matters(claim, smollm2, lost_by_cuts):
    """The higher its score, the more a path matters (rank correlation over all heads below)."""
    scores = all_composition_scores(smollm2, "K")
    found = []
    for (_, target), lost in lost_by_cuts.items():
        below = [(layer, head) for layer in range(target[0]) for head in range(9)]
        pairs = torch.tensor([[scores[(*h, *target)], lost[head_name(h)]] for h in below])
        ranks = pairs.argsort(0).argsort(0).double()
        found.append(torch.corrcoef(ranks.T)[0, 1].item())
    rho = interval(found)
    claim(rho, unit="Spearman", holds=rho.low > 0.5, expected=False,
          data="3 periods, 5 induction heads, about 155 heads below each")  # fmt: skip
