"""Chapter 07, Activation patching: patches of places, heads and paths, estimates and ablations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks import ChapterChecks
from circuits_course.checks.inputs import normal, random_model, random_tokens
from circuits_course.circuits import patching
from circuits_course.circuits.gates import gate_model
from circuits_course.circuits.patching.stages import Run, stages_of
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

checks = ChapterChecks("07_activation_patching")

LOGITS = Tolerance(atol=2e-3, rtol=1e-3)  # logits of the case models are of size 1 to 100
Metric = Callable[[Tensor], Tensor]
Swap = Callable[[Tensor], Tensor]
Edits = dict[tuple[str, int], Swap]
Head = tuple[int, int]


@cache
def _whole_model(seed: int = 5) -> CourseTransformer:
    """With MLPs and norms, at sizes where each of them leaves a mark."""
    cfg = CourseConfig(
        n_layers=3, n_heads=3, d_model=20, d_head=6, d_vocab=30, n_ctx=16,
        d_mlp=28, normalization_type="LNPre",
    )  # fmt: skip
    model = CourseTransformer(cfg)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            drawn = torch.randn(weight.shape, generator=generator)
            weight.copy_(drawn * (1.5 / weight.shape[-2] ** 0.5 if weight.ndim > 1 else 0.1))
        model.embed.W_E.copy_(normal(30, 20, seed=seed + 1))
        model.pos_embed.W_pos.copy_(normal(16, 20, seed=seed + 2))
    return model.requires_grad_(False)


def _pair(batch: int, pos: int, seed: int, first: int = 1) -> tuple[Tensor, Tensor]:
    """Clean and corrupted tokens that agree before position `first`."""
    clean = random_tokens(batch, pos, seed=seed)
    corrupted = random_tokens(batch, pos, seed=seed + 100)
    corrupted[:, :first] = clean[:, :first]
    return clean, corrupted


def _as_tokens(model: Any, prompt: Any) -> Tensor:
    return model.to_tokens(prompt) if isinstance(prompt, str) else prompt


def _run(
    model: Any, prompt: Any, edits: Edits | None = None, keep: tuple[str, ...] = ()
) -> tuple[Tensor, Run]:
    """Logits of a run taken apart into its stages, some of them edited; no hooks, no cache."""
    tokens = _as_tokens(model, prompt)
    edits = edits or {}

    def edit(name: str, layer: int, value: Tensor) -> Tensor:
        change = edits.get((name, layer))
        return value if change is None else change(value)

    stages = stages_of(model, tokens)
    run = stages.run(tokens, edit, keep=keep)
    return stages.logits(run.resid_final), run


def _kept(model: Any, prompt: Any, name: str) -> list[Tensor]:
    """One activation of every layer in a plain run."""
    return getattr(_run(model, prompt, keep=(name,))[1], name)


def _put(new: Tensor, *index: Any) -> Swap:
    """Replaces value[index] by new[index]."""

    def change(value: Tensor) -> Tensor:
        value = value.clone()
        value[index] = new[index]
        return value

    return change


EVERY = slice(None)


# --- patching_metric --------------------------------------------------------------------------

patching_metric = checks.exercise(
    "patching_metric",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "One number for each of three runs first: the mean over prompts of logit(right) minus "
        "logit(wrong), read at the last position.",
        "Which straight line sends the corrupted run's number to 0 and the clean run's to 1?",
        "(patched - corrupted) / (clean - corrupted). For each prompt's own token: "
        "run[torch.arange(len(run)), -1, right].",
    ],
)


def _logits_with(*rows: tuple[float, float, float], before: float = 0.0) -> Tensor:
    """[batch, 2, 3]: the given logits at the last position, others before it."""
    last = torch.tensor(rows)[:, None]
    return torch.cat(
        [before + torch.zeros_like(last).index_fill(2, torch.tensor([1]), 7.0), last], 1
    )


@patching_metric.cases
def _metric_cases() -> Iterator[Case]:
    clean, corrupted = _logits_with((5.0, 1.0, 0.0)), _logits_with((1.0, 3.0, 0.0))
    halfway = _logits_with((3.0, 2.0, 0.0), before=2.0)
    yield Case("a run whose logit difference lies halfway", halfway, clean, corrupted)
    yield Case("the corrupted run itself", corrupted, clean, corrupted)
    beyond = _logits_with((0.0, 6.0, 9.0))
    yield Case("a run that is worse than the corrupted one", beyond, clean, corrupted)
    two_clean = _logits_with((9.0, 0.0, 1.0), (0.0, 1.5, 1.0))
    two_bad = _logits_with((0.0, 9.0, 1.0), (0.5, 1.0, 1.2))
    two = _logits_with((2.0, 1.0, 0.0), (0.0, 1.0, 1.9))
    yield Case(
        "two prompts with different answers, the second hardly corrupted", two, two_clean, two_bad
    )
    for seed, (batch, pos, d_vocab) in enumerate([(3, 4, 11), (5, 2, 7)]):
        runs = 3 * normal(3, batch, pos, d_vocab, seed=seed)
        right, wrong = torch.arange(batch) % 5, 5 + torch.arange(batch) % 2
        runs[1, range(batch), -1, right] += 6.0
        yield Case("random logits, with the answers named", *runs, right, wrong)


def _difference(run: Tensor, right: Tensor, wrong: Tensor, position: int = -1) -> Tensor:
    rows = [x[position, r] - x[position, w] for x, r, w in zip(run, right, wrong, strict=True)]
    return torch.stack(rows)


def _answers(clean: Tensor, corrupted: Tensor, right: Any, wrong: Any) -> tuple[Tensor, Tensor]:
    right = clean[:, -1].argmax(-1) if right is None else right
    wrong = corrupted[:, -1].argmax(-1) if wrong is None else wrong
    return right, wrong


def _three(logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any, wrong: Any) -> Any:
    tokens = _answers(clean, corrupted, right, wrong)
    return [_difference(run, *tokens) for run in (logits, clean, corrupted)]


@patching_metric.oracle
def _metric_oracle(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> float:
    patched, high, low = (x.sum().item() for x in _three(logits, clean, corrupted, right, wrong))
    return (patched - low) / (high - low)


@patching_metric.wrong(
    "that is the logit difference itself. Put it on the scale on which the corrupted run is 0 and "
    "the clean run 1."
)
def not_normalised(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    return _three(logits, clean, corrupted, right, wrong)[0].mean()


@patching_metric.wrong(
    "the ends are exchanged: yours is 0 on the clean run and 1 on the corrupted one. Subtract the "
    "corrupted run's logit difference, and divide by clean minus corrupted."
)
def ends_exchanged(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    patched, high, low = (x.mean() for x in _three(logits, clean, corrupted, right, wrong))
    return (patched - high) / (low - high)


@patching_metric.wrong(
    "you divided by the clean run's logit difference alone. The corrupted run does not score 0 "
    "then; subtract its logit difference above and below the line."
)
def corrupted_not_subtracted(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    patched, high, _ = (x.mean() for x in _three(logits, clean, corrupted, right, wrong))
    return patched / high


@patching_metric.wrong(
    "the corrupted run is subtracted above the line and not below: the clean run does not score 1."
)
def divided_by_clean_alone(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    patched, high, low = (x.mean() for x in _three(logits, clean, corrupted, right, wrong))
    return (patched - low) / high


@patching_metric.wrong(
    "you normalised each prompt and then took the mean. A prompt that the corruption hardly "
    "changes has next to nothing below the line and drowns all others: take means first."
)
def mean_of_ratios(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    patched, high, low = _three(logits, clean, corrupted, right, wrong)
    return ((patched - low) / (high - low)).mean()


@patching_metric.wrong(
    "you averaged over all positions. The answer is read at the last position alone."
)
def all_positions(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    tokens = _answers(clean, corrupted, right, wrong)
    means = [
        torch.stack([_difference(run, *tokens, p) for p in range(run.shape[1])]).mean()
        for run in (logits, clean, corrupted)
    ]
    return (means[0] - means[2]) / (means[1] - means[2])


@patching_metric.wrong(
    "these are probabilities. Asked is the difference of logits; why it is the better measure is "
    "shown further down."
)
def probabilities(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> float:
    right, wrong = _answers(clean, corrupted, right, wrong)
    runs = [run.softmax(-1) for run in (logits, clean, corrupted)]
    return _metric_oracle(*runs, right, wrong)


@patching_metric.wrong(
    "you followed the logit of the right answer alone. A patch that raises every logit would look "
    "like a success: subtract the wrong answer's."
)
def right_answer_alone(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    right, _ = _answers(clean, corrupted, right, wrong)
    rows = torch.arange(len(right))
    patched, high, low = (run[rows, -1, right].mean() for run in (logits, clean, corrupted))
    return (patched - low) / (high - low)


@patching_metric.wrong(
    "you clipped the result to 0 and 1. Below 0 and above 1 are findings: patches that make things "
    "worse, or better than the clean run."
)
def clipped(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> float:
    return min(max(_metric_oracle(logits, clean, corrupted, right, wrong), 0.0), 1.0)


@patching_metric.wrong(
    "every prompt was read with the first prompt's answers. `right` and `wrong` hold one token for "
    "each prompt: index rows and tokens together."
)
def first_answers_for_all(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> float:
    right, wrong = _answers(clean, corrupted, right, wrong)
    return _metric_oracle(
        logits, clean, corrupted, right[:1].expand_as(right), wrong[:1].expand_as(wrong)
    )


# --- patch_residual ---------------------------------------------------------------------------

patch_residual = checks.exercise(
    "patch_residual",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "The hook is handed the corrupted run's residual stream, [batch, pos, d_model]. Which part "
        "of it has to come from clean_cache[name]?",
        "One position of every prompt: resid[:, position] on both sides of the equals sign.",
        "model.run_with_hooks(prompt, fwd_hooks=[(name, put_clean)]) returns logits. The prompt to "
        "run is the corrupted one: the clean one is in the cache already.",
    ],
    tolerance=LOGITS,
)


@patch_residual.cases
def _residual_cases() -> Iterator[Case]:
    both = gate_model("or"), "11=", "00="
    yield Case("a gate that says 1 where any bit is 1, with its second bit put back", *both, 0, 2)
    yield Case("the same gate at a position that both prompts share", *both, 0, 3)
    sizes = [(2, 5), (3, 7), (4, 6)]
    for seed, ((batch, pos), where) in enumerate(zip(sizes, [(1, 1), (2, 3), (0, 2)], strict=True)):
        yield Case("random prompts", random_model(seed=seed), *_pair(batch, pos, seed), *where)
    yield Case("a model with MLPs and norms", _whole_model(), *_pair(3, 6, 9), 1, 2)


def _residual(model: Any, clean: Any, corrupt: Any, layer: int, *index: Any) -> Tensor:
    new = _kept(model, clean, "resid_pre")[layer]
    return _run(model, corrupt, {("resid_pre", layer): _put(new, *index)})[0]


@patch_residual.oracle
def _residual_oracle(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    return _residual(model, clean_prompt, corrupt_prompt, layer, EVERY, position)


@patch_residual.wrong(
    "clean and corrupted are exchanged: you put the corrupted residual stream into the clean run. "
    "That is noising; asked is denoising."
)
def noised_residual(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    return _residual_oracle(model, corrupt_prompt, clean_prompt, layer, position)


@patch_residual.wrong(
    "nothing was patched: these are the corrupted run's logits. Does your hook change `resid`, and "
    "does it return it?"
)
def residual_untouched(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    return _run(model, corrupt_prompt)[0]


@patch_residual.wrong(
    "these are the clean run's logits. Run the corrupted prompt: the clean one is what you patch "
    "from."
)
def clean_run(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    return _run(model, clean_prompt)[0]


@patch_residual.wrong(
    "you replaced every position, so nothing of the corrupted run is left from there on: these are "
    "the clean run's logits. Pick the position on axis 1."
)
def every_position(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    return _residual(model, clean_prompt, corrupt_prompt, layer, EVERY, slice(position + 1))


@patch_residual.wrong(
    "you replaced what *leaves* the layer. resid_pre is what enters it; resid_post of this layer "
    "is resid_pre of the next."
)
def residual_after_the_layer(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    def after(prompt: Any) -> Tensor:
        run = _run(model, prompt, keep=("resid_pre", "attn_out", "mlp_out"))[1]
        return run.resid_pre[layer] + run.attn_out[layer] + run.mlp_out[layer]

    swap = _put(after(clean_prompt), EVERY, position)(after(corrupt_prompt))
    if layer == model.cfg.n_layers - 1:
        return stages_of(model, _as_tokens(model, clean_prompt)).logits(swap)
    return _run(model, corrupt_prompt, {("resid_pre", layer + 1): lambda _: swap})[0]


@patch_residual.wrong(
    "the index stands on the batch axis: `resid[position]` is one whole prompt. Positions are on "
    "axis 1: `resid[:, position]`."
)
def position_on_the_batch_axis(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    return _residual(model, clean_prompt, corrupt_prompt, layer, position)


@patch_residual.wrong(
    "you patched one position further on. Positions count the BOS token, and the first one is 0."
)
def one_position_on(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    last = _as_tokens(model, clean_prompt).shape[1] - 1
    return _residual_oracle(model, clean_prompt, corrupt_prompt, layer, min(position + 1, last))


@patch_residual.wrong(
    "the clean residual stream was added to the corrupted one. A patch *replaces*: = and not +=."
)
def residual_added(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    both = (
        _kept(model, clean_prompt, "resid_pre")[layer]
        + (_kept(model, corrupt_prompt, "resid_pre")[layer])
    )
    return _run(model, corrupt_prompt, {("resid_pre", layer): _put(both, EVERY, position)})[0]


# --- position_sweep ---------------------------------------------------------------------------

position_sweep = checks.exercise(
    "position_sweep",
    difficulty=1,
    importance=5,
    minutes=6,
    hints=[
        "Two loops, one call of patch_residual in the middle.",
        "result[layer, position] = metric(patch_residual(...)): the metric of each patched run as "
        "it is, with nothing else patched in that run.",
    ],
    tolerance=LOGITS,
)


class Reads:
    """Mean logit of one token minus another's, at one position."""

    def __init__(self, right: int, wrong: int, position: int = -1) -> None:
        self.right, self.wrong, self.position = right, wrong, position

    def __call__(self, logits: Tensor) -> Tensor:
        read = logits[:, self.position]
        return (read[:, self.right] - read[:, self.wrong]).mean()

    def __repr__(self) -> str:
        return f"logit of token {self.right} minus logit of token {self.wrong}"


def _sweep_inputs() -> Iterator[tuple[Any, ...]]:
    yield "an AND gate of two bits", gate_model("and"), "11=", "01=", Reads(2, 1)
    yield "an OR gate of two bits", gate_model("or"), "11=", "00=", Reads(2, 1)
    small = random_model(2, 3, 1)
    yield "random prompts", small, *_pair(2, 5, 0), Reads(3, 8)
    yield "three layers of four heads", random_model(), *_pair(3, 6, 1, first=2), Reads(11, 5)
    yield "a model with MLPs and norms", _whole_model(), *_pair(2, 7, 2), Reads(4, 20)


@position_sweep.cases
def _position_sweep_cases() -> Iterator[Case]:
    for inputs in _sweep_inputs():
        yield Case(*inputs)


def _every_place(model: Any, clean: Any, value: Callable[[int, int], Tensor]) -> Tensor:
    n_pos = _as_tokens(model, clean).shape[1]
    rows = [[float(value(la, p)) for p in range(n_pos)] for la in range(model.cfg.n_layers)]
    return torch.tensor(rows)


@position_sweep.oracle
def _position_oracle(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return _every_place(
        model,
        clean_prompt,
        lambda la, p: metric(_residual_oracle(model, clean_prompt, corrupt_prompt, la, p)),
    )


@position_sweep.wrong("rows and columns are exchanged: layers are on axis 0, positions on axis 1.")
def positions_down(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return _position_oracle(model, clean_prompt, corrupt_prompt, metric).T


@position_sweep.wrong(
    "clean and corrupted are exchanged: you patched corrupted states into the clean run."
)
def noised_positions(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return _position_oracle(model, corrupt_prompt, clean_prompt, metric)


@position_sweep.wrong(
    "patches pile up: in your runs all positions up to this one are clean. Each entry belongs to "
    "a run with one patch."
)
def patches_pile_up(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    def value(layer: int, position: int) -> Tensor:
        until = slice(position + 1)
        return metric(_residual(model, clean_prompt, corrupt_prompt, layer, EVERY, until))

    return _every_place(model, clean_prompt, value)


@position_sweep.wrong(
    "you subtracted the corrupted run's metric. Return the metric of the patched run as it is; "
    "whoever calls may normalise it."
)
def change_by_position(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric
) -> Tensor:
    whole = _position_oracle(model, clean_prompt, corrupt_prompt, metric)
    return whole - metric(_run(model, corrupt_prompt)[0])


@position_sweep.wrong(
    "BOS was left out: positions count it, so there is one column more, the first."
)
def without_bos(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return _position_oracle(model, clean_prompt, corrupt_prompt, metric)[:, 1:]


@position_sweep.wrong(
    "every entry is the same number, that of an unpatched run. Measure the logits that "
    "patch_residual returns."
)
def never_patched(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    corrupted = metric(_run(model, corrupt_prompt)[0])
    return _every_place(model, clean_prompt, lambda la, p: corrupted)


@position_sweep.wrong(
    "layers are off by one: row 0 is the residual stream that enters layer 0, the embedding."
)
def one_layer_late(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return _every_place(
        model,
        clean_prompt,
        lambda la, p: metric(residual_after_the_layer(model, clean_prompt, corrupt_prompt, la, p)),
    )


# --- patch_head -------------------------------------------------------------------------------

patch_head = checks.exercise(
    "patch_head",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "It is patch_residual with another activation and another axis. A head's output before W_O "
        'is z: utils.get_act_name("z", layer).',
        "z is [batch, pos, head, d_head]. Every prompt and every position, one head.",
        "z[:, :, head] = clean_cache[name][:, :, head] in a hook on the corrupted prompt's run.",
    ],
    tolerance=LOGITS,
)


@patch_head.cases
def _head_cases() -> Iterator[Case]:
    both = gate_model("or"), "11=", "00="
    yield Case("an OR gate whose second head, 0.1, is put back", *both, 0, 1)
    yield Case(
        "an AND gate whose first head, 0.0, is put back", gate_model("and"), "11=", "01=", 0, 0
    )
    yield Case("random prompts, head 2.1", random_model(), *_pair(2, 5, 0), 2, 1)
    yield Case("random prompts, head 1.2", random_model(seed=1), *_pair(3, 7, 1, first=3), 1, 2)
    yield Case("a model with MLPs and norms, head 0.2", _whole_model(), *_pair(4, 6, 2), 0, 2)


def _head_patched(
    model: Any, clean: Any, corrupt: Any, layer: int, *index: Any, name: str = "z"
) -> Tensor:
    new = _kept(model, clean, name)[layer]
    return _run(model, corrupt, {(name, layer): _put(new, *index)})[0]


@patch_head.oracle
def _head_oracle(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return _head_patched(model, clean_prompt, corrupt_prompt, layer, EVERY, EVERY, head)


@patch_head.wrong(
    "clean and corrupted are exchanged: you put the corrupted head into the clean run. That is "
    "noising; asked is denoising. Mind the order of the arguments: clean_prompt comes first."
)
def noised_head(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return _head_oracle(model, corrupt_prompt, clean_prompt, layer, head)


@patch_head.wrong(
    "nothing was patched: these are the corrupted run's logits. Does the hook return z? And does "
    "its name carry the layer?"
)
def head_untouched(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return _run(model, corrupt_prompt)[0]


@patch_head.wrong(
    "these are the clean run's logits: run the corrupted prompt, and take only the head from the "
    "clean one."
)
def whole_clean_run(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return _run(model, clean_prompt)[0]


@patch_head.wrong(
    "all heads of the layer were replaced. Pick one, on axis 2 of z: [batch, pos, head, d_head]."
)
def whole_layer(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return _head_patched(model, clean_prompt, corrupt_prompt, layer, EVERY)


@patch_head.wrong(
    "the head's number stands on the position axis. z is [batch, pos, head, d_head]: write "
    "z[:, :, head]."
)
def head_on_the_position_axis(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return _head_patched(model, clean_prompt, corrupt_prompt, layer, EVERY, head)


@patch_head.wrong(
    "layer and head are exchanged. Arguments and names give the layer first: 2.1 is head 1 of "
    "layer 2."
)
def layer_for_head(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return _head_oracle(model, clean_prompt, corrupt_prompt, head, layer)


@patch_head.wrong(
    "you patched the last position alone. Heads that work at earlier positions would never be "
    "found: replace all of them."
)
def last_position_only(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return _head_patched(model, clean_prompt, corrupt_prompt, layer, EVERY, -1, head)


@patch_head.wrong(
    "you patched the attention pattern: where the head looks. What it says there is made of the "
    "corrupted values still. z has both."
)
def pattern_patched(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return _head_patched(model, clean_prompt, corrupt_prompt, layer, EVERY, head, name="pattern")


@patch_head.wrong(
    "you patched the values v: what the head could move. Where it looks is that of the corrupted "
    "run still. z has both."
)
def values_patched(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return _head_patched(model, clean_prompt, corrupt_prompt, layer, EVERY, EVERY, head, name="v")


@patch_head.wrong(
    "the head was set to zero. That is ablation; a patch puts in what the head said on the clean "
    "prompt."
)
def zeroed(model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int) -> Tensor:
    nothing = torch.zeros_like(_kept(model, corrupt_prompt, "z")[layer])
    return _run(model, corrupt_prompt, {("z", layer): _put(nothing, EVERY, EVERY, head)})[0]


@patch_head.wrong(
    "the clean output was added to the corrupted one. A patch replaces: = and not +=."
)
def head_added(model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int) -> Tensor:
    clean, corrupted = (_kept(model, prompt, "z") for prompt in (clean_prompt, corrupt_prompt))
    both = clean[layer] + corrupted[layer]
    return _run(model, corrupt_prompt, {("z", layer): _put(both, EVERY, EVERY, head)})[0]


# --- head_sweep -------------------------------------------------------------------------------

head_sweep = checks.exercise(
    "head_sweep",
    difficulty=2,
    importance=5,
    minutes=8,
    hints=[
        "For denoising it is position_sweep with patch_head. For noising: what does patch_head do "
        "when you hand it the prompts in the other order?",
        "result = torch.zeros(model.cfg.n_layers, model.cfg.n_heads), two loops, and "
        "patch_head(model, source, base, layer, head) with source and base chosen by `mode`.",
    ],
    tolerance=LOGITS,
)


@head_sweep.cases
def _head_sweep_cases() -> Iterator[Case]:
    for i, (what, *inputs) in enumerate(_sweep_inputs()):
        yield Case(f"{what}, denoising", *inputs, "denoising")
        if i != 3:
            yield Case(f"{what}, noising", *inputs, "noising")


def _every_head(model: Any, value: Callable[[int, int], Tensor]) -> Tensor:
    layers, heads = range(model.cfg.n_layers), range(model.cfg.n_heads)
    return torch.tensor([[float(value(la, h)) for h in heads] for la in layers])


def _in_order(clean: Any, corrupt: Any, mode: str) -> tuple[Any, Any]:
    """What is patched from, and what is run."""
    return (clean, corrupt) if mode == "denoising" else (corrupt, clean)


@head_sweep.oracle
def _head_sweep_oracle(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    source, base = _in_order(clean_prompt, corrupt_prompt, mode)
    return _every_head(model, lambda la, h: metric(_head_oracle(model, source, base, la, h)))


@head_sweep.wrong("`mode` is not used: both directions give the denoising sweep.")
def always_denoising(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    return _head_sweep_oracle(model, clean_prompt, corrupt_prompt, metric)


@head_sweep.wrong(
    "the two directions are exchanged. Denoising runs the corrupted prompt and puts clean outputs "
    "in; noising runs the clean prompt and puts corrupted outputs in."
)
def directions_exchanged(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    return _head_sweep_oracle(model, corrupt_prompt, clean_prompt, metric, mode)


@head_sweep.wrong("rows and columns are exchanged: layers are on axis 0, heads on axis 1.")
def heads_down(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    return _head_sweep_oracle(model, clean_prompt, corrupt_prompt, metric, mode).T


@head_sweep.wrong(
    "you subtracted the unpatched run's metric. Return the metric of the patched run as it is."
)
def change_by_head(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    _, base = _in_order(clean_prompt, corrupt_prompt, mode)
    whole = _head_sweep_oracle(model, clean_prompt, corrupt_prompt, metric, mode)
    return whole - metric(_run(model, base)[0])


@head_sweep.wrong(
    "noising was computed from denoising, as if what a head restores were what its loss costs. "
    "Gates show that the two differ: run it."
)
def noising_from_denoising(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    restored = _head_sweep_oracle(model, clean_prompt, corrupt_prompt, metric)
    if mode == "denoising":
        return restored
    ends = [metric(_run(model, prompt)[0]) for prompt in (clean_prompt, corrupt_prompt)]
    return ends[0] + ends[1] - restored


@head_sweep.wrong(
    "patches pile up: heads patched earlier in the loop are still patched. Each entry belongs to a "
    "run with one patched head."
)
def heads_pile_up(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    source, base = _in_order(clean_prompt, corrupt_prompt, mode)
    z = _kept(model, source, "z")

    def value(layer: int, head: int) -> Tensor:
        edits: Edits = {("z", la): _put(z[la]) for la in range(layer)}
        edits["z", layer] = _put(z[layer], EVERY, EVERY, slice(head + 1))
        return metric(_run(model, base, edits)[0])

    return _every_head(model, value)


@head_sweep.wrong("the heads of a layer are patched together, so each row holds one number.")
def layers_at_once(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    source, base = _in_order(clean_prompt, corrupt_prompt, mode)
    return _every_head(model, lambda la, h: metric(_head_patched(model, source, base, la, EVERY)))


# --- path_patch -------------------------------------------------------------------------------

path_patch = checks.exercise(
    "path_patch",
    difficulty=4,
    importance=5,
    minutes=20,
    hints=[
        "`freeze` runs at every layer. Which one entry of the clean z may not stay clean, and in "
        "which layer? hook.name tells you where you are.",
        "The run with everything frozen is made for one thing: what the receiver reads in it, "
        "which `listen` keeps. Its logits are thrown away.",
        "The last run is the clean prompt with nothing frozen and one hook: `say`, at the same "
        "name as `listen`.",
    ],
    tolerance=LOGITS,
)


@path_patch.cases
def _path_cases() -> Iterator[Case]:
    model = random_model()
    for seed, kind in enumerate("qkv"):
        yield Case(
            f"the path from 0.1 to the {kind} of 2.3",
            model,
            *_pair(2, 6, seed),
            (0, 1),
            (2, 3, kind),
        )
    yield Case("a receiver with a layer above it", model, *_pair(2, 5, 8), (0, 2), (1, 0, "k"))
    yield Case("neighbouring layers, as text", model, "abcdef", "abxyef", (1, 3), (2, 0, "v"))
    whole = _whole_model()
    yield Case("a model with MLPs and norms", whole, *_pair(3, 7, 5), (0, 2), (2, 1, "k"))
    yield Case("one MLP between them", whole, *_pair(2, 5, 6), (1, 0), (2, 2, "q"))


def _logits_of_path(model: Any, clean: Any, corrupt: Any, sender: Head, receiver: Any) -> Tensor:
    """By the package's engine, which has no hooks in it."""
    seen: list[Tensor] = []

    def metric(logits: Tensor) -> Tensor:
        seen.append(logits)
        return logits.sum()

    clean_tokens, corrupt_tokens = (_as_tokens(model, prompt) for prompt in (clean, corrupt))
    patching.path_patch(model, clean_tokens, corrupt_tokens, sender, receiver, metric)
    return seen[-1]


def _heard(
    model: Any,
    clean: Any,
    corrupt: Any,
    sender: Head,
    receiver: Any,
    *,
    frozen: bool = True,
    mlps_too: bool = False,
    send: Any = None,
) -> Tensor:
    """What the receiver's whole layer reads when the sender speaks its corrupted output."""
    run = _run(model, clean, keep=("z", "mlp_out"))[1]
    said = _kept(model, corrupt, "z")[sender[0]]
    edits: Edits = {}
    for layer in range(model.cfg.n_layers):
        if frozen:
            edits["z", layer] = _put(run.z[layer])
        if mlps_too:
            edits["mlp_out", layer] = _put(run.mlp_out[layer])
    spoken = _put(said, EVERY, EVERY, sender[1] if send is None else send)
    clean_z = run.z[sender[0]]
    edits["z", sender[0]] = (lambda z: spoken(clean_z)) if frozen else spoken
    return getattr(_run(model, clean, edits, keep=(receiver[2],))[1], receiver[2])[receiver[0]]


def _said(
    model: Any, prompt: Any, heard: Tensor, receiver: Any, more: Edits | None = None
) -> Tensor:
    """A run in which the receiver reads `heard`."""
    layer, head, kind = receiver
    edits: Edits = {**(more or {}), (kind, layer): _put(heard, EVERY, EVERY, head)}
    return _run(model, prompt, edits)[0]


@path_patch.oracle
def _path_oracle(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    return _logits_of_path(model, clean_prompt, corrupt_prompt, sender, receiver)


@path_patch.wrong(
    "the heads between sender and receiver are not frozen, so the receiver also hears what they "
    "made of the sender's message. Return clean_cache[hook.name] from the hook in every layer."
)
def nobody_frozen(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    heard = _heard(model, clean_prompt, corrupt_prompt, sender, receiver, frozen=False)
    return _said(model, clean_prompt, heard, receiver)


@path_patch.wrong(
    "MLPs are frozen, too. Wang et al. (2022) recompute them: what the sender tells the receiver "
    "through an MLP counts as the path."
)
def mlps_frozen(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    heard = _heard(model, clean_prompt, corrupt_prompt, sender, receiver, mlps_too=True)
    return _said(model, clean_prompt, heard, receiver)


@path_patch.wrong(
    "that is activation patching: the sender's corrupted output reaches everybody. Only the "
    "receiver is to hear it; put what it heard into a clean run."
)
def everybody_hears(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    return _head_oracle(model, corrupt_prompt, clean_prompt, *sender)


@path_patch.wrong(
    "nothing was sent: these are the clean run's logits. The sender's head has to be taken from "
    "corrupt_cache, in the hook of its own layer, and what is heard put into the last run."
)
def nothing_sent(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    return _run(model, clean_prompt)[0]


@path_patch.wrong(
    "the prompts are exchanged: the clean run is the one that goes on, with the sender's output "
    "from the corrupted prompt."
)
def prompts_exchanged(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    return _path_oracle(model, corrupt_prompt, clean_prompt, sender, receiver)


@path_patch.wrong(
    "every head of the sender's layer spoke its corrupted output. Pick the sender on axis 2."
)
def whole_layer_sends(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    heard = _heard(model, clean_prompt, corrupt_prompt, sender, receiver, send=EVERY)
    return _said(model, clean_prompt, heard, receiver)


@path_patch.wrong(
    "every head of the receiver's layer hears the sender. In the last run replace one head's "
    "input, on axis 2."
)
def whole_layer_hears(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    heard = _heard(model, clean_prompt, corrupt_prompt, sender, receiver)
    return _said(model, clean_prompt, heard, (receiver[0], EVERY, receiver[2]))


@path_patch.wrong(
    "heads are still frozen in the last run, so nobody above the receiver can react. Freeze in the "
    "second run only."
)
def frozen_to_the_end(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    z = _kept(model, clean_prompt, "z")
    heard = _heard(model, clean_prompt, corrupt_prompt, sender, receiver)
    layer, head, _ = receiver
    others: Edits = {("z", la): _put(z[la]) for la in range(model.cfg.n_layers) if la != layer}
    spared = [h for h in range(model.cfg.n_heads) if h != head]
    others["z", layer] = _put(z[layer], EVERY, EVERY, spared)
    frozen = _run(model, clean_prompt, {**others, **_edit_of(heard, receiver)})[0]
    return frozen


def _edit_of(heard: Tensor, receiver: Any) -> Edits:
    layer, head, kind = receiver
    return {(kind, layer): _put(heard, EVERY, EVERY, head)}


@path_patch.wrong(
    "the run with frozen heads is the result. It is only there to find out what the receiver "
    "reads: take a third run, with the receiver alone changed."
)
def logits_of_the_frozen_run(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    z = _kept(model, clean_prompt, "z")
    edits: Edits = {("z", layer): _put(value) for layer, value in enumerate(z)}
    said = _put(_kept(model, corrupt_prompt, "z")[sender[0]], EVERY, EVERY, sender[1])
    edits["z", sender[0]] = lambda _: said(z[sender[0]])
    return _run(model, clean_prompt, edits)[0]


@path_patch.wrong(
    "the receiver reads its whole corrupted input, whoever wrote it. Only the sender is corrupted; "
    "what the receiver reads has to come from the run with frozen heads."
)
def all_of_the_corrupted_input(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    heard = _kept(model, corrupt_prompt, receiver[2])[receiver[0]]
    return _said(model, clean_prompt, heard, receiver)


@path_patch.wrong(
    'the receiver\'s kind is not used: you always patch its queries. Take "q", "k" or "v" from '
    "the receiver for the hook's name."
)
def always_queries(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    return _path_oracle(model, clean_prompt, corrupt_prompt, sender, (*receiver[:2], "q"))


# --- attribution_patch ------------------------------------------------------------------------

attribution_patch = checks.exercise(
    "attribution_patch",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "For a small step, the metric changes by step times slope. The step of a patch is clean z "
        "minus corrupted z; the slope is the gradient, taken where the step starts.",
        "Multiply entry by entry: clean z, corrupted z and gradient are [batch, pos, head, "
        "d_head]. Which axes are summed so that one number is left for each head?",
        "((clean_cache[name] - corrupt_z[name].detach()) * gradient).sum((0, 1, 3)) is one layer; "
        "stack the layers.",
    ],
    tolerance=Tolerance(atol=2e-4, rtol=2e-3),
)


@attribution_patch.cases
def _attribution_cases() -> Iterator[Case]:
    yield Case("an OR gate that lacks both bits", gate_model("or"), "11=", "00=", Reads(2, 1))
    yield Case("a random model", random_model(2, 3, 1), *_pair(2, 5, 0), Reads(3, 8))
    yield Case("three layers of four heads", random_model(), *_pair(3, 6, 1), Reads(11, 5))
    yield Case("a model with MLPs and norms", _whole_model(), *_pair(2, 7, 2), Reads(4, 20))


@cache
def _precise(model: CourseTransformer) -> CourseTransformer:
    """The same model in float64, in which small differences keep their digits."""
    return deepcopy(model).double()


def _slope(
    model: Any, clean: Any, corrupt: Any, metric: Metric, layer: int, head: int, *, at: float = 0.0
) -> Tensor:
    """Change of the metric for a small step from corrupted (0) to clean (1), per unit of step."""
    model = _precise(model)
    old, new = (_kept(model, prompt, "z")[layer][:, :, head] for prompt in (corrupt, clean))
    step = 1e-4

    def value(share: float) -> Tensor:
        def change(z: Tensor) -> Tensor:
            z = z.clone()
            z[:, :, head] += share * (new - old)
            return z

        return metric(_run(model, corrupt, {("z", layer): change})[0])

    return (value(at + step) - value(at - step)) / (2 * step)


@attribution_patch.oracle
def _attribution_oracle(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric
) -> Tensor:
    return _every_head(
        model, lambda la, h: _slope(model, clean_prompt, corrupt_prompt, metric, la, h)
    )


def _parts(model: Any, clean: Any, corrupt: Any, metric: Metric) -> list[tuple[Tensor, ...]]:
    """Clean z, corrupted z and the gradient there, by layer."""
    leaves: list[Tensor] = []

    def with_leaf(z: Tensor) -> Tensor:
        leaves.append(torch.zeros_like(z, requires_grad=True))
        return z + leaves[-1]

    with torch.enable_grad():
        edits: Edits = {("z", layer): with_leaf for layer in range(model.cfg.n_layers)}
        value = metric(_run(model, corrupt, edits)[0])
        gradients = torch.autograd.grad(value, leaves)
    return list(zip(_kept(model, clean, "z"), _kept(model, corrupt, "z"), gradients, strict=True))


@attribution_patch.wrong(
    "the sign is turned: the step goes from corrupted to clean, so clean z comes first."
)
def step_backwards(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return -_attribution_oracle(model, clean_prompt, corrupt_prompt, metric)


@attribution_patch.wrong(
    "the gradient is taken in the clean run. The step starts in the corrupted run, so the slope "
    "belongs there."
)
def slope_at_the_other_end(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric
) -> Tensor:
    return -_attribution_oracle(model, corrupt_prompt, clean_prompt, metric)


@attribution_patch.wrong(
    "the prompts are exchanged: that estimates noising, the corrupted head in the clean run."
)
def noising_estimated(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return _attribution_oracle(model, corrupt_prompt, clean_prompt, metric)


@attribution_patch.wrong(
    "you took means over prompts and positions. The metric's gradient has the mean over prompts in "
    "it already, and a patch changes all positions at once: sum."
)
def means_for_sums(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    parts = _parts(model, clean_prompt, corrupt_prompt, metric)
    return torch.stack([((new - old) * slope).mean((0, 1)).sum(-1) for new, old, slope in parts])


@attribution_patch.wrong(
    "absolute values were taken before the sum, so opposite contributions add up instead of "
    "cancelling. A patch makes all changes at once, with their signs."
)
def signs_lost(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    parts = _parts(model, clean_prompt, corrupt_prompt, metric)
    return torch.stack([((new - old) * slope).abs().sum((0, 1, 3)) for new, old, slope in parts])


@attribution_patch.wrong(
    "the clean z is multiplied with the gradient, not the step to it: subtract the corrupted z."
)
def value_for_step(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    parts = _parts(model, clean_prompt, corrupt_prompt, metric)
    return torch.stack([(new * slope).sum((0, 1, 3)) for new, old, slope in parts])


@attribution_patch.wrong("the last position alone was counted: sum over all positions (axis 1).")
def last_position_counted(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric
) -> Tensor:
    parts = _parts(model, clean_prompt, corrupt_prompt, metric)
    return torch.stack([((new - old) * slope)[:, -1].sum((0, 2)) for new, old, slope in parts])


@attribution_patch.wrong(
    "these are exact changes, one run for each head. Asked is the estimate from one gradient."
)
def exact_changes(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return change_by_head(model, clean_prompt, corrupt_prompt, metric)


@attribution_patch.wrong(
    "the corrupted run's metric was added. Return the estimated *change*, without it."
)
def value_for_change(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    change = _attribution_oracle(model, clean_prompt, corrupt_prompt, metric)
    return change + metric(_run(model, corrupt_prompt)[0])


@attribution_patch.wrong(
    "an axis too many was kept, or positions took the place of heads: z is [batch, pos, head, "
    "d_head], and what is kept is axis 2."
)
def positions_for_heads(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric
) -> Tensor:
    parts = _parts(model, clean_prompt, corrupt_prompt, metric)
    return torch.stack([((new - old) * slope).sum((0, 2, 3)) for new, old, slope in parts])


# --- mean_ablate ------------------------------------------------------------------------------

mean_ablate = checks.exercise(
    "mean_ablate",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "First a run on the reference, whose z you keep. Then a run on the prompt, in which the "
        "heads' z is replaced.",
        "The mean is over the reference prompts, axis 0, and keeps positions: [pos, d_head] for "
        "one head. It fits every prompt of the batch.",
        "All heads go in one run: for every layer concerned, a hook that loops over the heads of "
        "its layer. z[:, :, head] = cache[hook.name][:, :, head].mean(0)",
    ],
    tolerance=LOGITS,
)


@mean_ablate.cases
def _ablate_cases() -> Iterator[Case]:
    gate = gate_model("or")
    reference = gate.to_tokens(["10=", "00=", "00=", "00="])
    yield Case(
        "an OR gate whose first bit is 1 in one of four prompts", gate, "10=", reference, [(0, 0)]
    )
    model = random_model()
    prompt, reference = random_tokens(2, 6, seed=1), random_tokens(5, 6, seed=2)
    yield Case("one head", model, prompt, reference, [(1, 2)])
    yield Case("three heads in two layers", model, prompt, reference, [(2, 1), (0, 2), (2, 0)])
    whole = _whole_model()
    prompt, reference = random_tokens(3, 5, seed=3), random_tokens(4, 5, seed=4)
    yield Case("a model with MLPs and norms", whole, prompt, reference, [(0, 1), (1, 0)])


def _ablated(model: Any, prompt: Any, instead: list[Tensor], heads: Any) -> Tensor:
    """z replaced by what broadcasts to [batch, pos, head, d_head]."""
    edits: Edits = {}
    n_prompts = len(_as_tokens(model, prompt))
    for layer in {layer for layer, _ in heads}:
        here = [head for where, head in heads if where == layer]
        new = instead[layer]
        edits["z", layer] = _put(new.expand(n_prompts, *new.shape[1:]), EVERY, EVERY, here)
    return _run(model, prompt, edits)[0]


@mean_ablate.oracle
def _ablate_oracle(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    tokens, others = (_as_tokens(model, x) for x in (prompt, reference))
    return patching.ablate(model, tokens, heads, mode="mean", reference=others)


@mean_ablate.wrong(
    "the heads were set to zero. That also takes away what they always say; asked is their mean "
    "over the reference."
)
def zero_ablated(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    zeros = [torch.zeros_like(z[:1]) for z in _kept(model, prompt, "z")]
    return _ablated(model, prompt, zeros, heads)


@mean_ablate.wrong(
    "the mean was taken over the prompts themselves: it keeps what they have in common, the answer "
    "included. Take it over the reference."
)
def own_mean(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    means = [z.mean(0, keepdim=True) for z in _kept(model, prompt, "z")]
    return _ablated(model, prompt, means, heads)


@mean_ablate.wrong(
    "one mean for all positions. A head says something else at each of them: take the mean over "
    "prompts (axis 0) and keep positions."
)
def mean_over_positions_too(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    kept = _kept(model, reference, "z")
    means = [z.mean((0, 1), keepdim=True).expand(1, *z.shape[1:]) for z in kept]
    return _ablated(model, prompt, means, heads)


@mean_ablate.wrong(
    "one reference prompt took the place of the mean. That is resampling, which brings another "
    "prompt's content in."
)
def first_reference_prompt(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    return _ablated(model, prompt, [z[:1] for z in _kept(model, reference, "z")], heads)


@mean_ablate.wrong(
    "one head alone was replaced. If every head has its own hook, mind that a function made in a "
    "loop sees the loop's last values; replace all heads in one run."
)
def last_head_only(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    return _ablate_oracle(model, prompt, reference, heads[-1:])


@mean_ablate.wrong(
    "one head alone was replaced, the first of the list. Do you return from inside the loop?"
)
def first_head_only(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    return _ablate_oracle(model, prompt, reference, heads[:1])


@mean_ablate.wrong(
    "whole layers were replaced. Pick the heads on axis 2 of z: [batch, pos, head, d_head]."
)
def whole_layers(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    n_heads = range(model.cfg.n_heads)
    every = [(layer, head) for layer in sorted({la for la, _ in heads}) for head in n_heads]
    return _ablate_oracle(model, prompt, reference, every)


@mean_ablate.wrong(
    "these are the logits of the model as it is: nothing was replaced. Does the hook return z?"
)
def nothing_ablated(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    return _run(model, prompt)[0]


@mean_ablate.wrong("each pair was taken as (head, layer). It is (layer, head), as in the name 2.1.")
def pairs_turned(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    return _ablate_oracle(model, prompt, reference, [(head, layer) for layer, head in heads])


# --- questions --------------------------------------------------------------------------------

checks.quiz(
    "what_ablation_asks",
    "From chapter 04: you put zeros in place of a head's output and the loss rises. What do you "
    "know?",
    {
        "that the head's information about this prompt was needed": "Perhaps. But zeros also took "
        "away what the head says on every prompt alike, and later layers may rely on that.",
        "that something which the head adds was needed": "Something: what it says about this "
        "prompt, or what it always says. Mean ablation tells the two apart, and patching asks "
        "only about the difference between two prompts.",
        "what the head does": "An ablation says that a part matters. What it does takes other "
        "experiments, such as which prompt changes it.",
    },
    answer="that something which the head adds was needed",
)

checks.quiz(
    "what_a_path_is",
    "From chapter 05: a previous-token head feeds an induction head. Through what?",
    {
        "the induction head's keys": "It writes, at each position, what stood one before; the "
        "induction head's keys read it.",
        "the induction head's values": "The values carry the token that is copied, and the "
        "embedding holds it already.",
        "the logits": "It changes the logits by way of another head, and hardly itself. That is "
        "why one path can matter where the direct one does not.",
    },
    answer="the induction head's keys",
)

checks.quiz(
    "why_logit_difference",
    "From chapter 06: the prompts ask for the indirect object (IO) and not for the subject (S). "
    "What does the logit of IO minus the logit of S leave out?",
    {
        "whether the model knows that a name comes next": "What raises both names alike cancels. "
        "That is wanted: the question is which of the two.",
        "how the model tells the two apart": "This is what is left: whatever treats the two names "
        "differently.",
        "nothing": "It leaves out all that raises both names alike, such as knowing that a name "
        "comes next.",
    },
    answer="whether the model knows that a name comes next",
)

checks.prediction(
    "where_is_it",
    "Between the two layers of the small model, at which position does the clean residual stream "
    "bring the answer back?",
    {
        "at the first q, where the prompts differ": "",
        "at the x after it": "",
        "at the last q, where the answer is read": "",
    },
)

checks.prediction(
    "gates_denoising",
    "An AND gate reads two bits, each moved by its own head. Clean 11, corrupted 00. You put "
    "back *one* head's clean output. What does the gate say?",
    {
        "1: the head is restored": "An AND needs both. With one bit restored and the other 0 the "
        "answer stays 0.",
        "0: nothing changes": "Each head alone restores nothing, although the gate could not do "
        "without either.",
        "half of each": "A gate has no half. In real models many effects are graded, yet the "
        "threshold is what hides these heads.",
    },
    answer="0: nothing changes",
)

checks.prediction(
    "when_does_it_move",
    "The two prompts differ at the second mention of the subject alone, early in the second half. "
    "In which part of the real model does this information arrive at the last position?",
    {
        "in the first third of the layers": "",
        "in the second third": "",
        "in the last third": "",
    },
)

checks.prediction(
    "negative_heads",
    "Some heads lower the logit difference. Which metric shows them clearly when you patch them "
    "into the corrupted run?",
    {
        "the logit difference": "",
        "the probability of the right answer": "",
        "both alike": "",
    },
)

checks.prediction(
    "estimate_of_previous",
    "The previous-token head of the small model restores most of the answer when it is patched. "
    "What does the estimate from one gradient say of it?",
    {
        "about the same": "",
        "half of it": "",
        "next to nothing": "",
    },
)

checks.prediction(
    "after_the_knock_out",
    "The head with the strongest direct effect adds a certain amount to the logit difference. You "
    "replace it by its mean. By how much does the logit difference fall?",
    {
        "by that amount": "",
        "by less": "",
        "by more": "",
    },
)

checks.explanation(
    "and_or",
    "Which direction of patching finds the inputs of an OR gate, and why does the other one miss "
    "them?",
    "Denoising: one clean input is enough to bring the answer back. Noising one of them changes "
    "nothing, since the other still says 1.",
)

checks.explanation(
    "false_negative",
    "Why can a head that restores the whole answer have a gradient of nearly zero?",
    "The gradient asks what a tiny step does. Where a later softmax is saturated a tiny step moves "
    "nothing, although the whole step moves the attention to another token.",
)

checks.explanation(
    "which_experiment",
    "A paper says: 'we zero-ablated head h and nothing happened, so it does not matter'. Name two "
    "reasons to doubt it.",
    "Another head may say the same (an OR gate) or take over (self-repair), and the metric may not "
    "see the change; noising with a well-chosen prompt, in both directions, would test it.",
)
