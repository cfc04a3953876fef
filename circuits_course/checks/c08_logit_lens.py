"""Chapter 08, Logit lens: states read as predictions, writes read as logits, and a trained lens."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from circuits_course.checking.compare import Tolerance, same
from circuits_course.checking.declaring import Case
from circuits_course.checks import ChapterChecks
from circuits_course.checks.inputs import normal, random_model, random_tokens
from circuits_course.circuits.lens import TunedLens, residual_states, state_names
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

checks = ChapterChecks("08_logit_lens")

LOOSE = Tolerance(atol=1e-3, rtol=1e-3)


@cache
def normed_model(n_layers: int = 3, seed: int = 0) -> CourseTransformer:
    """A random model with norms, MLPs and b_U whose writes have a mean: centring matters."""
    cfg = CourseConfig(n_layers, 4, 20, 6, 30, 16, d_mlp=28, normalization_type="LNPre", seed=seed)
    model = CourseTransformer(cfg)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
        model.unembed.W_U.add_(normal(1, 30, seed=seed + 1))
        model.unembed.b_U.copy_(normal(30, seed=seed + 2))
    return model.requires_grad_(False)


def _models() -> Iterator[tuple[str, CourseTransformer]]:
    yield "a model without norm", random_model()
    yield "a model with norms and MLPs", normed_model()
    yield "a model with norms, MLPs and two layers", normed_model(2, seed=5)


def _tokens(model: Any, prompt: str | Tensor) -> Tensor:
    return model.to_tokens(prompt) if isinstance(prompt, str) else prompt


def _states(model: Any, prompt: str | Tensor) -> Tensor:
    return residual_states(model, _tokens(model, prompt))[:, 0]  # [state, pos, d_model]


def _activations(model: Any, prompt: str | Tensor) -> dict[str, Tensor]:
    """Every activation of a plain run, without the cache object."""
    seen: dict[str, Tensor] = {}

    def keep(value: Tensor, hook: Any) -> None:
        seen[hook.name] = value.clone()

    model.run_with_hooks(_tokens(model, prompt), fwd_hooks=[(lambda name: True, keep)])
    return seen


def _silenced(model: Any, prompt: str | Tensor, first: int) -> Tensor:
    """The logits when the layers from `first` on write nothing: the lens, by brute force."""

    def silence(value: Tensor, hook: Any) -> Tensor:
        return torch.zeros_like(value)

    writes = ("hook_attn_out", "hook_mlp_out")
    names = [
        name
        for name in model.hook_dict
        if name.endswith(writes) and int(name.split(".")[1]) >= first
    ]
    hooks = [(name, silence) for name in names]
    return model.run_with_hooks(_tokens(model, prompt), fwd_hooks=hooks)[0]


def _lens(model: Any, prompt: str | Tensor) -> Tensor:
    return torch.stack([_silenced(model, prompt, first) for first in range(model.cfg.n_layers + 1)])


# --- logit_lens -------------------------------------------------------------------------------

logit_lens = checks.exercise(
    "logit_lens",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "Which activations are the states? What layer i reads is resid_pre of layer i; after the "
        "last layer there is resid_post.",
        'torch.cat of n_layers times cache["resid_pre", layer] and one cache["resid_post", last] '
        "gives [state, pos, d_model], since the batch axis has length 1.",
        "What does the model do with its own last state? model.ln_final, then model.unembed. Do "
        "that with all of them.",
    ],
    tolerance=LOOSE,
)


@logit_lens.cases
def _lens_cases() -> Iterator[Case]:
    for seed, (what, model) in enumerate(_models()):
        yield Case(f"{what}, tokens", model, random_tokens(1, 5 + seed, seed=seed))
    yield Case("a prompt in words", normed_model(), "abcab")


@logit_lens.oracle
def _lens_oracle(model: Any, prompt: str | Tensor) -> Tensor:
    return _lens(model, prompt)


@logit_lens.wrong(
    "the final norm is missing. A state has to go through model.ln_final before the unembedding, "
    "as the last one does."
)
def no_final_norm(model: Any, prompt: str | Tensor) -> Tensor:
    return _states(model, prompt) @ model.W_U


@logit_lens.wrong(
    "every state was divided by the scale of the last one. For a lens the norm is computed anew "
    "for each state: the question is what the model would say *if it stopped here*."
)
def cached_scale(model: Any, prompt: str | Tensor) -> Tensor:
    states = _states(model, prompt)
    if not model.cfg.normalization_type:
        return states @ model.W_U
    centred = states - states.mean(-1, keepdim=True)
    return centred / _activations(model, prompt)["ln_final.hook_scale"][0] @ model.W_U


@logit_lens.wrong(
    "the bias b_U is missing. model.unembed adds it after W_U, at the last state too."
)
def no_unembedding_bias(model: Any, prompt: str | Tensor) -> Tensor:
    return _lens(model, prompt) - model.b_U


@logit_lens.wrong("these are probabilities. Return logits, before the softmax.")
def probabilities(model: Any, prompt: str | Tensor) -> Tensor:
    return _lens(model, prompt).softmax(-1)


@logit_lens.wrong("these are log-probabilities. Return logits, before the softmax.")
def log_probabilities(model: Any, prompt: str | Tensor) -> Tensor:
    return _lens(model, prompt).log_softmax(-1)


@logit_lens.wrong(
    "state 0, the embedding, is missing: there are n_layers + 1 states, one before each layer and "
    "one after the last."
)
def no_embedding(model: Any, prompt: str | Tensor) -> Tensor:
    return _lens(model, prompt)[1:]


@logit_lens.wrong(
    "the last state is missing. What the layers read is resid_pre; the state after the last layer "
    "is its resid_post."
)
def no_last_state(model: Any, prompt: str | Tensor) -> Tensor:
    return _lens(model, prompt)[:-1]


@logit_lens.wrong("the batch axis is still there; a prompt is one sequence, so drop it.")
def batch_axis_kept(model: Any, prompt: str | Tensor) -> Tensor:
    return _lens(model, prompt)[:, None]


@logit_lens.wrong("this is the last position alone. Keep all positions.")
def last_position_only(model: Any, prompt: str | Tensor) -> Tensor:
    return _lens(model, prompt)[:, -1]


@logit_lens.wrong(
    "W_E transposed took the place of W_U. Even where a model ties the two, the gain of the final "
    "norm is folded into W_U alone."
)
def tied(model: Any, prompt: str | Tensor) -> Tensor:
    return model.ln_final(_states(model, prompt)) @ model.W_E.T


@logit_lens.wrong("the states are in the wrong order: the embedding comes first.")
def backwards(model: Any, prompt: str | Tensor) -> Tensor:
    return _lens(model, prompt).flip(0)


# --- rank_by_layer ----------------------------------------------------------------------------

rank_by_layer = checks.exercise(
    "rank_by_layer",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "logit_lens gives the logits [state, pos, d_vocab]. Which position says what comes next?",
        "The rank is the number of tokens whose logit is larger than the token's.",
        "(logits > logits[:, [token]]) is a table of True and False; sum it over the vocabulary.",
    ],
)


@rank_by_layer.cases
def _rank_cases() -> Iterator[Case]:
    for seed, (what, model) in enumerate(_models()):
        prompt = random_tokens(1, 5 + seed, seed=seed)
        best = int(model(prompt)[0, -1].argmax())
        yield Case(f"the model's own answer, {what}", model, prompt, best)
        yield Case(f"some token, {what}", model, prompt, 7 * seed + 4)
    yield Case("a prompt in words", normed_model(), "abcab", 9)


@rank_by_layer.oracle
def _rank_oracle(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    ranks = []
    for logits in _lens(model, prompt)[:, -1].tolist():
        ranks.append(sum(value > logits[token] for value in logits))
    return torch.tensor(ranks)


@rank_by_layer.observe
def _whole_ranks(ranks: Any, *inputs: Any) -> Tensor:
    values = torch.as_tensor(ranks)
    return values.long() if (values == values.round()).all() else values


@rank_by_layer.wrong("the ranks start at 1; the top token has rank 0, since none is above it.")
def from_one(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    return _rank_oracle(model, prompt, token) + 1


@rank_by_layer.wrong(
    "you counted the tokens with a *smaller* logit. The rank counts those above, so 0 is the top."
)
def from_below(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    logits = _lens(model, prompt)[:, -1]
    return (logits < logits[:, [token]]).sum(-1)


@rank_by_layer.wrong("this is the rank after the first position; the prediction is at the last.")
def first_position(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    logits = _lens(model, prompt)[:, 0]
    return (logits > logits[:, [token]]).sum(-1)


@rank_by_layer.wrong(
    "argsort says which token stands at a rank, not which rank a token has. Look for the place "
    "where the sorted list holds your token, or count the larger logits."
)
def argsort_read_wrongly(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    return _lens(model, prompt)[:, -1].argsort(-1, descending=True)[:, token]


@rank_by_layer.wrong(
    "these are ranks within all positions together. Compare with the tokens of the last position."
)
def over_all_positions(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    logits = _lens(model, prompt)
    return (logits > logits[:, -1:, [token]]).sum((-1, -2))


@rank_by_layer.wrong("those are the token's logits. The rank counts the logits that are larger.")
def logits_themselves(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    return _lens(model, prompt)[:, -1, token]


@rank_by_layer.wrong("this is the last state's rank alone; give one for every state.")
def last_state_only(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    return _rank_oracle(model, prompt, token)[-1]


# --- settles_at -------------------------------------------------------------------------------

settles_at = checks.exercise(
    "settles_at",
    difficulty=2,
    importance=3,
    minutes=8,
    hints=[
        "The top token may come, go and come back. Look for the last state that says something "
        "else than the final one.",
        "(top != top[-1]).nonzero() lists the states that say something else.",
        "One after the last of these; 0 if there is none.",
    ],
)


def _one_hot(*tops: int, d_vocab: int = 9) -> Tensor:
    return F.one_hot(torch.tensor(tops), d_vocab).float() * 3.0 - 1.0


@settles_at.cases
def _settles_cases() -> Iterator[Case]:
    yield Case("a prediction that comes at state 3 and stays", _one_hot(1, 2, 2, 5, 5, 5))
    yield Case("one that comes at state 1, goes, and comes back at 4", _one_hot(0, 5, 2, 2, 5, 5))
    yield Case("one that is there from the embedding on", _one_hot(4, 4, 4, 4))
    yield Case("one that only the last state makes", _one_hot(1, 2, 3, 4, 6))
    for seed in range(3):
        logits = normal(8 + seed, 3, seed=seed)
        yield Case("random logits", logits)


@settles_at.oracle
def _settles_oracle(logits: Tensor) -> int:
    tops = [max(range(len(row)), key=row.__getitem__) for row in logits.tolist()]
    state = len(tops) - 1
    while state and tops[state - 1] == tops[-1]:
        state -= 1
    return state


@settles_at.observe
def _as_int(state: Any, logits: Tensor) -> int:
    return int(state) if float(state) == int(state) else state


@settles_at.wrong(
    "that is the *first* state with the final answer on top. It may be lost again afterwards: look "
    "for the state from which on it stays."
)
def first_time(logits: Tensor) -> int:
    top = logits.argmax(-1)
    return int((top == top[-1]).nonzero()[0])


@settles_at.wrong(
    "that is the last state that says something else; the answer stands from the next one on."
)
def last_other(logits: Tensor) -> int:
    return _settles_oracle(logits) - 1


@settles_at.wrong("you counted the states that agree with the last. Return where they begin.")
def how_many_agree(logits: Tensor) -> int:
    return len(logits) - _settles_oracle(logits)


@settles_at.wrong(
    "you counted the states whose top token is another one. Where the answer passes by early and "
    "goes again, that state is before the settling too."
)
def how_many_differ(logits: Tensor) -> int:
    top = logits.argmax(-1)
    return int((top != top[-1]).sum())


@settles_at.wrong(
    "one too late: the state after the last one that says something else is already the answer."
)
def one_too_late(logits: Tensor) -> int:
    return _settles_oracle(logits) + 1


@settles_at.wrong("the smallest logit was taken for the largest: use argmax.")
def argmin(logits: Tensor) -> int:
    return _settles_oracle(-logits)


# --- lens_kl ----------------------------------------------------------------------------------

lens_kl = checks.exercise(
    "lens_kl",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "Take log_softmax over the vocabulary, the last axis; the last state gives log p.",
        "KL(p || q) = sum over tokens of p (log p - log q): weigh with the final distribution.",
        "p is log_p.exp(). Sum over the vocabulary alone; states and positions stay.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


@lens_kl.cases
def _kl_cases() -> Iterator[Case]:
    even, sure = torch.zeros(4), torch.tensor([10.0, 0, 0, 0])
    yield Case("an even guess among four, and a final answer that is sure: log 4 nats",
               torch.stack([even, sure]))  # fmt: skip
    yield Case("a sure state and a final even guess", torch.stack([2 * sure / 5, even]))
    for seed in range(3):
        yield Case("random logits", 2 * normal(4, 5 + seed, 7 - seed, seed=seed))
    yield Case("two axes of places", 2 * normal(3, 2, 5, 8, seed=9))


@lens_kl.oracle
def _kl_oracle(logits: Tensor) -> Tensor:
    log_q = logits.double().log_softmax(-1)
    log_p = log_q[-1].expand_as(log_q)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1).float()


@lens_kl.wrong(
    "the two are exchanged: that is KL(state || final). Weigh with the *final* distribution."
)
def exchanged(logits: Tensor) -> Tensor:
    log_q = logits.log_softmax(-1)
    return (log_q.exp() * (log_q - log_q[-1])).sum(-1)


@lens_kl.wrong("that is in bits; nats come from the natural logarithm.")
def bits(logits: Tensor) -> Tensor:
    return _kl_oracle(logits) / math.log(2)


@lens_kl.wrong("that is the mean over the vocabulary; the divergence is the sum.")
def mean_over_vocabulary(logits: Tensor) -> Tensor:
    return _kl_oracle(logits) / logits.shape[-1]


@lens_kl.wrong(
    "that is the cross-entropy. Subtract the final distribution's own entropy, so that the last "
    "state is 0 away from itself."
)
def cross_entropy(logits: Tensor) -> Tensor:
    log_q = logits.log_softmax(-1)
    return -(log_q[-1].exp() * log_q).sum(-1)


@lens_kl.wrong("the sign is turned round: log p minus log q, not the other way.")
def negative(logits: Tensor) -> Tensor:
    return -_kl_oracle(logits)


@lens_kl.wrong(
    "logits stand in the place of log-probabilities. Use log_softmax over the vocabulary first."
)
def logits_for_log_probs(logits: Tensor) -> Tensor:
    p = logits[-1].softmax(-1)
    return (p * (logits[-1] - logits)).sum(-1)


@lens_kl.wrong("the softmax runs along the states. It belongs on the vocabulary, the last axis.")
def softmax_over_states(logits: Tensor) -> Tensor:
    log_q = logits.log_softmax(0)
    return (log_q[-1].exp() * (log_q[-1] - log_q)).sum(-1)


@lens_kl.wrong("each state is compared with the next one. Compare all with the last.")
def with_the_next(logits: Tensor) -> Tensor:
    log_q = logits.log_softmax(-1)
    log_p = torch.cat([log_q[1:], log_q[-1:]])
    return (log_p.exp() * (log_p - log_q)).sum(-1)


# --- contributions_by_component ---------------------------------------------------------------

contributions_by_component = checks.exercise(
    "contributions_by_component",
    difficulty=3,
    importance=5,
    minutes=15,
    hints=[
        "A logit is the final norm of a sum of writes, times a column of W_U. If the norm's scale "
        "is taken as given, each write can be divided by it alone.",
        "cache.apply_ln_to_stack(writes, layer=-1, pos_slice=-1) divides by the scale of this run "
        "(and centres where the model's norm does).",
        "The result is [component, 1, d_model]; drop the batch axis and multiply by `direction`.",
    ],
    tolerance=LOOSE,
)


@contributions_by_component.cases
def _contribution_cases() -> Iterator[Case]:
    for seed, (what, model) in enumerate(_models()):
        prompt = random_tokens(1, 5 + seed, seed=seed)
        yield Case(f"one token, {what}", model, prompt, 3 + seed)
        yield Case(f"two tokens, {what}", model, prompt, 3 + seed, 11)
    yield Case("a prompt in words", normed_model(), "abcab", 9)


def _writes(model: Any, prompt: str | Tensor) -> dict[str, Tensor]:
    """Every write at every position, [pos, d_model]."""
    seen = _activations(model, prompt)
    writes = {"embed": seen["hook_embed"][0]}
    for layer in range(model.cfg.n_layers):
        for kind in ("attn_out", "mlp_out"):
            name = f"blocks.{layer}.hook_{kind}"
            if name in seen:
                writes[f"{layer}_{kind}"] = seen[name][0]
    return writes


def _frozen(model: Any, prompt: str | Tensor, write: Tensor, centre: bool = True) -> Tensor:
    """A write at every position after the final norm with its scale as it was."""
    if not model.cfg.normalization_type:
        return write
    mean = write.mean(-1, keepdim=True) if centre else 0.0
    return (write - mean) / _activations(model, prompt)["ln_final.hook_scale"][0]


def _direction(model: Any, token: int, other: int | None) -> Tensor:
    column = model.W_U[:, token]
    return column if other is None else column - model.W_U[:, other]


def _bias(model: Any, token: int, other: int | None) -> float:
    return float(model.b_U[token] - (0.0 if other is None else model.b_U[other]))


def _attribution(
    model: Any, prompt: str | Tensor, token: int, other: int | None, position: int = -1,
    centre: bool = True,
) -> dict[str, float]:  # fmt: skip
    direction = _direction(model, token, other)
    values = {
        name: (_frozen(model, prompt, write, centre)[position] @ direction).item()
        for name, write in _writes(model, prompt).items()
    }
    return {**values, "bias": _bias(model, token, other)}


@contributions_by_component.oracle
def _contribution_oracle(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    return _attribution(model, prompt, token, other)


@contributions_by_component.observe
def _as_floats(values: Any, *inputs: Any) -> dict[str, float]:
    return {str(name): float(value) for name, value in dict(values).items()}


@contributions_by_component.wrong(
    'the entry "bias" is b_U: its value at `token`, minus that at `other` if given. Without it the '
    "values do not sum to the logit."
)
def bias_of_zero(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    return {**_attribution(model, prompt, token, other), "bias": 0.0}


@contributions_by_component.wrong(
    "each write was normed by itself. Then every write counts as if it were alone, however short "
    "it is, and the sum is no longer the logit. Keep the scale of the whole run."
)
def normed_each(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    direction = _direction(model, token, other)
    values = {
        name: (model.ln_final(write)[-1] @ direction).item()
        for name, write in _writes(model, prompt).items()
    }
    return {**values, "bias": _bias(model, token, other)}


@contributions_by_component.wrong(
    "the writes are not divided by the final norm's scale, so they sum to something larger or "
    "smaller than the logit."
)
def no_scale(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    direction = _direction(model, token, other)
    writes = _writes(model, prompt)
    values = {name: (write[-1] @ direction).item() for name, write in writes.items()}
    return {**values, "bias": _bias(model, token, other)}


@contributions_by_component.wrong(
    "the writes were divided by the scale but not centred. This model's norm subtracts the mean; "
    "apply_ln_to_stack knows which norms do."
)
def not_centred(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    return _attribution(model, prompt, token, other, centre=False)


@contributions_by_component.wrong("this is the first position; the prediction is at the last.")
def at_first_position(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    return _attribution(model, prompt, token, other, position=0)


@contributions_by_component.wrong(
    "`other` is ignored. The direction for a difference is W_U[:, token] - W_U[:, other]."
)
def other_ignored(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    return _attribution(model, prompt, token, None)


@contributions_by_component.wrong("the difference is the wrong way round: token minus other.")
def other_minus_token(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    values = _attribution(model, prompt, token, other)
    return values if other is None else {name: -value for name, value in values.items()}


@contributions_by_component.wrong(
    "these are running sums: the states, not the writes. Use decompose_resid, not "
    "accumulated_resid."
)
def running_sums(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    total, sums = 0.0, {}
    for name, value in _attribution(model, prompt, token, other).items():
        total += value
        sums[name] = total
    return sums


@contributions_by_component.wrong(
    "the embedding is missing. The residual stream starts with it, so the logit's sum does too."
)
def without_embedding(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    values = _attribution(model, prompt, token, other)
    return {name: value for name, value in values.items() if name != "embed"}


# --- head_write -------------------------------------------------------------------------------

head_write = checks.exercise(
    "head_write",
    difficulty=3,
    importance=4,
    minutes=10,
    hints=[
        "z is what a head has gathered, [batch, pos, head, d_head]. What turns it into a write?",
        "W_O of that head, [d_head, d_model]: model.W_O[layer, head].",
        'cache["z", layer][:, -1, head] @ model.W_O[layer, head] is the write, [1, d_model].',
    ],
    tolerance=LOOSE,
)


@head_write.cases
def _write_cases() -> Iterator[Case]:
    for seed, (what, model) in enumerate(_models()):
        prompt = random_tokens(1, 5 + seed, seed=seed)
        yield Case(f"head 1.0, {what}", model, prompt, 1, 0)
        yield Case(f"head 0.3, {what}", model, prompt, 0, 3)
    yield Case("a prompt in words", normed_model(), "abcab", 2, 1)


def _head_result(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    """The layer's output minus its output with the head silenced, [pos, d_model]."""
    tokens, seen = _tokens(model, prompt), []

    def silence(z: Tensor, hook: Any) -> Tensor:
        z[:, :, head] = 0.0
        return z

    def keep(value: Tensor, hook: Any) -> None:
        seen.append(value.clone())

    name = f"blocks.{layer}.hook_attn_out"
    model.run_with_hooks(tokens, fwd_hooks=[(name, keep)])
    edit = (f"blocks.{layer}.attn.hook_z", silence)
    model.run_with_hooks(tokens, fwd_hooks=[edit, (name, keep)])
    return (seen[0] - seen[1])[0]


@head_write.oracle
def _write_oracle(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    write = _head_result(model, prompt, layer, head)
    return _frozen(model, prompt, write)[-1] @ model.W_U


@head_write.wrong("layer and head are exchanged: model.W_O[layer, head].")
def layer_and_head(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    return _write_oracle(model, prompt, min(head, model.cfg.n_layers - 1), layer)


@head_write.wrong("that is the whole layer; take this head's z and this head's W_O.")
def whole_layer(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    write = _writes(model, prompt)[f"{layer}_attn_out"]
    return _frozen(model, prompt, write)[-1] @ model.W_U


@head_write.wrong(
    "the write was normed by itself, so its length is lost. Keep the scale of the whole run."
)
def normed_alone(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    write = _head_result(model, prompt, layer, head)
    if not model.cfg.normalization_type:
        return F.layer_norm(write, write.shape[-1:])[-1] @ model.W_U
    return model.ln_final(write)[-1] @ model.W_U


@head_write.wrong("the write is not divided by the final norm's scale.")
def unscaled(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    return _head_result(model, prompt, layer, head)[-1] @ model.W_U


@head_write.wrong("this is the first position's write; the prediction is at the last.")
def written_at_first(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    write = _head_result(model, prompt, layer, head)
    return _frozen(model, prompt, write)[0] @ model.W_U


@head_write.wrong("this is the sum over all positions; take the last one's write.")
def all_positions(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    write = _head_result(model, prompt, layer, head)
    return _frozen(model, prompt, write).sum(0) @ model.W_U


@head_write.wrong(
    "you added b_U. The unembedding's bias is nobody's write; a head adds its own part alone."
)
def with_bias(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    return _write_oracle(model, prompt, layer, head) + model.b_U


@head_write.wrong("a softmax hides how much the head adds: return what it adds to the logits.")
def soft(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    return _write_oracle(model, prompt, layer, head).softmax(-1)


# --- train_tuned_lens -------------------------------------------------------------------------

train_tuned_lens = checks.exercise(
    "train_tuned_lens",
    difficulty=4,
    importance=4,
    minutes=15,
    hints=[
        "log_p comes from the last state, log_q from the others after their maps: "
        "lens(states[:-1, places]).",
        "Both go through model.ln_final, then @ W_U + b_U of the shortlist, then log_softmax(-1).",
        "KL(final || lens) as in lens_kl: sum over the vocabulary, mean over the places, sum over "
        "the maps, so that each map gets its own whole gradient.",
    ],
)


@cache
def _text(model: CourseTransformer, seed: int) -> Tensor:
    """States of random sequences, [state, n, d_model]."""
    return residual_states(model, random_tokens(40, 9, seed=seed)).flatten(1, 2)


@train_tuned_lens.cases
def _training_cases() -> Iterator[Case]:
    for what, model, seed in (
        ("a model with norms and MLPs", normed_model(), 0),
        ("a model without norm", random_model(2, 3, seed=1), 1),
    ):
        yield Case(what, model, _text(model, seed), 60, 64, 0.02, seed)


def _maps(lens: Any) -> tuple[Tensor, Tensor]:
    weight, bias = (lens.weight, lens.bias) if hasattr(lens, "weight") else lens
    return weight.detach().float(), bias.detach().float()


def _through(lens: Any, states: Tensor) -> Tensor:
    weight, bias = _maps(lens)
    mapped = states[:-1] @ weight.mT + bias.view(len(weight), 1, -1)
    return torch.cat([mapped, states[-1:]])


def _held_out(model: Any, lens: Any | None, seed: int) -> Tensor:
    """KL(final || lens) of each map on sequences it was not trained on; the logit lens for None."""
    states = _text(model, seed + 1000)
    states = states if lens is None else _through(lens, states)
    return _kl_oracle(model.unembed(model.ln_final(states)))[:-1].mean(-1)


@train_tuned_lens.prop
def one_map_a_state(
    lens: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    weight, bias = _maps(lens)
    n, d_model = len(states) - 1, states.shape[-1]
    wanted = [n, d_model, d_model], [n, d_model]
    if [list(weight.shape), list(bias.view(len(bias), -1).shape)] == [*wanted]:
        return None
    return (
        f"expected a matrix and a bias for each of the {n} states before the last, of shapes "
        f"{wanted[0]} and {wanted[1]}; got {list(weight.shape)} and {list(bias.shape)}"
    )


@train_tuned_lens.prop
def something_was_learned(
    lens: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    weight, bias = _maps(lens)
    if not same(weight, torch.eye(weight.shape[-1]).expand_as(weight)) or bias.abs().max() > 1e-4:
        return None
    return "all maps are still the identity after the training"


@train_tuned_lens.prop
def matrices_move(
    lens: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    weight = _maps(lens)[0]
    still = (weight - torch.eye(weight.shape[-1])).abs().amax((1, 2)) < 1e-4
    return f"the matrices of {int(still.sum())} maps did not move" if still.any() else None


@train_tuned_lens.prop
def biases_move(
    lens: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    bias = _maps(lens)[1]
    still = bias.view(len(bias), -1).abs().amax(-1) < 1e-4
    return f"the biases of {int(still.sum())} maps did not move" if still.any() else None


@train_tuned_lens.trial
def starts_as_the_logit_lens(
    attempt: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    weight, bias = _maps(attempt(model, states, 0, batch, lr, seed))
    identity = torch.eye(weight.shape[-1]).expand_as(weight)
    if same(weight, identity) and bias.abs().max() < 1e-6:
        return None
    return "with steps=0 the maps are not the identity"


@train_tuned_lens.trial
def same_seed_same_lens(
    attempt: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    first, again = (_maps(attempt(model, states, 3, batch, lr, seed))[0] for _ in range(2))
    return None if same(first, again) else "the same seed gave another lens when called again"


@train_tuned_lens.prop
def does_not_get_worse(
    lens: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    before, after = _held_out(model, None, seed).mean(), _held_out(model, lens, seed).mean()
    if after < 1.05 * before:
        return None
    return (
        f"on sequences it was not trained on, the lens is {after:.2f} nats from the final "
        f"prediction; the logit lens is {before:.2f}"
    )


@train_tuned_lens.prop
def reads_better(
    lens: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    before, after = _held_out(model, None, seed), _held_out(model, lens, seed)
    if (after < 0.9 * before).all():
        return None
    worst = int((after / before).argmax())
    return (
        f"on sequences it was not trained on, map {worst} gives {after[worst]:.2f} nats where the "
        f"logit lens gives {before[worst]:.2f}; a trained one gives clearly less"
    )


def _trained(
    model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int | None, *,
    sign: float = 1.0, matrix: bool = True, offset: bool = True, identity: bool = True,
) -> TunedLens:  # fmt: skip
    """Full-vocabulary training, with one thing or another done wrongly."""
    generator = torch.Generator()
    generator.seed() if seed is None else generator.manual_seed(seed)
    n, d_model = len(states) - 1, states.shape[-1]
    weight = torch.eye(d_model).repeat(n, 1, 1)
    if not identity:
        weight = 0.2 * torch.randn(n, d_model, d_model, generator=generator)
    bias = torch.zeros(n, 1, d_model)
    trained = [part for part, wanted in ((weight, matrix), (bias, offset)) if wanted]
    optimizer = torch.optim.Adam([part.requires_grad_() for part in trained], lr=lr)
    for _ in range(steps):
        places = torch.randint(states.shape[1], (batch,), generator=generator)
        with torch.enable_grad():
            mapped = states[:-1, places] @ weight.mT + bias
            both = torch.cat([mapped, states[-1:, places]])
            log_q = model.unembed(model.ln_final(both)).log_softmax(-1)
            kl = F.kl_div(log_q[:-1], log_q[-1:].expand_as(log_q[:-1]), reduction="none",
                          log_target=True).sum(-1)  # fmt: skip
            optimizer.zero_grad()
            (sign * kl.mean(-1).sum()).backward()
        optimizer.step()
    return TunedLens(weight.detach(), bias.detach()[:, 0])


@train_tuned_lens.wrong(
    "there is one map for all states. Each layer has a basis of its own, so each state needs its "
    "own map."
)
def one_for_all(
    model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    lens = _trained(model, states[[0, -1]], steps, batch, lr, seed)
    return TunedLens(lens.weight, lens.bias)


@train_tuned_lens.wrong(
    "gradients are switched off here. Compute the loss in a block that begins with "
    "`with torch.enable_grad():`"
)
def without_gradients(
    model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    with torch.no_grad():
        lens = TunedLens.identity(len(states) - 1, states.shape[-1])
        (model.ln_final(lens(states[:-1])) @ model.W_U).log_softmax(-1).sum().backward()
    return lens


@train_tuned_lens.wrong(
    "nothing was trained. Is `loss.backward()` followed by `optimizer.step()`, and does the loss "
    "depend on the lens?"
)
def never_stepped(
    model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    return _trained(model, states, 0, batch, lr, seed)


@train_tuned_lens.wrong("only biases were trained. An affine map has a matrix too.")
def bias_only(
    model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    return _trained(model, states, steps, batch, lr, seed, matrix=False)


@train_tuned_lens.wrong(
    "the biases stayed at zero. The offset between a state and the last one is much of what a lens "
    "has to learn."
)
def no_bias(model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int) -> TunedLens:
    return _trained(model, states, steps, batch, lr, seed, offset=False)


@train_tuned_lens.wrong(
    "the maps do not start as the identity. Start from the logit lens, so that what training adds "
    "is what the logit lens lacks."
)
def random_start(
    model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    return _trained(model, states, steps, batch, lr, seed, identity=False)


@train_tuned_lens.wrong(
    "the places are drawn without the seed. Give `generator` to every function that draws."
)
def seed_ignored(
    model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    return _trained(model, states, steps, batch, lr, None)


@train_tuned_lens.wrong(
    "the divergence grew: is its sign turned round? An optimizer makes the loss smaller."
)
def uphill(model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int) -> TunedLens:
    return _trained(model, states, steps, batch, lr, seed, sign=-1.0)


@train_tuned_lens.wrong(
    "the lens learned little. Run all `steps`, with `lr` as the learning rate, and sum the loss "
    "over the maps and the vocabulary (a mean makes every gradient tiny)."
)
def one_step(model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int) -> TunedLens:
    return _trained(model, states, min(steps, 1), batch, lr, seed)


# --- write_survival ---------------------------------------------------------------------------

write_survival = checks.exercise(
    "write_survival",
    difficulty=4,
    importance=4,
    minutes=15,
    hints=[
        "Run the prompt with the hook: `with model.hooks(fwd_hooks=[(name, replace)]):` and "
        "run_with_cache inside.",
        "w is what was taken away: the write of the plain run minus the one put in its place, at "
        "the last position.",
        "The share of a state's change that lies along w is (before - after) @ w / (w @ w).",
    ],
    tolerance=LOOSE,
)


@cache
def _copying_then_erasing(erase: float) -> CourseTransformer:
    """Layer 0's head writes the token along other dimensions; layer 1 adds -erase times that."""
    cfg = CourseConfig(n_layers=2, n_heads=1, d_model=8, d_head=4, d_vocab=5, n_ctx=8)
    model = CourseTransformer.blank(cfg)
    unit = torch.eye(8)
    low, high = unit[:, :4], unit[4:]
    model.set_head(0, 0, W_V=low, W_O=high)
    model.set_head(1, 0, W_V=unit[:, 4:], W_O=-erase * high)
    with torch.no_grad():
        model.embed.W_E.copy_(F.pad(normal(5, 4), (0, 4)))
    return model.requires_grad_(False)


def _pair(pos: int, seed: int, d_vocab: int = 30) -> tuple[Tensor, Tensor]:
    prompt = random_tokens(1, pos, d_vocab, seed)
    other = random_tokens(1, pos, d_vocab, seed + 77)
    return prompt, other


@write_survival.cases
def _survival_cases() -> Iterator[Case]:
    one, other = torch.tensor([[1]]), torch.tensor([[2]])
    yield Case("a write that nobody touches", _copying_then_erasing(0.0), one, other, 0)
    yield Case("a write that layer 1 erases", _copying_then_erasing(1.0), one, other, 0)
    yield Case("a write that layer 1 overturns", _copying_then_erasing(1.5), one, other, 0)
    for seed, (what, model) in enumerate(_models()):
        for layer in range(2):
            yield Case(f"layer {layer}, {what}", model, *_pair(5 + seed, seed), layer)


def _last_states(model: Any, tokens: Tensor, *hooks: tuple[str, Any]) -> Tensor:
    seen: list[Tensor] = []

    def keep(value: Tensor, hook: Any) -> None:
        seen.append(value[0, -1].clone())

    kept = [(name, keep) for name in state_names(model)]
    model.run_with_hooks(tokens, fwd_hooks=[*hooks, *kept])
    return torch.stack(seen)


def _survival(
    model: Any, prompt: Tensor, other: Tensor, layer: int, everywhere: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The states before and after the replacement, and what was replaced."""
    name = f"blocks.{layer}.hook_attn_out"
    mine, theirs = (_activations(model, tokens)[name] for tokens in (prompt, other))

    def replace(value: Tensor, hook: Any) -> Tensor:
        if everywhere:
            return theirs.clone()
        value[:, -1] = theirs[:, -1]
        return value

    before = _last_states(model, prompt)
    return before, _last_states(model, prompt, (name, replace)), (mine - theirs)[0, -1]


@write_survival.oracle
def _survival_oracle(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    before, after, w = _survival(model, prompt, other, layer)
    return torch.stack(
        [((b - a) * w).sum() / (w * w).sum() for b, a in zip(before, after, strict=True)]
    )


@write_survival.wrong("the sign is turned round: the plain run minus the changed one.")
def changed_minus_plain(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    return -_survival_oracle(model, prompt, other, layer)


@write_survival.wrong(
    "you divided by the length of w once. For a share, divide by w @ w: the length once for the "
    "direction and once for the size."
)
def divided_once(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    before, after, w = _survival(model, prompt, other, layer)
    return (before - after) @ w / w.norm()


@write_survival.wrong("that is a cosine: it forgets how large the change is.")
def cosine(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    before, after, w = _survival(model, prompt, other, layer)
    return F.cosine_similarity(before - after, w.expand_as(before), dim=-1)


@write_survival.wrong(
    "you projected the states of the plain run. Other layers write along w too; only the *change* "
    "when the write is replaced is due to it."
)
def state_projected(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    before, _, w = _survival(model, prompt, other, layer)
    return before @ w / (w @ w)


@write_survival.wrong(
    "you compared how long the change is, not how much of it lies along w: what later layers add "
    "in other directions is not the write."
)
def lengths(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    before, after, w = _survival(model, prompt, other, layer)
    return (before - after).norm(dim=-1) / w.norm()


@write_survival.wrong(
    "the write was replaced at every position. Replace the last one's alone: `attn_out[:, -1]`."
)
def replaced_everywhere(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    before, after, w = _survival(model, prompt, other, layer, everywhere=True)
    return (before - after) @ w / (w @ w)


@write_survival.wrong(
    "w is the whole write. Only the difference to the other prompt's write was taken away, so that "
    "is what can survive."
)
def whole_write(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    before, after, _ = _survival(model, prompt, other, layer)
    w = _activations(model, prompt)[f"blocks.{layer}.hook_attn_out"][0, -1]
    return (before - after) @ w / (w @ w)


# --- questions --------------------------------------------------------------------------------

checks.quiz(
    "what_is_summed",
    "From chapter 01: what is the residual stream after the last layer?",
    {
        "the output of the last layer": "The last layer adds to what was there. Nothing is ever "
        "replaced.",
        "the embedding plus everything every layer wrote": "A plain sum. That is why it can be "
        "stopped and read in the middle, and taken apart afterwards.",
        "a weighted mean of all layers' outputs": "No weights: layers add.",
    },
    answer="the embedding plus everything every layer wrote",
)

checks.quiz(
    "head_writes",
    "From chapter 04: what does an attention head add to the residual stream at a position?",
    {
        "its pattern times the residual stream": "The values are W_V of the stream, and what they "
        "mix to goes through W_O.",
        "z times W_O": "z is what it gathered, W_O says where to write it. This chapter reads that "
        "write as a prediction.",
        "the token it looks at most": "A head writes a vector; that it is a token's is what a "
        "copying score claims.",
    },
    answer="z times W_O",
)

checks.quiz(
    "score_is_no_cause",
    "From chapter 05: a pair of heads has a high composition score. What follows?",
    {
        "the one feeds the other": "It could. Chapter 05 cut such pairs and nothing happened.",
        "they fit; whether it matters takes an intervention": "The same will be true of lenses: "
        "what can be read is not what is used.",
        "nothing": "A score is a good way to choose what to test.",
    },
    answer="they fit; whether it matters takes an intervention",
)

checks.prediction(
    "when_does_it_know",
    "A real model continues 'The capital of France is' with ' Paris'. From which layer on will the "
    "lens have that word on top?",
    {"in the first third": "", "in the second third": "", "in the last third": ""},
)

checks.prediction(
    "what_early_layers_say",
    "What is on top in the first half of the layers, at the last position?",
    {
        "the token that stands there": "At state 0 it is, where embedding and unembedding are "
        "tied: look at the first column. Not for long.",
        "words of the right kind": "Look at the picture: with some models that is so from the "
        "middle on.",
        "signs and filler, whatever the prompt": "Look at the picture, and at how little the "
        "prompt matters.",
    },
)

checks.prediction(
    "sum_of_normed",
    "You norm every write by itself, in place of using the scale of the whole run. The sum of all "
    "contributions is then ...",
    {
        "still the logit": "The norm of a sum is not the sum of norms.",
        "too large": "Every write is blown up to the same length, and there are many.",
        "too small": "Every write is blown up to the same length, and there are many.",
    },
    answer="too large",
)

checks.prediction(
    "swap_state",
    "At a layer where the lens says nothing of the capital, you replace the state at the last "
    "position by that of 'The capital of Italy is', and let the model go on. It says ...",
    {" Paris": "", " Rome": "", "something else": ""},
)

checks.prediction(
    "lens_on_other_text",
    "The tuned lens is trained on a few pages of Alice in Wonderland. On Pride and Prejudice ...",
    {
        "it reads better than the logit lens": "",
        "it reads worse: it has learned Alice": "",
        "there is no difference": "",
    },
)

checks.prediction(
    "direct_and_total",
    "An attention layer's direct contribution to the logit difference is negative. If you take "
    "away what it wrote about this prompt, the logit difference ...",
    {
        "rises": "So direct attribution suggests.",
        "falls": "That happens where the direct effect is not the main one.",
        "either": "Direct attribution sees only what a write does to the logits itself, not what "
        "later layers make of it.",
    },
    answer="either",
)

checks.explanation(
    "why_two_scales",
    "Why is the norm computed anew for a lens, and its scale kept for an attribution?",
    "A lens asks what the model would say if it stopped here, and then the norm would see this "
    "state; an attribution asks how one number that was computed is made up, and there was one "
    "scale, the same for all parts.",
)

checks.explanation(
    "what_a_lens_shows",
    "The tuned lens finds the answer in a layer where the logit lens does not. What has been "
    "shown, and what has not?",
    "That the answer can be had from the state by an affine map; not that later layers use that "
    "map, which an intervention on the state has to show.",
)
