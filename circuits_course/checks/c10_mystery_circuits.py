"""Chapter 10, Mystery circuits: the tools of an investigation, and a first claim."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks import ChapterChecks
from circuits_course.checks.inputs import normal, random_model, random_tokens
from circuits_course.circuits.heads import Head
from circuits_course.circuits.patching import path_patch
from circuits_course.mystery import Claim, grade, load_mystery
from circuits_course.mystery.bench import all_heads
from circuits_course.mystery.making import make_mystery, true_claim
from circuits_course.mystery.sealing import Mystery, open_seal

checks = ChapterChecks("10_mystery_circuits")
ROUGH = Tolerance(atol=1e-4, rtol=1e-3)


@cache
def planted(seed: int) -> Mystery:
    return make_mystery("case", seed)


WITH_BACKUP, TWO_LAYERS = 9, 32  # seeds of models whose circuits tell


def _prompts(seed: int, batch: int = 12) -> tuple[Any, Tensor]:
    return planted(seed).model, planted(seed).sample(batch, seed=1)


def _heads_of(seed: int) -> dict[str, Head]:
    """Role -> head (the first, if there are several)."""
    return {role: heads[0] for role, heads in open_seal(planted(seed)).heads.items()}


def _circuit(seed: int) -> list[Head]:
    return [head for heads in open_seal(planted(seed)).heads.values() for head in heads]


# --- oracles' own tools -----------------------------------------------------------------------


def _each_kl(logits: Tensor, other: Tensor) -> Tensor:
    """One divergence per position, by torch's own function (q first, in logarithms)."""
    p, q = logits.log_softmax(-1), other.log_softmax(-1)
    return kl_div(q, p, reduction="none", log_target=True).sum(-1)


def _kl(logits: Tensor, other: Tensor) -> Tensor:
    return _each_kl(logits, other).mean()


def _run(model: Any, tokens: Tensor, ablated: Sequence[Head], mode: str = "mean") -> Tensor:
    """Logits with heads ablated, by hooks."""

    def silence(z: Tensor, hook: Any) -> Tensor:
        z = z.clone()
        for layer, head in ablated:
            if layer == hook.layer():
                z[:, :, head] = clean[hook.name][:, :, head].mean(0) if mode == "mean" else 0.0
        return z

    names = [f"blocks.{layer}.attn.hook_z" for layer in range(model.cfg.n_layers)]
    clean: dict[str, Tensor] = {}
    keep = [(name, lambda z, hook: clean.update({hook.name: z.clone()})) for name in names]
    model.run_with_hooks(tokens, fwd_hooks=keep)
    return model.run_with_hooks(tokens, fwd_hooks=[(name, silence) for name in names])


def _every(model: Any) -> list[Head]:
    return sorted(all_heads(model))


def _scale(model: Any, tokens: Tensor, mode: str = "mean") -> Tensor:
    return _kl(model(tokens), _run(model, tokens, _every(model), mode))


def _outside(model: Any, circuit: Sequence[Head]) -> list[Head]:
    return [head for head in _every(model) if head not in circuit]


# --- divergence -------------------------------------------------------------------------------

divergence = checks.exercise(
    "divergence",
    difficulty=1,
    importance=4,
    minutes=5,
    hints=[
        "KL(p, q) is the sum over the vocabulary of p * (log p - log q). You have both logarithms.",
        "p is log_p.exp(). Sum over the last axis: one number per position.",
    ],
)


@divergence.cases
def _divergence_cases() -> Iterator[Case]:
    logits = torch.tensor([[[0.75, 0.25]]]).log()
    yield Case("predictions of 3/4 and 1/4 against even ones", logits, torch.zeros(1, 1, 2))
    for seed in range(3):
        shape = 2 + seed, 5, 7
        a, b = (2 * normal(*shape, seed=seed + s) for s in (0, 10))
        yield Case("random logits", a, b)
    yield Case(
        "a vocabulary of one thousand", 4 * normal(2, 3, 1000), 4 * normal(2, 3, 1000, seed=5)
    )


@divergence.oracle
def _divergence_oracle(logits: Tensor, other: Tensor) -> Tensor:
    return _kl(logits, other)


@divergence.wrong(
    "the two are exchanged. The weights are the probabilities of the first, the model's own: what "
    "it is sure of must count."
)
def exchanged(logits: Tensor, other: Tensor) -> Tensor:
    return _kl(other, logits)


@divergence.wrong("you summed over positions. Take the mean, so that batches can be compared.")
def summed(logits: Tensor, other: Tensor) -> Tensor:
    return _kl(logits, other) * logits[..., 0].numel()


@divergence.wrong(
    "you took the mean over the vocabulary as well. Over the vocabulary it is a sum: the weights p "
    "make it a mean already."
)
def mean_over_vocabulary(logits: Tensor, other: Tensor) -> Tensor:
    return _kl(logits, other) / logits.shape[-1]


@divergence.wrong("these are bits. log_softmax gives natural logarithms, so nats; do not divide.")
def in_bits(logits: Tensor, other: Tensor) -> Tensor:
    return _kl(logits, other) / 0.6931472


@divergence.wrong(
    "the differences are not weighted by p. Without the weights a symbol that the model never says "
    "counts as much as the one it is sure of."
)
def unweighted(logits: Tensor, other: Tensor) -> Tensor:
    return (logits.log_softmax(-1) - other.log_softmax(-1)).sum(-1).mean()


@divergence.wrong(
    "that is the cross-entropy. It is not 0 for equal predictions: subtract the entropy of p, "
    "which is what log p in the formula does."
)
def cross_entropy(logits: Tensor, other: Tensor) -> Tensor:
    return -(logits.softmax(-1) * other.log_softmax(-1)).sum(-1).mean()


@divergence.wrong(
    "only the last position is compared. Which positions matter is not known yet: take them all."
)
def last_position(logits: Tensor, other: Tensor) -> Tensor:
    return _kl(logits[:, -1], other[:, -1])


@divergence.wrong(
    "you compared logits, not their log-probabilities: adding 5 to all logits of a position "
    "changes no prediction and must give 0."
)
def raw_logits(logits: Tensor, other: Tensor) -> Tensor:
    return (logits.softmax(-1) * (logits - other)).sum(-1).mean()


@divergence.wrong("the mean over positions is missing; return one number.")
def not_averaged(logits: Tensor, other: Tensor) -> Tensor:
    return _each_kl(logits, other)


# --- targets_of -------------------------------------------------------------------------------

targets_of = checks.exercise(
    "targets_of",
    difficulty=2,
    importance=4,
    minutes=15,
    hints=[
        "q[:, None] and k make [q, k] tables by comparison: k == q - 1 is the previous token. "
        "`.expand_as(same)` adds the batch.",
        "`same` holds [batch, q, k] whether tokens q and k are equal. Earlier copies: same and k"
        " < q.",
        "For induction the key k stands after a copy at k - 1: same.roll(1, dims=-1). The copy "
        "must be earlier than the query and not BOS: 0 < k - 1 < q.",
    ],
)


@targets_of.cases
def _targets_cases() -> Iterator[Case]:
    yield Case("BOS a b a b", torch.tensor([[0, 1, 2, 1, 2]]))
    yield Case("BOS a a b a", torch.tensor([[0, 1, 1, 2, 1]]))
    for seed in range(3):
        tokens = random_tokens(2 + seed, 6 + seed, d_vocab=4, seed=seed)
        yield Case("random symbols", torch.cat([torch.zeros_like(tokens[:, :1]), tokens], dim=1))


def _targets(tokens: Tensor, wanted: dict[str, Callable[[list[int], int, int], bool]]) -> Any:
    """Role -> mask from a rule on (the row's tokens, q, k), over all q and k."""
    n = tokens.shape[1]
    return {
        role: torch.tensor(
            [
                [[bool(rule(row, q, k)) for k in range(n)] for q in range(n)]
                for row in tokens.tolist()
            ]
        )
        for role, rule in wanted.items()
    }


RULES: dict[str, Callable[[list[int], int, int], bool]] = {
    "previous token": lambda row, q, k: k == q - 1 and k > 0,
    "first token": lambda row, q, k: k == 1 and k <= q,
    "duplicate token": lambda row, q, k: 0 < k < q and row[k] == row[q],
    "induction": lambda row, q, k: 1 < k <= q and row[k - 1] == row[q],
}


@targets_of.observe
def _as_truths(output: Any, tokens: Tensor) -> dict[str, Tensor]:
    """Zeros and ones will do for truth values."""
    return {role: torch.as_tensor(mask).bool() for role, mask in output.items()}


@targets_of.oracle
def _targets_oracle(tokens: Tensor) -> dict[str, Tensor]:
    return _targets(tokens, RULES)


@targets_of.wrong(
    "a token is not its own earlier copy: leave k = q out of the duplicates (k < q, not k <= q)."
)
def its_own_copy(tokens: Tensor) -> dict[str, Tensor]:
    rule = lambda row, q, k: 0 < k <= q and row[k] == row[q]  # noqa: E731
    return _targets(tokens, RULES | {"duplicate token": rule})


@targets_of.wrong(
    "your induction targets are the earlier copies themselves. An induction head looks one further "
    "on, at what came after the copy."
)
def induction_at_copy(tokens: Tensor) -> dict[str, Tensor]:
    return _targets(tokens, RULES | {"induction": RULES["duplicate token"]})


@targets_of.wrong(
    "your induction targets stand *before* the earlier copies. If the copy is at k - 1, the key is "
    "k: roll by +1, not -1."
)
def induction_before_copy(tokens: Tensor) -> dict[str, Tensor]:
    rule = lambda row, q, k: 0 < k < q - 1 and row[k + 1] == row[q]  # noqa: E731
    return _targets(tokens, RULES | {"induction": rule})


@targets_of.wrong(
    "the query itself is missing among the induction targets. In `a a` the second a stands right "
    "after an earlier a: k = q is allowed, the copy is at q - 1."
)
def induction_never_itself(tokens: Tensor) -> dict[str, Tensor]:
    rule = lambda row, q, k: 1 < k < q and row[k - 1] == row[q]  # noqa: E731
    return _targets(tokens, RULES | {"induction": rule})


@targets_of.wrong(
    "your targets include BOS (k = 0). Heads rest there when they have nothing to do, so it is "
    "never a target."
)
def bos_is_a_target(tokens: Tensor) -> dict[str, Tensor]:
    rule = lambda row, q, k: k == q - 1  # noqa: E731
    return _targets(tokens, RULES | {"previous token": rule})


@targets_of.wrong("the first token is at position 1; position 0 is BOS.")
def first_is_bos(tokens: Tensor) -> dict[str, Tensor]:
    return _targets(tokens, RULES | {"first token": lambda row, q, k: k == 0})


@targets_of.wrong("rows and columns are exchanged: [batch, q, k], the one who looks comes first.")
def keys_as_rows(tokens: Tensor) -> dict[str, Tensor]:
    return {role: mask.mT for role, mask in _targets(tokens, RULES).items()}


@targets_of.wrong("your duplicates include copies in the future; a query sees k <= q only.")
def future_copies(tokens: Tensor) -> dict[str, Tensor]:
    rule = lambda row, q, k: k != q and k > 0 and q > 0 and row[k] == row[q]  # noqa: E731
    return _targets(tokens, RULES | {"duplicate token": rule})


@targets_of.wrong(
    "your induction targets ask what followed the copies of the token *before* the query. The copy "
    "is of the current token."
)
def copies_of_the_previous(tokens: Tensor) -> dict[str, Tensor]:
    rule = lambda row, q, k: 1 < k < q and row[k - 1] == row[q - 1]  # noqa: E731
    return _targets(tokens, RULES | {"induction": rule})


# --- share_on ---------------------------------------------------------------------------------

share_on = checks.exercise(
    "share_on",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "Multiply attention by the mask and sum: what is left is the attention on targets. Leave "
        "column 0 out of the mask too, so that shapes agree.",
        "targets is [batch, q, k] and has no head axis: targets[:, None] adds one.",
        "(away * targets[:, None, :, 1:]).sum(dim=(0, 2, 3)) leaves one number a head.",
    ],
)


def _patterns(batch: int, n_heads: int, n_pos: int, seed: int) -> Tensor:
    scores = 2.0 * normal(batch, n_heads, n_pos, n_pos, seed=seed)
    scores[..., 0] += 2.0 * normal(batch, n_heads, n_pos, seed=seed + 1)
    return scores.masked_fill(torch.ones(n_pos, n_pos).triu(1).bool(), -torch.inf).softmax(-1)


def _share_case(batch: int, n_heads: int, n_pos: int, seed: int) -> tuple[Tensor, Tensor]:
    targets = normal(batch, n_pos, n_pos, seed=seed + 2) > 0.3
    targets[..., 0] = False
    return _patterns(batch, n_heads, n_pos, seed), targets


@share_on.cases
def _share_cases() -> Iterator[Case]:
    pattern = torch.zeros(1, 2, 4, 4)
    pattern[:, 0, :, 0] = 0.5
    pattern[:, 0] += 0.5 * torch.eye(4)[[0, 0, 1, 2]]
    pattern[:, 1, :, 0] = 1.0
    pattern[0, 1, 2] = torch.tensor([0.99, 0.01, 0.0, 0.0])
    previous = torch.eye(4)[[0, 0, 1, 2]].bool()[None]
    previous[..., 0] = False
    yield Case("a head half on BOS and half one back, and one that rests on BOS", pattern, previous)
    yield Case("random attention", *_share_case(3, 2, 5, seed=0))
    yield Case("random attention", *_share_case(2, 4, 6, seed=7))


@share_on.oracle
def _share_oracle(pattern: Tensor, targets: Tensor) -> Tensor:
    batch, n_heads, n_pos, _ = pattern.shape
    shares = []
    for head in range(n_heads):
        on = off = 0.0
        for b in range(batch):
            for q in range(n_pos):
                for k in range(1, n_pos):
                    weight = pattern[b, head, q, k].item()
                    off += weight
                    on += weight * bool(targets[b, q, k])
        shares.append(on / off if off >= 0.02 * batch * n_pos else 0.0)
    return torch.tensor(shares)


def _on_and_off(pattern: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """[batch, head, q]: attention on targets, attention off BOS."""
    return (pattern * targets[:, None]).sum(-1), pattern[..., 1:].sum(-1)


@share_on.wrong(
    "you divided by all attention, BOS included. A head that rests half of the time and otherwise "
    "looks one back is still a previous-token head."
)
def of_all_attention(pattern: Tensor, targets: Tensor) -> Tensor:
    on, _ = _on_and_off(pattern, targets)
    return on.mean(dim=(0, 2))


@share_on.wrong(
    "you divided query by query and took the mean. A query that rests on BOS has a share of next"
    " to nothing, and it counts like all others; sum first, divide then."
)
def query_by_query(pattern: Tensor, targets: Tensor) -> Tensor:
    on, off = _on_and_off(pattern, targets)
    return (on / off.clamp_min(1e-9)).mean(dim=(0, 2))


@share_on.wrong("the targets are transposed: pattern and targets both have queries as rows.")
def targets_transposed(pattern: Tensor, targets: Tensor) -> Tensor:
    turned = targets.mT.clone()
    turned[..., 0] = False
    return _share_oracle(pattern, turned)


@share_on.wrong("the batch axis is still there; sum over it too, then divide.")
def for_each_prompt(pattern: Tensor, targets: Tensor) -> Tensor:
    on, off = _on_and_off(pattern, targets)
    return on.sum(-1) / off.sum(-1).clamp_min(1e-9)


@share_on.wrong("you averaged over heads as well. Keep the head axis, that is who we look for.")
def over_heads_too(pattern: Tensor, targets: Tensor) -> Tensor:
    return _share_oracle(pattern, targets).mean()


@share_on.wrong(
    "a head that hardly ever leaves BOS got a share. What it does with one thousandth of its "
    "attention is no role: give it 0."
)
def resting_heads_too(pattern: Tensor, targets: Tensor) -> Tensor:
    on, off = _on_and_off(pattern, targets)
    return on.sum(dim=(0, 2)) / off.sum(dim=(0, 2)).clamp_min(1e-9)


@share_on.wrong(
    "that is the mean attention per target. It sinks with the number of targets; divide by the "
    "attention off BOS."
)
def per_target(pattern: Tensor, targets: Tensor) -> Tensor:
    on, _ = _on_and_off(pattern, targets)
    return on.sum(dim=(0, 2)) / targets.sum()


# --- single_effects ---------------------------------------------------------------------------

single_effects = checks.exercise(
    "single_effects",
    difficulty=2,
    importance=5,
    minutes=8,
    hints=[
        "Two loops, over layers and heads. `ablation.logits([(layer, head)])` runs the model with "
        "that one head ablated.",
        "effects[layer, head] = divergence(logits, ablation.logits([(layer, head)]))",
    ],
    tolerance=ROUGH,
)


@single_effects.cases
def _effects_cases() -> Iterator[Case]:
    yield Case("a model with a planted circuit of two heads", *_prompts(TWO_LAYERS), "mean")
    yield Case("a random model", random_model(3, 4), random_tokens(5, 8), "mean")
    yield Case("a random model, by zeros", random_model(2, 5, seed=1), random_tokens(3, 9), "zero")


def _each(model: Any, score: Callable[[Head], Tensor]) -> Tensor:
    cfg = model.cfg
    return torch.tensor(
        [[float(score((la, h))) for h in range(cfg.n_heads)] for la in range(cfg.n_layers)]
    )


@single_effects.oracle
def _effects_oracle(model: Any, tokens: Tensor, mode: str) -> Tensor:
    logits = model(tokens)
    return _each(model, lambda head: _kl(logits, _run(model, tokens, [head], mode)))


@single_effects.wrong(
    "all *other* heads are ablated. That asks what a head can do alone; here one head goes and the "
    "rest stays."
)
def one_head_left(model: Any, tokens: Tensor, mode: str) -> Tensor:
    logits = model(tokens)
    return _each(
        model, lambda head: _kl(logits, _run(model, tokens, _outside(model, [head]), mode))
    )


@single_effects.wrong("the axes are exchanged: [layer, head], rows are layers.")
def heads_as_rows(model: Any, tokens: Tensor, mode: str) -> Tensor:
    return _effects_oracle(model, tokens, mode).T.contiguous()


@single_effects.wrong(
    "the two predictions are exchanged: how far is the ablated run from the model's own? The "
    "model's own comes first."
)
def effects_exchanged(model: Any, tokens: Tensor, mode: str) -> Tensor:
    logits = model(tokens)
    return _each(model, lambda head: _kl(_run(model, tokens, [head], mode), logits))


@single_effects.wrong("`mode` is not used; hand it to Ablation.")
def always_mean(model: Any, tokens: Tensor, mode: str) -> Tensor:
    return _effects_oracle(model, tokens, "mean")


@single_effects.wrong(
    "ablations pile up: each run has all heads before it ablated too. Ablate one head at a time."
)
def piling_up(model: Any, tokens: Tensor, mode: str) -> Tensor:
    logits, heads = model(tokens), _every(model)
    return _each(
        model, lambda head: _kl(logits, _run(model, tokens, heads[: heads.index(head) + 1], mode))
    )


@single_effects.wrong("the whole layer is ablated at once; name the pair (layer, head).")
def whole_layers(model: Any, tokens: Tensor, mode: str) -> Tensor:
    logits = model(tokens)

    def score(head: Head) -> Tensor:
        layer = [other for other in _every(model) if other[0] == head[0]]
        return _kl(logits, _run(model, tokens, layer, mode))

    return _each(model, score)


@single_effects.wrong("layer and head are exchanged in the pair: heads are (layer, head).")
def pair_exchanged(model: Any, tokens: Tensor, mode: str) -> Tensor:
    logits, known = model(tokens), all_heads(model)

    def score(head: Head) -> Tensor:
        turned = (head[1], head[0])
        return _kl(logits, _run(model, tokens, [turned] if turned in known else [], mode))

    return _each(model, score)


# --- faithfulness -----------------------------------------------------------------------------

faithfulness = checks.exercise(
    "faithfulness",
    difficulty=3,
    importance=5,
    minutes=8,
    hints=[
        "`ablation.logits(...)` wants what is to be *ablated*: the heads that are not in the "
        "circuit.",
        "Two divergences from the model's own logits: with everything outside the circuit ablated, "
        "and with every head ablated.",
    ],
    tolerance=ROUGH,
)


@faithfulness.cases
def _faithfulness_cases() -> Iterator[Case]:
    model, tokens = _prompts(TWO_LAYERS)
    yield Case("a planted circuit, whole", model, tokens, _circuit(TWO_LAYERS))
    yield Case("one of the two heads of a planted circuit", model, tokens, _circuit(TWO_LAYERS)[1:])
    yield Case("a circuit without heads", model, tokens, [])
    yield Case(
        "three heads of a random model", random_model(3, 4), random_tokens(5, 8),
        [(0, 1), (1, 3), (2, 0)], "mean",
    )  # fmt: skip
    yield Case(
        "five heads of a random model, by zeros", random_model(2, 5, seed=1),
        random_tokens(3, 9), [(0, 0), (0, 3), (1, 1), (1, 2), (1, 4)], "zero",
    )  # fmt: skip


@faithfulness.oracle
def _faithfulness_oracle(
    model: Any, tokens: Tensor, circuit: list[Head], mode: str = "mean"
) -> float:
    alone = _run(model, tokens, _outside(model, circuit), mode)
    return 1 - float(_kl(model(tokens), alone) / _scale(model, tokens, mode))


@faithfulness.wrong(
    "the circuit itself is ablated, and the rest left in place. That asks whether the model can do "
    "without it; faithfulness asks whether the circuit can do without the rest."
)
def circuit_ablated(model: Any, tokens: Tensor, circuit: list[Head], mode: str = "mean") -> float:
    gone = _run(model, tokens, circuit, mode)
    return 1 - float(_kl(model(tokens), gone) / _scale(model, tokens, mode))


@faithfulness.wrong("that is how much is lost. Take it from 1, so that 1 means all of it is there.")
def what_is_lost(model: Any, tokens: Tensor, circuit: list[Head], mode: str = "mean") -> float:
    return 1 - _faithfulness_oracle(model, tokens, circuit, mode)


@faithfulness.wrong(
    "the divergence is not divided by that of nothing. Half a nat is much for one model and little "
    "for another."
)
def in_nats(model: Any, tokens: Tensor, circuit: list[Head], mode: str = "mean") -> float:
    alone = _run(model, tokens, _outside(model, circuit), mode)
    return 1 - float(_kl(model(tokens), alone))


@faithfulness.wrong("the divergences run the wrong way: the model's own predictions come first.")
def faith_exchanged(model: Any, tokens: Tensor, circuit: list[Head], mode: str = "mean") -> float:
    logits, alone = model(tokens), _run(model, tokens, _outside(model, circuit), mode)
    return 1 - float(_kl(alone, logits) / _kl(_run(model, tokens, _every(model), mode), logits))


@faithfulness.wrong("`mode` is not used; hand it to Ablation.")
def faith_always_mean(model: Any, tokens: Tensor, circuit: list[Head], mode: str = "mean") -> float:
    return _faithfulness_oracle(model, tokens, circuit, "mean")


@faithfulness.wrong(
    "you compared the circuit with nothing, not with the model: both divergences start from the "
    "model's own predictions."
)
def against_nothing(model: Any, tokens: Tensor, circuit: list[Head], mode: str = "mean") -> float:
    alone = _run(model, tokens, _outside(model, circuit), mode)
    nothing = _run(model, tokens, _every(model), mode)
    return float(_kl(alone, nothing) / _scale(model, tokens, mode))


# --- incompleteness ---------------------------------------------------------------------------

incompleteness = checks.exercise(
    "incompleteness",
    difficulty=3,
    importance=5,
    minutes=10,
    hints=[
        "Two runs: the model with `knocked_out` ablated, and the circuit with `knocked_out` "
        "ablated, in which everything outside the circuit is ablated as well.",
        "For the second: ablate every head that is not in the circuit, or is knocked out.",
    ],
    tolerance=ROUGH,
)


@incompleteness.cases
def _incompleteness_cases() -> Iterator[Case]:
    model, tokens = _prompts(WITH_BACKUP)
    first, backup = _heads_of(WITH_BACKUP)["first token"], _heads_of(WITH_BACKUP)["backup"]
    yield Case("a circuit whose backup was forgotten", model, tokens, [first], [first])
    yield Case("the same circuit with its backup", model, tokens, [first, backup], [first])
    yield Case(
        "a random model", random_model(3, 4), random_tokens(5, 8),
        [(0, 1), (1, 3), (2, 0)], [(0, 1), (2, 0)],
    )  # fmt: skip
    yield Case(
        "a random model, nothing knocked out", random_model(3, 4), random_tokens(4, 7, seed=2),
        [(0, 1), (1, 3), (2, 0), (2, 2)], [],
    )  # fmt: skip
    yield Case(
        "a random model, by zeros", random_model(2, 5, seed=1), random_tokens(3, 9),
        [(0, 0), (0, 3), (1, 1), (1, 2)], [(0, 3)], "zero",
    )  # fmt: skip


def _incomplete(model: Any, tokens: Tensor, one: Any, other: Any, mode: str) -> float:
    """Divergence between two ablated runs, over that of nothing."""
    runs = (_run(model, tokens, list(heads), mode) for heads in (one, other))
    return float(_kl(*runs) / _scale(model, tokens, mode))


@incompleteness.oracle
def _incompleteness_oracle(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    gone = [*_outside(model, circuit), *knocked_out]
    return _incomplete(model, tokens, knocked_out, gone, mode)


@incompleteness.wrong(
    "the model on the other side is still whole. Knock the same heads out of both: the question is "
    "whether they fall alike."
)
def whole_model(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    gone = [*_outside(model, circuit), *knocked_out]
    return _incomplete(model, tokens, [], gone, mode)


@incompleteness.wrong("the circuit is still whole. Knock the same heads out of both.")
def whole_circuit(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    return _incomplete(model, tokens, knocked_out, _outside(model, circuit), mode)


@incompleteness.wrong(
    "only the knocked-out heads are left of the circuit; they are the ones to take away from it."
)
def knocked_out_left(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    return _incomplete(model, tokens, knocked_out, _outside(model, knocked_out), mode)


@incompleteness.wrong(
    "the two runs are the same: in the circuit everything outside it must be ablated as well."
)
def outside_left_in(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    return _incomplete(model, tokens, knocked_out, knocked_out, mode)


@incompleteness.wrong("the divergence is not divided by that of nothing (all heads ablated).")
def incomplete_in_nats(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    share = _incompleteness_oracle(model, tokens, circuit, knocked_out, mode)
    return share * float(_scale(model, tokens, mode))


@incompleteness.wrong("the two runs are exchanged: the model without them comes first.")
def incomplete_exchanged(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    gone = [*_outside(model, circuit), *knocked_out]
    return _incomplete(model, tokens, gone, knocked_out, mode)


@incompleteness.wrong("`mode` is not used; hand it to Ablation.")
def incomplete_always_mean(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    return _incompleteness_oracle(model, tokens, circuit, knocked_out, "mean")


# --- importance -------------------------------------------------------------------------------

importance = checks.exercise(
    "importance",
    difficulty=4,
    importance=5,
    minutes=12,
    hints=[
        "First K = nothing: run the circuit (everything outside ablated), run it without `head` as "
        "well, and take the divergence between the two.",
        "Then the same with one other head of the circuit ablated in *both* runs. Loop over the "
        "others and keep the largest.",
        "for knocked_out in [[], *([other] for other in circuit if other != head)]: compare "
        "ablation.logits([*outside, *knocked_out]) with the same and `head`.",
    ],
    tolerance=ROUGH,
)


@importance.cases
def _importance_cases() -> Iterator[Case]:
    model, tokens = _prompts(WITH_BACKUP)
    circuit, roles = _circuit(WITH_BACKUP), _heads_of(WITH_BACKUP)
    yield Case("a backup, silent until its head is gone", model, tokens, circuit, roles["backup"])
    idle = _outside(model, circuit)[0]
    yield Case("a head that does nothing", model, tokens, [*circuit, idle], idle)
    yield Case(
        "a random model", random_model(3, 4), random_tokens(5, 8),
        [(0, 1), (1, 3), (2, 0)], (1, 3),
    )  # fmt: skip
    yield Case(
        "a random model, by zeros", random_model(2, 5, seed=1), random_tokens(3, 9),
        [(0, 0), (0, 3), (1, 1), (1, 2)], (0, 3), "zero",
    )  # fmt: skip


def _effects_in(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str, outside: list[Head]
) -> list[float]:
    """Effect of a head for K = nothing, then for each other head of the circuit."""
    others: list[list[Head]] = [[], *([other] for other in circuit if other != head)]
    return [
        _incomplete(model, tokens, [*outside, *gone], [*outside, *gone, head], mode)
        for gone in others
    ]


@importance.oracle
def _importance_oracle(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    return max(_effects_in(model, tokens, circuit, head, mode, _outside(model, circuit)))


@importance.wrong(
    "only the whole circuit was tried (K = nothing). A backup shows itself only when the head it "
    "stands in for is knocked out."
)
def alone_only(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    return _effects_in(model, tokens, circuit, head, mode, _outside(model, circuit))[0]


@importance.wrong("that is the mean over K. One K that shows an effect is enough: the largest.")
def mean_over_k(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    effects = _effects_in(model, tokens, circuit, head, mode, _outside(model, circuit))
    return sum(effects) / len(effects)


@importance.wrong("that is the smallest over K; a head matters if it does so *somewhere*.")
def smallest(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    return min(_effects_in(model, tokens, circuit, head, mode, _outside(model, circuit)))


@importance.wrong("that is the sum over K; take the largest.")
def sum_over_k(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    return sum(_effects_in(model, tokens, circuit, head, mode, _outside(model, circuit)))


@importance.wrong(
    "the heads outside the circuit are still there. Here the circuit stands alone: ablate them in "
    "both runs."
)
def in_the_model(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    return max(_effects_in(model, tokens, circuit, head, mode, []))


@importance.wrong(
    "you compare with the whole model. Compare the circuit without K with the circuit without K "
    "and `head`, so that only `head` makes the difference."
)
def compared_with_the_model(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    outside = _outside(model, circuit)
    others: list[list[Head]] = [[], *([other] for other in circuit if other != head)]
    return max(_incomplete(model, tokens, [], [*outside, *gone, head], mode) for gone in others)


@importance.wrong("the divergences are not divided by that of nothing (all heads ablated).")
def importance_in_nats(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    share = _importance_oracle(model, tokens, circuit, head, mode)
    return share * float(_scale(model, tokens, mode))


# --- edge_effect ------------------------------------------------------------------------------

edge_effect = checks.exercise(
    "edge_effect",
    difficulty=4,
    importance=4,
    minutes=12,
    hints=[
        "Three things: other prompts (tokens.roll(1, dims=0)), the model's own logits, and "
        "path_patch with a metric of your own.",
        "path_patch(model, clean, corrupted, sender, receivers, metric): the metric gets the "
        "patched logits and returns a number. Yours is the divergence of them from the clean "
        "ones.",
        "lambda new: divergence(logits, new). At the end divide by divergence(logits, "
        "model(other)).",
    ],
    tolerance=ROUGH,
)


@edge_effect.cases
def _edge_cases() -> Iterator[Case]:
    model, tokens = _prompts(TWO_LAYERS)
    sender, receiver = open_seal(planted(TWO_LAYERS)).edges[0]
    assert not isinstance(receiver, str)
    unheard = (*receiver[:2], "v")
    yield Case("a path that a planted circuit uses", model, tokens, sender, receiver)
    yield Case("the same heads, through another input", model, tokens, sender, unheard)
    yield Case("a path to the logits", model, tokens, receiver[:2], "logits")
    random, prompts = random_model(3, 4), random_tokens(5, 8)
    yield Case("a random model", random, prompts, (0, 2), (1, 1, "q"))
    yield Case("a random model", random, prompts, (0, 1), "logits")
    yield Case("a random model", random, prompts, (1, 3), (2, 0, "v"))


def _moved(model: Any, tokens: Tensor, other: Tensor, sender: Head, receiver: Any) -> float:
    logits = model(tokens)
    return path_patch(model, tokens, other, sender, receiver, lambda new: _kl(logits, new))


@edge_effect.oracle
def _edge_oracle(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    other = torch.cat([tokens[-1:], tokens[:-1]])
    moved = _patched_by_hooks(model, tokens, other, sender, receiver)
    return float(_kl(model(tokens), moved) / _kl(model(tokens), model(other)))


def _patched_by_hooks(
    model: Any, tokens: Tensor, other: Tensor, sender: Head, receiver: Any
) -> Tensor:
    """Path patching as Wang et al. describe it, the whole model under hooks twice."""
    _, clean = model.run_with_cache(tokens)
    _, source = model.run_with_cache(other)

    def freeze(z: Tensor, hook: Any) -> Tensor:
        z = clean[hook.name].clone()
        if hook.layer() == sender[0]:
            z[:, :, sender[1]] = source[hook.name][:, :, sender[1]]
        return z

    heard: list[Tensor] = []
    names = [f"blocks.{layer}.attn.hook_z" for layer in range(model.cfg.n_layers)]
    hooks: list[Any] = [(name, freeze) for name in names]
    if receiver == "logits":
        return model.run_with_hooks(tokens, fwd_hooks=hooks)
    layer, head, letter = receiver
    name = f"blocks.{layer}.attn.hook_{letter}"
    listen = (name, lambda value, hook: heard.append(value[:, :, head].clone()))
    model.run_with_hooks(tokens, fwd_hooks=[*hooks, listen])

    def hear(value: Tensor, hook: Any) -> Tensor:
        value = value.clone()
        value[:, :, head] = heard[0]
        return value

    return model.run_with_hooks(tokens, fwd_hooks=[(name, hear)])


def _edge_scale(model: Any, tokens: Tensor) -> float:
    return float(_kl(model(tokens), model(tokens.roll(1, 0))))


@edge_effect.wrong(
    "clean and corrupted are exchanged: the run is on `tokens`, the sender speaks as on the other "
    "prompts."
)
def ends_exchanged(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    return _moved(model, tokens.roll(1, 0), tokens, sender, receiver) / _edge_scale(model, tokens)


@edge_effect.wrong(
    "you rolled along the positions, so the other prompt is this one, shifted. Roll the batch: "
    "dims=0."
)
def rolled_positions(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    other = tokens.roll(1, 1)
    moved = _moved(model, tokens, other, sender, receiver)
    return moved / float(_kl(model(tokens), model(other)))


@edge_effect.wrong("row i should hear row i - 1: roll by +1, not -1.")
def rolled_back(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    other = tokens.roll(-1, 0)
    moved = _moved(model, tokens, other, sender, receiver)
    return moved / float(_kl(model(tokens), model(other)))


@edge_effect.wrong("the result is not divided by how far the other prompts' predictions are away.")
def edge_in_nats(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    return _moved(model, tokens, tokens.roll(1, 0), sender, receiver)


@edge_effect.wrong(
    "that is the sender's direct path to the logits, whatever the receiver. Hand `receiver` to "
    "path_patch."
)
def always_to_logits(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    return _edge_oracle(model, tokens, sender, "logits")


@edge_effect.wrong(
    "that is plain activation patching: everyone downstream hears the sender, not the receiver "
    "alone."
)
def everyone_hears(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    _, source = model.run_with_cache(tokens.roll(1, 0))

    def speak(z: Tensor, hook: Any) -> Tensor:
        z = z.clone()
        z[:, :, sender[1]] = source[hook.name][:, :, sender[1]]
        return z

    name = f"blocks.{sender[0]}.attn.hook_z"
    moved = model.run_with_hooks(tokens, fwd_hooks=[(name, speak)])
    return float(_kl(model(tokens), moved)) / _edge_scale(model, tokens)


@edge_effect.wrong("the divergence runs the wrong way: the clean predictions come first.")
def edge_exchanged(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    logits, other = model(tokens), tokens.roll(1, 0)
    moved = _patched_by_hooks(model, tokens, other, sender, receiver)
    return float(_kl(moved, logits) / _kl(model(other), logits))


# --- claim_agate ------------------------------------------------------------------------------

claim_agate = checks.exercise(
    "claim_agate",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "The table above has a row for each head. Which ones move the predictions when they are "
        "ablated? Only those belong into the claim.",
        "A head that nobody reads but the unembedding has one edge, to the logits: "
        '((layer, head), "logits").',
        "Print some inputs with the model's top prediction at each position below them. Which "
        "earlier symbol does it say again?",
    ],
)


@claim_agate.cases
def _agate_cases() -> Iterator[Case]:
    yield Case("agate")


@claim_agate.oracle
def _agate_oracle() -> dict[str, float]:
    return dict.fromkeys(grade(Claim("agate")).marks, 1.0)


@claim_agate.observe
def _agate_marks(claim: Claim) -> dict[str, float]:
    return grade(claim).marks


@claim_agate.prop
def a_claim_about_agate(claim: Any) -> str | None:
    if not isinstance(claim, Claim):
        return f"expected a Claim, got a {type(claim).__name__}"
    return None if claim.mystery == "agate" else f"the claim is about {claim.mystery!r}"


@claim_agate.prop
def full_marks(claim: Claim) -> str | None:
    parts = grade(claim).parts
    short = [f"{name} {part.mark:.0%}" for name, part in parts.items() if part.mark < 1]
    nudge = next((part.nudge for part in parts.values() if part.mark < 1), "")
    return f"{', '.join(short)}. {nudge.rstrip('.')}" if short else None


def _truth() -> Claim:
    return true_claim(load_mystery("agate"))


def _agate(**changes: Any) -> Claim:
    return replace(_truth(), **changes)


@claim_agate.wrong(
    "no head is named. Somebody has to do it: ablate heads one at a time and see what moves."
)
def no_heads() -> Claim:
    return _agate(heads={}, edges=[])


@claim_agate.wrong(
    "a circuit of all heads is faithful and says nothing. Name only those whose loss can be felt."
)
def all_the_heads() -> Claim:
    truth = _truth()
    (role,), (true,) = truth.heads, truth.heads.values()
    rest = [head for head in sorted(all_heads(load_mystery("agate").model)) if head not in true]
    return _agate(heads={role: true, "backup": rest})


@claim_agate.wrong(
    "that head looks where the right one looks, and nobody listens to it. Attention shows what a "
    "head reads; ablation shows whether it matters."
)
def looks_alike() -> Claim:
    truth, mystery = _truth(), load_mystery("agate")
    (role,), (true,) = truth.heads, truth.heads.values()
    alike = next(head for head in sorted(all_heads(mystery.model)) if _role_fits(head, role, true))
    return _agate(heads={role: [alike]}, edges=[(alike, "logits")])


def _role_fits(head: Head, role: str, true: Sequence[Head]) -> bool:
    from circuits_course.mystery.roles import attends_as

    mystery = load_mystery("agate")
    return head not in true and attends_as(mystery.model, mystery.sample(32, 0), head, role)


@claim_agate.wrong("the head is right, its role is not: where does its attention go?")
def wrong_role() -> Claim:
    (true,) = _truth().heads.values()
    return _agate(heads={"inhibition": true})


@claim_agate.wrong(
    "no edges are claimed. Who reads what the head writes? If it is the unembedding, the edge ends "
    'at "logits".'
)
def no_edges() -> Claim:
    return _agate(edges=[])


@claim_agate.wrong(
    "the algorithm's name is not the right one. Look at inputs and predictions again."
)
def wrong_name() -> Claim:
    return _agate(algorithm="last copy")


@claim_agate.wrong(
    "everything is right but the predictions. `symbols` ends with the current symbol: "
    "symbols[-1] is where the model stands, symbols[-2] one before."
)
def says_the_current_symbol() -> Claim:
    return _agate(predictions=lambda symbols: symbols[-1])


# --- questions --------------------------------------------------------------------------------

checks.quiz(
    "mean_or_zero",
    "Zero-ablating a head costs 0.6 nats, mean-ablating it 0.01. What does it tell you?",
    {
        "the head says the same on every prompt, and later parts rely on it": "The mean keeps what "
        "is constant: only what varies between prompts is lost.",
        "the head is important for this task": "Then replacing what it says about this prompt by "
        "the mean would cost as much.",
        "one of the two measurements is broken": "Both are right; they ask different questions.",
    },
    "the head says the same on every prompt, and later parts rely on it",
)

checks.quiz(
    "path_patching_holds_still",
    "You path-patch from head 0.1 to the keys of head 1.2. What changes in the final run?",
    {
        "only what 1.2 reads as keys": "All other readers of 0.1 hear the clean prompt.",
        "everything that reads head 0.1": "That would be activation patching.",
        "the attention pattern of 0.1": "The sender's output is replaced, and only for one reader.",
    },
    "only what 1.2 reads as keys",
)

checks.quiz(
    "weights_are_not_effects",
    "A pair of heads has the highest K-composition score of the model. Which conclusion is safe?",
    {
        "what one writes fits what the keys of the other read": "That is what the score measures, "
        "and all it measures.",
        "cutting the path will change the predictions": "Chapter 05 showed pairs where nothing "
        "happens.",
        "the second head is an induction head": "Many kinds of heads compose through keys.",
    },
    "what one writes fits what the keys of the other read",
)

checks.prediction(
    "look_alikes",
    "Several heads of agate attend to the same place. How many of them will matter when ablated "
    "one at a time?",
    {"all of them": "", "about half": "", "one": ""},
)

checks.prediction(
    "backup_alone",
    "A head has a backup. You ablate heads one at a time, by their means. What do you see at the"
    " two?",
    {
        "both matter": "Each is covered by the other, or was silent in the first place.",
        "only the first one matters": "It would, if nobody stood in for it.",
        "neither matters": "The first is covered by its backup, and the backup had nothing to do.",
    },
    "neither matters",
)

checks.prediction(
    "all_heads_claim",
    "You claim every head of the model as the circuit. Which mark do you lose?",
    {
        "faithfulness": "Nothing is outside, so nothing is ablated: it is perfect.",
        "completeness": "Nothing is outside that could step in.",
        "minimality": "Most of these heads can go without anyone noticing.",
    },
    "minimality",
)

checks.explanation(
    "why_three_tests",
    "Why are faithfulness, completeness and minimality three tests? Name a wrong circuit that "
    "passes two of them.",
    "All heads together are faithful and complete but not minimal; a circuit without its backup is "
    "faithful and minimal but not complete; half of a circuit is minimal and not faithful.",
)

checks.explanation(
    "what_the_grade_cannot_see",
    "A claim has full marks on these inputs. What could still be wrong with it?",
    "Other inputs may use other heads, the names of roles and algorithm are ours, and two circuits "
    "may behave alike under every intervention we tried.",
)
