"""Chapter 02: a circuit written by hand beside a trained one."""

from __future__ import annotations

import pytest
import torch

from circuits_course.checks.references import load_reference
from circuits_course.circuits import Basis, head_circuits, interval, mean_losses
from circuits_course.data import MarkovAndRepeats, repeated_random_tokens

SEEDS = {17: 401, 22: 402, 28: 403}  # period -> seed


@pytest.fixture(scope="module")
def by_hand(induction_2l):
    with torch.no_grad():
        basis = Basis(tuple(induction_2l.cfg.vocabulary), n_ctx=induction_2l.cfg.n_ctx)
        return basis.model(*load_reference("02").induction_circuit(basis))


@pytest.fixture(scope="module")
def repeats():
    return {
        period: repeated_random_tokens(40, period, 64, torch.Generator().manual_seed(seed))
        for period, seed in SEEDS.items()
    }


def _token_losses(model, tokens, period):
    return model(tokens, return_type="loss", loss_per_token=True)[:, period + 1 :]


def _stood_once(tokens, period):
    """For each query of the second copy: whether its symbol stood once in the first copy."""
    counts = (tokens[:, 1 : 1 + period, None] == tokens[:, None, 1:]).sum(1)
    return counts[:, period:-1] == 1


def test_by_hand_beats_trained_on_random_repeats(claim, induction_2l, by_hand, repeats):
    """On second copies of random symbols the circuit by hand has a lower loss than the trained."""
    gaps = []
    for period, tokens in repeats.items():
        both = [_token_losses(model, tokens, period).mean(1) for model in (induction_2l, by_hand)]
        gaps += (both[0] - both[1]).tolist()
    found = interval(gaps)
    claim(found, unit="nats", holds=found.low > 0, data="120 sequences, periods 17, 22 and 28")


def test_trained_is_surer_where_it_can_be(claim, induction_2l, by_hand, repeats):
    """Where a symbol stood once, the trained circuit loses less than half as much."""
    ratios = []
    for period, tokens in repeats.items():
        once = _stood_once(tokens, period)
        for low in range(0, len(tokens), 10):
            rows, mask = tokens[low : low + 10], once[low : low + 10]
            trained, hand = (
                _token_losses(model, rows, period)[mask].median()
                for model in (induction_2l, by_hand)
            )
            ratios.append((trained / hand).item())
    found = interval(ratios)
    claim(found, unit="of the loss by hand (medians)", holds=found.high < 0.5,
          data="12 batches of 10 sequences, periods 17, 22 and 28")  # fmt: skip


def test_the_symbol_before_settles_it(claim, repeats):
    """Where a symbol stood several times, the one before it nearly always settles what follows."""
    shares = []
    for period, tokens in repeats.items():
        for row in tokens.tolist():
            settled = [
                {
                    row[k + 1]
                    for k in range(1, period + 1)
                    if row[k - 1 : k + 1] == row[q - 1 : q + 1]
                }
                == {row[q + 1]}
                for q in range(period + 2, 2 * period)
                if row[1 : period + 1].count(row[q]) > 1
            ]
            if settled:
                shares.append(sum(settled) / len(settled))
    found = interval(shares)
    claim(found, unit="of such places", holds=found.low > 0.9, data="120 sequences of 3 periods")


def test_trained_matching_is_the_diagonal(claim, induction_2l):
    """In the trained pair 0.3, 1.3 the right symbol wins the match in nearly all rows."""
    weights = (head_circuits(induction_2l, 0, 3), head_circuits(induction_2l, 1, 3))
    match = load_reference("02").match_matrix(induction_2l.W_E, *weights)[1:, 1:]
    wins = int((match.argmax(-1) == torch.arange(63)).sum())
    claim(wins, unit="of 63 rows", holds=wins >= 60, n=63, data="the weights")


def test_trained_head_rests_on_bos(claim, induction_2l):
    """With nothing to find, the trained induction head rests on BOS, as the one by hand does."""
    shares = []
    for period, seed in SEEDS.items():
        generator = torch.Generator().manual_seed(seed)
        order = torch.rand(40, 63, generator=generator).argsort(-1)[:, :period] + 1
        tokens = torch.cat([torch.zeros(40, 1, dtype=torch.long), order], dim=1)  # no symbol twice
        pattern = induction_2l.run_with_cache(tokens)[1]["pattern", 1][:, 3]
        shares += pattern[:, 2:, 0].mean(1).tolist()
    found = interval(shares)
    claim(
        found, unit="of the attention", holds=found.low > 0.8, data="120 sequences, all new symbols"
    )


@pytest.fixture(scope="module")
def failures(induction_2l):
    """Repeated segments with periods of the training range on which the model fails."""
    found, all_rows = [], []
    with torch.no_grad():
        for period in (7, 10, 13, 16, 19, 23, 27, 30):
            generator = torch.Generator().manual_seed(500 + period)
            order = torch.rand(512, 63, generator=generator).argsort(-1)[:, :period] + 1
            copies = order.repeat(1, 63 // period)
            rows = torch.cat([torch.zeros(512, 1, dtype=torch.long), copies], dim=1)
            loss = mean_losses(induction_2l(rows), rows, period + 2)
            all_rows.append(rows[:, 1:3])
            found += [(rows[i : i + 1], period, loss[i].item()) for i in torch.where(loss > 1)[0]]
    return found, torch.cat(all_rows)


def _opening():
    chain = MarkovAndRepeats().chain(256, torch.Generator().manual_seed(9))
    return int(chain[:, 1].mode().values)


def test_failures_carry_the_chains_opening(claim, failures):
    """Where the trained circuit fails, the opening symbol of chain text stands first or second."""
    found, firsts = failures
    start = _opening()
    base = (firsts == start).any(1).float().mean().item()
    share = interval([float(start in rows[0, 1:3]) for rows, _, _ in found])
    claim(share, unit="of the failures", holds=share.mean > 0.7 and share.mean > 5 * base,
          controls=f"{base:.2f} of all sequences have it there",
          data="4,096 repeated segments, 8 periods of 7 to 30; failure: over 1 nat")  # fmt: skip


def test_exchanging_the_opening_mends_them(claim, induction_2l, failures):
    """Exchanging that opening symbol for another mends the sequences that fail."""
    found, start, after = failures[0], _opening(), []
    for rows, period, _ in found:
        if start in rows[0, 1:3]:
            unused = next(t for t in range(1, 64) if t not in rows[0])
            changed = torch.where(rows == start, unused, rows)
            after.append(mean_losses(induction_2l(changed), changed, period + 2).item())
    mended = interval([float(loss < 0.1) for loss in after])
    claim(mended, unit="of them mended", holds=mended.mean > 0.8, data="the failures above")
