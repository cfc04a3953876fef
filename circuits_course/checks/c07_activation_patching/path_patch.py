"""Exercise `path_patch`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c07_activation_patching.shared import (
    EVERY,
    LOGITS,
    Edits,
    Head,
    as_tokens,
    heads_oracle,
    kept_by_layer,
    pair,
    put,
    staged_run,
    whole_model,
)
from circuits_course.checks.inputs import random_model
from circuits_course.checks.slips import slip
from circuits_course.circuits import patching

path_patch = Exercise(
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
            *pair(2, 6, seed),
            (0, 1),
            (2, 3, kind),
        )
    yield Case("a receiver with a layer above it", model, *pair(2, 5, 8), (0, 2), (1, 0, "k"))
    yield Case("neighbouring layers, as text", model, "abcdef", "abxyef", (1, 3), (2, 0, "v"))
    whole = whole_model()
    yield Case("a model with MLPs and norms", whole, *pair(3, 7, 5), (0, 2), (2, 1, "k"))
    yield Case("one MLP between them", whole, *pair(2, 5, 6), (1, 0), (2, 2, "q"))


def _logits_of_path(model: Any, clean: Any, corrupt: Any, sender: Head, receiver: Any) -> Tensor:
    """By the package's engine, which has no hooks in it."""
    seen: list[Tensor] = []

    def metric(logits: Tensor) -> Tensor:
        seen.append(logits)
        return logits.sum()

    clean_tokens, corrupt_tokens = (as_tokens(model, prompt) for prompt in (clean, corrupt))
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
    run = staged_run(model, clean, keep=("z", "mlp_out"))[1]
    said = kept_by_layer(model, corrupt, "z")[sender[0]]
    edits: Edits = {}
    for layer in range(model.cfg.n_layers):
        if frozen:
            edits["z", layer] = put(run.z[layer])
        if mlps_too:
            edits["mlp_out", layer] = put(run.mlp_out[layer])
    spoken = put(said, EVERY, EVERY, sender[1] if send is None else send)
    clean_z = run.z[sender[0]]
    edits["z", sender[0]] = (lambda z: spoken(clean_z)) if frozen else spoken
    return getattr(staged_run(model, clean, edits, keep=(receiver[2],))[1], receiver[2])[
        receiver[0]
    ]


def _said(
    model: Any, prompt: Any, heard: Tensor, receiver: Any, more: Edits | None = None
) -> Tensor:
    """A run in which the receiver reads `heard`."""
    layer, head, kind = receiver
    edits: Edits = {**(more or {}), (kind, layer): put(heard, EVERY, EVERY, head)}
    return staged_run(model, prompt, edits)[0]


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
    return heads_oracle(model, corrupt_prompt, clean_prompt, [sender])


@path_patch.wrong(
    "nothing was sent: these are the clean run's logits. The sender's head has to be taken from "
    "corrupt_cache, in the hook of its own layer, and what is heard put into the last run."
)
def nothing_sent(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    return staged_run(model, clean_prompt)[0]


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
    z = kept_by_layer(model, clean_prompt, "z")
    heard = _heard(model, clean_prompt, corrupt_prompt, sender, receiver)
    layer, head, _ = receiver
    others: Edits = {("z", la): put(z[la]) for la in range(model.cfg.n_layers) if la != layer}
    spared = [h for h in range(model.cfg.n_heads) if h != head]
    others["z", layer] = put(z[layer], EVERY, EVERY, spared)
    frozen = staged_run(model, clean_prompt, {**others, **_edit_of(heard, receiver)})[0]
    return frozen


def _edit_of(heard: Tensor, receiver: Any) -> Edits:
    layer, head, kind = receiver
    return {(kind, layer): put(heard, EVERY, EVERY, head)}


@path_patch.wrong(
    "the run with frozen heads is the result. It is only there to find out what the receiver "
    "reads: take a third run, with the receiver alone changed."
)
def logits_of_the_frozen_run(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    z = kept_by_layer(model, clean_prompt, "z")
    edits: Edits = {("z", layer): put(value) for layer, value in enumerate(z)}
    said = put(kept_by_layer(model, corrupt_prompt, "z")[sender[0]], EVERY, EVERY, sender[1])
    edits["z", sender[0]] = lambda _: said(z[sender[0]])
    return staged_run(model, clean_prompt, edits)[0]


@path_patch.wrong(
    "the receiver reads its whole corrupted input, whoever wrote it. Only the sender is corrupted; "
    "what the receiver reads has to come from the run with frozen heads."
)
def all_of_the_corrupted_input(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    heard = kept_by_layer(model, corrupt_prompt, receiver[2])[receiver[0]]
    return _said(model, clean_prompt, heard, receiver)


@path_patch.wrong(
    'the receiver\'s kind is not used: you always patch its queries. Take "q", "k" or "v" from '
    "the receiver for the hook's name."
)
def always_queries(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, sender: Head, receiver: Any
) -> Tensor:
    return _path_oracle(model, clean_prompt, corrupt_prompt, sender, (*receiver[:2], "q"))


slip(
    path_patch,
    "every_receiver",
    "every head of the receiver's layer got what one of them heard: x[:, :, head] alone.",
    ('x[:, :, head] = heard["x"]', 'x[:] = heard["x"][:, :, None]'),
)


slip(
    path_patch,
    "said_on_the_corrupted_prompt",
    "the last run is on the corrupted prompt. All runs here are clean; the sender's output alone "
    "comes from the other.",
    ("return model.run_with_hooks(clean_prompt", "return model.run_with_hooks(corrupt_prompt"),
)


slip(
    path_patch,
    "number_in_every_layer",
    "the sender's number spoke its corrupted output in every layer. Compare hook.name with "
    "the sender's own layer.",
    ('if hook.name == utils.get_act_name("z", sender[0]):', "if True:"),
)


slip(
    path_patch,
    "frozen_at_the_corrupted",
    "the other heads are frozen at their corrupted values. Freeze them as they are in the "
    "clean run.",
    ("frozen = clean_cache[hook.name].clone()", "frozen = corrupt_cache[hook.name].clone()"),
)


slip(
    path_patch,
    "sender_added",
    "the sender's corrupted output was added to the clean one. It takes its place: = and not +=.",
    (
        "frozen[:, :, sender[1]] = corrupt_cache[hook.name][:, :, sender[1]]",
        "frozen[:, :, sender[1]] += corrupt_cache[hook.name][:, :, sender[1]]",
    ),
)


slip(
    path_patch,
    "sender_silenced",
    "the sender was silenced. It speaks its corrupted output: corrupt_cache.",
    (
        "frozen[:, :, sender[1]] = corrupt_cache[hook.name][:, :, sender[1]]",
        "frozen[:, :, sender[1]] = 0",
    ),
)


slip(
    path_patch,
    "first_prompt_speaks",
    "every prompt heard the first corrupted prompt's sender. Prompts correspond row by row.",
    (
        "frozen[:, :, sender[1]] = corrupt_cache[hook.name][:, :, sender[1]]",
        "frozen[:, :, sender[1]] = corrupt_cache[hook.name][0, :, sender[1]]",
    ),
)


slip(
    path_patch,
    "receiver_hears_twice",
    "what the receiver heard was added to what it reads. It takes its place: = and not +=.",
    ('x[:, :, head] = heard["x"]', 'x[:, :, head] += heard["x"]'),
)


slip(
    path_patch,
    "receiver_hears_the_first_prompt",
    "every prompt's receiver got what the first prompt's heard.",
    ('x[:, :, head] = heard["x"]', 'x[:, :, head] = heard["x"][:1]'),
)


slip(
    path_patch,
    "half_of_the_message",
    "the sender spoke half clean, half corrupted. It speaks its corrupted output.",
    (
        "frozen[:, :, sender[1]] = corrupt_cache[hook.name][:, :, sender[1]]",
        "frozen[:, :, sender[1]] = (frozen[:, :, sender[1]] + corrupt_cache[hook.name][:, :, "
        "sender[1]]) / 2",
    ),
)


slip(
    path_patch,
    "first_run_on_the_corrupted_prompt",
    "the run in which the receiver listens is one on the corrupted prompt. It runs on the clean "
    "one, with the sender alone corrupted.",
    (
        "model.run_with_hooks(clean_prompt, fwd_hooks=[(is_z, freeze)",
        "model.run_with_hooks(corrupt_prompt, fwd_hooks=[(is_z, freeze)",
    ),
)
