"""Exercise `s_inhibition_effect`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.c06_indirect_object_identification.shared import toy_batch
from circuits_course.checks.slips import slip
from circuits_course.circuits.patching import path_patch_sweep


def _rows(batch: Any) -> Tensor:
    return torch.arange(len(batch.tokens))


s_inhibition_effect = Exercise(
    "s_inhibition_effect",
    difficulty=4,
    importance=5,
    minutes=12,
    tolerance=Tolerance(1e-4, 1e-3),
    hints=[
        "The movers are the receivers, and they are to hear through their queries alone: "
        '(layer, head, "q") for each.',
        'The sender speaks at END: position=batch.positions["END"]. Senders are swept for you.',
        "path_patch_sweep gives the metric after patching. The effect is that minus the metric of "
        "the plain run.",
    ],
)


@s_inhibition_effect.cases
def _inhibition_cases() -> Iterator[Case]:
    batch = toy_batch()
    yield Case("one mover in the last layer", batch.model, batch, [(2, 1)])
    yield Case("two movers of different layers", batch.model, batch, [(2, 3), (1, 0)])
    other = toy_batch(4, 3, 1)
    yield Case("a deeper model", other.model, other, [(3, 0), (2, 2)])


@torch.no_grad()
def _by_hooks(model: Any, batch: Any, sender: Any, receivers: Any) -> float:
    """Path patching as Wang et al. define it, the whole model run under hooks four times."""
    _, kept = model.run_with_cache(batch.tokens, return_cache_object=False)
    _, new = model.run_with_cache(batch.corrupt("ABC"), return_cache_object=False)
    rows, end, read = _rows(batch), batch.positions["END"], {}

    def freeze(z: Tensor, hook: Any) -> Tensor:
        z = kept[hook.name].clone()
        if hook.layer() == sender[0]:
            z[rows, end, sender[1]] = new[hook.name][rows, end, sender[1]]
        return z

    def keep(q: Tensor, hook: Any) -> None:
        read[hook.name] = q.clone()

    def hear(q: Tensor, hook: Any) -> Tensor:
        q = q.clone()
        for layer, head in receivers:
            if layer == hook.layer():
                q[:, :, head] = read[hook.name][:, :, head]
        return q

    frozen = [(f"blocks.{layer}.attn.hook_z", freeze) for layer in range(model.cfg.n_layers)]
    names = {f"blocks.{layer}.attn.hook_q" for layer, _ in receivers}
    model.run_with_hooks(batch.tokens, fwd_hooks=frozen + [(name, keep) for name in names])
    logits = model.run_with_hooks(batch.tokens, fwd_hooks=[(name, hear) for name in names])
    return float(batch.metric(logits) - batch.metric(model(batch.tokens)))


@s_inhibition_effect.oracle
def _inhibition_oracle(model: Any, batch: Any, movers: Any) -> Tensor:
    return torch.tensor([
        [_by_hooks(model, batch, (layer, head), movers) for head in range(model.cfg.n_heads)]
        for layer in range(model.cfg.n_layers)
    ])  # fmt: skip


def _swept(
    model: Any, batch: Any, receivers: Any, *, at: str | None = "END", how: str = "ABC",
    swapped: bool = False, absolute: bool = False,
) -> Tensor:  # fmt: skip
    prompts = [batch.tokens, batch.corrupt(how)]
    clean, corrupted = prompts[::-1] if swapped else prompts
    where = None if at is None else batch.positions[at]
    swept = path_patch_sweep(model, clean, corrupted, receivers, batch.metric, position=where)
    return swept if absolute else swept - batch.metric(model(clean))


def _queries(movers: Any) -> list[tuple[int, int, str]]:
    return [(layer, head, "q") for layer, head in movers]


@s_inhibition_effect.wrong(
    "this is the metric itself. The effect is how it *changes*: subtract the plain run's "
    "batch.metric(model(batch.tokens))."
)
def metric_itself(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, _queries(movers), absolute=True)


@s_inhibition_effect.wrong(
    "the sign is turned: patched minus plain, so that losing a helpful path is negative."
)
def inhibition_sign_turned(model: Any, batch: Any, movers: Any) -> Tensor:
    return -_swept(model, batch, _queries(movers))


@s_inhibition_effect.wrong(
    "the movers heard through their keys. At END a sender can tell a mover where to *look* only "
    'through its query: (layer, head, "q").'
)
def through_keys(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, [(layer, head, "k") for layer, head in movers])


@s_inhibition_effect.wrong(
    "the movers heard through queries, keys and values. Asked is the path through the queries "
    'alone: (layer, head, "q").'
)
def through_everything(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, list(movers))


@s_inhibition_effect.wrong(
    "this is the heads' direct effect: the receivers were the logits. Here the question is who "
    "talks to the movers."
)
def to_the_logits(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, "logits")


@s_inhibition_effect.wrong(
    "the senders were patched at S2. The movers' query is made at END, so that is where it hears: "
    'position=batch.positions["END"].'
)
def senders_at_s2(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, _queries(movers), at="S2")


@s_inhibition_effect.wrong(
    "the ABC prompts were run and the senders' outputs taken from the real ones. Here the real "
    "prompts are run, and a sender is heard from ABC: clean first, then corrupted."
)
def prompts_exchanged(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, _queries(movers), swapped=True)


@s_inhibition_effect.wrong(
    "the other prompts are those of another corruption. ABC has three different names, so that "
    'nothing is said twice: batch.corrupt("ABC").'
)
def another_corruption(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, _queries(movers), how="swap_s2")


@s_inhibition_effect.wrong(
    "the effect was divided by the whole logit difference. Keep logits: shares of a small total "
    "mislead."
)
def as_a_share(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, _queries(movers)) / batch.metric(model(batch.tokens))


slip(
    s_inhibition_effect,
    "at_every_position",
    "the sender was patched at every position. Only END's output reaches the movers' queries "
    "here: position=end.",
    (", position=end", ""),
)


slip(
    s_inhibition_effect,
    "clean_and_abc_exchanged",
    "clean and corrupted prompts are exchanged: the run is the clean one, and the heads are "
    "heard from the ABC prompts.",
    ("batch.tokens, corrupted, queries", "corrupted, batch.tokens, queries"),
)


slip(
    s_inhibition_effect,
    "baseline_of_the_abc_prompts",
    "the change was taken from the ABC prompts. It is a change of the clean run.",
    ("model(batch.tokens))\n", "model(corrupted))\n"),
)


slip(
    s_inhibition_effect,
    "through_queries_and_keys",
    "the movers heard through queries and keys. The path through the queries alone is asked "
    'for: (layer, head, "q").',
    (
        '[(layer, head, "q") for layer, head in movers]',
        '[(layer, head, part) for layer, head in movers for part in "qk"]',
    ),
)


slip(
    s_inhibition_effect,
    "through_values",
    "the movers heard through their values, which say what they find. Where they look is "
    'told to their queries: (layer, head, "q").',
    ('"q")', '"v")'),
)


slip(
    s_inhibition_effect,
    "divided_by_the_movers",
    "the effect was divided by the number of movers. It is one experiment, in which all of "
    "them hear: keep the whole change.",
    (
        "return patched - batch.metric(model(batch.tokens))",
        "return (patched - batch.metric(model(batch.tokens))) / len(movers)",
    ),
)


slip(
    s_inhibition_effect,
    "sizes_of_effects",
    "the signs are lost. A head that raises the logit difference has a negative effect here, "
    "and some have the other sign.",
    (
        "return patched - batch.metric(model(batch.tokens))",
        "return (patched - batch.metric(model(batch.tokens))).abs()",
    ),
)


slip(
    s_inhibition_effect,
    "relative_to_the_mean_effect",
    "the mean effect of all heads was taken away. The change is from the plain run: subtract "
    "batch.metric(model(batch.tokens)).",
    ("return patched - batch.metric(model(batch.tokens))", "return patched - patched.mean()"),
)


slip(
    s_inhibition_effect,
    "whole_layers_hear",
    'all heads of the movers\' layers heard it. Only the movers are receivers: (layer, head, "q").',
    (
        '[(layer, head, "q") for layer, head in movers]',
        '[(layer, h, "q") for layer in {la for la, _ in movers} for h in range(model.cfg.n_heads)]',
    ),
)


slip(
    s_inhibition_effect,
    "senders_at_the_io",
    "the senders were patched at the IO. The movers' query is made at END: position=end.",
    ("position=end", 'position=batch.positions["IO"]'),
)


slip(
    s_inhibition_effect,
    "senders_at_s1",
    "the senders were patched at S1. The movers' query is made at END: position=end.",
    ("position=end", 'position=batch.positions["S1"]'),
)


slip(
    s_inhibition_effect,
    "mean_of_single_movers",
    "the movers were patched one by one, and the effects averaged. All their queries hear the "
    "head in one run.",
    (
        "patched = path_patch_sweep(model, batch.tokens, corrupted, queries, batch.metric, "
        "position=end)",
        "single = [\n"
        "        path_patch_sweep(model, batch.tokens, corrupted, [one], batch.metric, "
        "position=end)\n"
        "        for one in queries\n"
        "    ]\n"
        "    patched = sum(single) / len(single)",
    ),
)
