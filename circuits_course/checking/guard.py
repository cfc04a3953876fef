"""Models and settings come back as they were handed out, whatever an answer does to them."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

COPIED = 500_000  # parameters: models up to this size are kept as a copy, to be put back from
HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "fwd_hooks",
    "bwd_hooks",
)
LEAVES_HOOKS = (
    "your function leaves hooks on the model, which would change every later run; use "
    "model.run_with_hooks(...), which takes them off again"
)
CHANGES_WEIGHTS = "your function changed the model's weights; intervene with a hook instead"
CHANGES_MODEL = (
    "your function changed the model itself (its modules, forward, dtype or device); every later "
    "run would feel it. Intervene with a hook, which is taken off again"
)
LEAVES_GRADIENTS = (
    "your function leaves gradients on the model's weights (.grad); use torch.autograd.grad, or "
    "clear them again"
)
TAKES_HOOKS = (
    "your function took off hooks that were on the model before it came (model.reset_hooks()); "
    "use model.run_with_hooks(...), which leaves others alone"
)

_copies: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()


class ModelHarmed(RuntimeError):
    """An attempt left a model other than it found it."""


@contextmanager
def unharmed(models: list[nn.Module]) -> Iterator[None]:
    """Puts models back after the block; raises ModelHarmed where it had to."""
    before = [(model, _copy_of(model), _Look(model)) for model in models]
    try:
        yield
    finally:
        harms = [_mend(model, spare, look) for model, spare, look in before]
    harm = next((harm for harm in harms if harm), None)
    if harm:
        raise ModelHarmed(harm)


def from_seed_0() -> None:
    """As `torch.manual_seed(0)`, which for absent devices writes down the stack of calls each time
    and takes 150 times as long."""
    if torch.cuda.is_available():
        torch.manual_seed(0)
    else:
        torch.default_generator.manual_seed(0)


@contextmanager
def settings_kept() -> Iterator[None]:
    """Random states, defaults of dtype and device, gradient mode and threads are put back."""
    dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    threads, device = torch.get_num_threads(), torch.get_default_device()
    drawn, numbers = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if torch.get_default_device() != device:
            torch.set_default_device(device)
        random.setstate(drawn)
        np.random.set_state(numbers)


class _Look:
    """What a model looks like: its modules, what hangs on them, and its weights."""

    def __init__(self, model: nn.Module) -> None:
        modules, parameters = list(model.named_modules()), list(model.named_parameters())
        self.tensors = [*parameters, *model.named_buffers()]
        self.modules = {name: _shape_of(module) for name, module in modules}
        self.hooks = {name: _hooks_of(module) for name, module in modules}
        self.weights = {name: _weight(tensor) for name, tensor in self.tensors}
        self.grads = sum(parameter.grad is not None for _, parameter in parameters)
        self.training = {name: module.training for name, module in modules}
        self.switches = dict(vars(getattr(model, "cfg", None) or _Nothing()))
        self.asks = {name: parameter.requires_grad for name, parameter in parameters}

    def turned(self, other: _Look) -> bool:
        """Whether a switch is not as it was."""
        return (self.training, self.asks) != (other.training, other.asks) or any(
            isinstance(value, bool) and self.switches.get(name, value) is not value
            for name, value in other.switches.items()
        )


class _Nothing:
    pass


def _shape_of(module: nn.Module) -> tuple[Any, ...]:
    own = vars(module)
    sizes = tuple((n, None if p is None else (p.dtype, p.device, p.shape))
                  for n, p in [*own["_parameters"].items(), *own["_buffers"].items()])  # fmt: skip
    return id(module), type(module), "forward" in own, "__call__" in own, sizes


def _hooks_of(module: nn.Module) -> tuple[int, ...]:
    return tuple(len(vars(module).get(name) or ()) for name in HOOKS)


def _tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _weight(tensor: Tensor) -> tuple[int, int]:
    return (0 if tensor.is_meta else tensor.data_ptr()), tensor._version


def _copy_of(model: nn.Module) -> nn.Module | None:
    """A spare of a small model, made when it is first handed out; None for a large one."""
    if model not in _copies:
        if sum(parameter.numel() for parameter in model.parameters()) > COPIED:
            return None
        try:
            _copies[model] = copy.deepcopy(model)
        except Exception:  # not made to be copied: it is watched, and mended where it can be
            return None
    return _copies[model]


def _mend(model: nn.Module, spare: nn.Module | None, before: _Look) -> str | None:
    """What was done to a model, after it has been undone as far as can be."""
    try:
        now, harm = _Look(model), None
        harm = _harm(before, now, spare)
    except Exception:  # whatever is left, it is not a model any more
        now, harm = None, CHANGES_MODEL
    if harm and spare is not None:
        _put_back(model, spare)
    elif harm:
        _take_off_hooks(model)
    if now is not None and (harm or now.turned(before)):
        _reset_switches(model, before)
    return harm


def _harm(before: _Look, now: _Look, spare: nn.Module | None) -> str | None:
    if now.modules != before.modules:
        return CHANGES_MODEL
    if now.hooks != before.hooks:
        more = sum(map(sum, now.hooks.values())) >= sum(map(sum, before.hooks.values()))
        return LEAVES_HOOKS if more else TAKES_HOOKS
    # A write to `.data` leaves no mark, so small models are compared number by number.
    if _differ(now, spare) if spare is not None else now.weights != before.weights:
        return CHANGES_WEIGHTS
    return LEAVES_GRADIENTS if now.grads > before.grads else None


def _differ(now: _Look, spare: nn.Module) -> bool:
    pairs = zip(now.tensors, _tensors(spare), strict=True)
    return any(not torch.equal(one[1], other[1]) for one, other in pairs)


def _put_back(model: nn.Module, spare: nn.Module) -> None:
    """The model is again what it was made as: every module, weight and attribute of the spare."""
    fresh = copy.deepcopy(spare)
    vars(model).clear()
    vars(model).update(vars(fresh))
    model.__class__ = fresh.__class__


def _take_off_hooks(model: nn.Module) -> None:
    reset = getattr(model, "reset_hooks", None)
    if reset is not None:
        reset()
    for module in model.modules():
        for name in HOOKS[:4]:
            hooks = vars(module).get(name)
            if hooks:
                hooks.clear()
        vars(module).pop("forward", None)
    for parameter in model.parameters():
        parameter.grad = None


def _reset_switches(model: nn.Module, before: _Look) -> None:
    """Switches that an answer may turn: training, gradients wanted, TransformerLens' options."""
    for name, module in model.named_modules():
        if module.training != before.training.get(name, module.training):
            module.training = before.training[name]
    for name, parameter in model.named_parameters():
        wanted = before.asks.get(name, parameter.requires_grad)
        if parameter.requires_grad != wanted:
            parameter.requires_grad_(wanted)
    cfg = getattr(model, "cfg", None)
    for name, value in before.switches.items():
        if isinstance(value, bool) and getattr(cfg, name, value) is not value:
            setattr(cfg, name, value)
