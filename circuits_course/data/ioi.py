"""Indirect object identification: prompts whose next word is the name that was said only once.

"When Mary and John arrived at the store, John handed a drink to" goes on with " Mary". Mary is the
indirect object (IO), John the subject (S), said twice: S1 and S2. The task, its ABC corruption and
the names of the positions are those of Wang et al. 2022 (arXiv 2211.00593, section 2); the
templates are this course's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from string import Formatter, punctuation
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from circuits_course.data.logit_difference import LogitDifference
from circuits_course.data.sequences import bos_token
from circuits_course.errors import CourseError, UnknownName

TEMPLATES = (
    "When {A} and {B} arrived at the {place}{middle} {S} handed a {object} to",
    "After {A} and {B} met near the {place}{middle} {S} lent a {object} to",
    "While {A} and {B} were waiting outside the {place}{middle} {S} offered a {object} to",
    "Last week, when {A} and {B} walked past the {place}{middle} {S} showed a {object} to",
    "As {A} and {B} were leaving the {place} together{middle} {S} passed a {object} to",
    "Since {A} and {B} often had lunch at the {place}{middle} {S} brought a {object} to",
    "Once {A} and {B} had cleaned the {place}{middle} {S} gave a {object} to",
    "The day {A} and {B} came back from the {place}{middle} {S} sent a {object} to",
)
"""{A} and {B} are the two names in the order of their first mention; {S} is the subject again."""

MIDDLES = {
    "plain": ",",
    "duplicated_io": ", {IO} looked tired, and",
    "bystander": ", everyone looked tired, and",
}
"""What stands between the two clauses. With `duplicated_io` both names are said twice, so being
said twice no longer tells them apart (Wang et al. 2022, section 4.4); `bystander` is its control.
"""


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


NAMES = _listed(
    """
    Aaron Adam Alan Alex Alice Amy Andrew Anna Anne Anthony Arthur Ben Brian Carl Charles
    Chris Claire Clara Dan Daniel David Diana Donald Edward Elizabeth Emily Emma Eric Fred
    Gary George Greg Harry Helen Henry Jacob James Jane Jason Jennifer Jessica Jim Joe John
    Jonathan Joseph Josh Julia Justin Karen Kate Keith Kelly Kevin Laura Linda Lisa Louis Lucy
    Maria Martin Mary Matthew Michael Michelle Mike Neil Oliver Oscar Patrick Paul Peter
    Philip Rachel Ralph Richard Robert Roger Ruth Ryan Sam Sarah Scott Simon Stephen Steve
    Susan Thomas Tim Tom Tony Victoria Walter William
    """
)
PLACES = _listed(
    """
    store garden restaurant school hospital office house station park market library museum
    beach theater church bank hotel farm
    """
)
OBJECTS = _listed(
    """
    ring basketball computer necklace drink snack book map letter ticket camera gift hat pen
    phone flower cake sandwich watch lamp blanket toy guitar bottle
    """
)

Order = Literal["ABBA", "BABA"]
ORDERS: tuple[Order, ...] = ("ABBA", "BABA")
CORRUPTIONS = (
    "ABC", "swap_s2", "new_s2", "swap_names", "new_names", "swap_first", "new_names_swap_s2"
)  # fmt: skip


@dataclass(frozen=True)
class Prompt:
    """One prompt before it becomes tokens. order: ABBA has the IO first, BABA the subject."""

    template: str
    order: Order
    io: str
    s: str
    s2: str
    place: str
    object: str
    middle: str = ","

    @property
    def text(self) -> str:
        a, b = (self.io, self.s) if self.order == "ABBA" else (self.s, self.io)
        middle = self.middle.format(IO=self.io)
        words = {"A": a, "B": b, "S": self.s2, "place": self.place, "object": self.object}
        return self.template.format(**words, middle=middle)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class IOIBatch:
    """Prompts as tokens, with the answers and every position by name.

    tokens: [batch, pos], each prompt led by BOS; shorter prompts are filled up on the right, after
    END, where causal attention cannot see it. io, s: the two names' tokens, [batch]. positions:
    "IO", "S1", "S1+1", "S2", "END" (and "IO2" where the IO is said twice) -> [batch], found by
    search. groups: a number per prompt, equal where template and order are, so that the
    positions of a group's prompts correspond. model: the one that made the tokens.
    """

    prompts: tuple[Prompt, ...]
    tokens: Int[Tensor, "batch pos"]
    io: Int[Tensor, " batch"]
    s: Int[Tensor, " batch"]
    positions: dict[str, Int[Tensor, " batch"]]
    groups: Int[Tensor, " batch"]
    model: Any
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def metric(self) -> LogitDifference:
        """Mean logit of IO minus S at END."""
        return LogitDifference(self.io, self.s, self.positions["END"])

    def corrupt(self, how: str = "ABC", seed: int = 0) -> Int[Tensor, "batch pos"]:
        """Tokens of corrupted prompts, which correspond to `tokens` position by position.

        how: "ABC", three new names, so that no name is said twice; "swap_s2", the IO in the place
        of S2, which makes the subject the answer; "new_s2", a third name there, which leaves no
        answer; "swap_names", IO and subject exchanged throughout; "new_names", two new names in
        their places; "swap_first", IO and subject exchanged at their first mention, S2 as it is;
        "new_names_swap_s2", two new names, S2 being the new IO. Raises UnknownName for another
        word.
        """
        if how not in CORRUPTIONS:
            raise UnknownName("corruption", how, CORRUPTIONS)
        draw = _Draw(seed)
        changed = [_corrupted(prompt, how, draw, self.names) for prompt in self.prompts]
        return _tokens(self.model, changed, n_pos=self.tokens.shape[1])[0]

    def abc_reference(
        self, per_group: int = 8, seed: int = 0
    ) -> tuple[Int[Tensor, "reference pos"], Int[Tensor, " reference"]]:
        """ABC prompts to take means over, and their groups: `per_group` for each in `groups`."""
        draw = _Draw(seed)
        groups = self.groups.unique().tolist()
        changed = []
        for group in groups:
            (members,) = torch.where(self.groups == group)
            for i in range(per_group):
                prompt = self.prompts[int(members[i % len(members)])]
                changed.append(_corrupted(prompt, "ABC", draw, self.names))
        tokens, _ = _tokens(self.model, changed, n_pos=self.tokens.shape[1])
        return tokens, torch.tensor(groups).repeat_interleave(per_group)


def ioi_batch(
    model: Any,
    n: int = 32,
    *,
    seed: int = 0,
    templates: Sequence[int | str] | None = None,
    order: Order | None = None,
    variant: str = "plain",
    names: Sequence[str] | None = None,
) -> IOIBatch:
    """`n` prompts for indirect object identification in the tokens of `model`.

    model: a bridge with a tokenizer. templates: numbers of `TEMPLATES` or texts of your own with
    {A}, {B}, {S}, {place}, {object} and, before the {S}, {middle} (default: all of them). order:
    "ABBA" (IO first) or "BABA" (default: both). variant: a key of `MIDDLES`. names: at least five
    (default: those of `NAMES` that are one token in this model).

    Prompts come in pairs that differ only in who is IO and who is subject, so that a model's
    liking for a name cancels; orders alternate from pair to pair and templates after both orders,
    so a multiple of 4 prompts per template is balanced exactly.

    Raises CourseError for templates and names that do not fit, UnknownName for unknown words.
    """
    _require_words(model)
    if n < 1:
        raise CourseError(f"A batch needs at least one prompt, not {n}.")
    if order is not None and order not in ORDERS:
        raise UnknownName("order", order, ORDERS)
    if variant not in MIDDLES:
        raise UnknownName("variant", variant, MIDDLES)
    chosen = [_template(template) for template in (templates or range(len(TEMPLATES)))]
    known = single_token_words(model, NAMES) if names is None else _own_names(model, names)
    prompts = _prompts(model, n, seed, chosen, order, MIDDLES[variant], known)
    return _batch(model, prompts, chosen, known)


def single_token_words(model: Any, words: Sequence[str]) -> tuple[str, ...]:
    """Those of `words` that are one token of the model when a space stands before them."""
    return tuple(word for word in words if len(_encode(model, f" {word}")) == 1)


def word_token(model: Any, word: str) -> int:
    """The token of a word with a space before it. Raises CourseError if it is several tokens."""
    tokens = _encode(model, f" {word}")
    if len(tokens) != 1:
        raise CourseError(
            f"{word!r} is {len(tokens)} tokens in this model; take a word that is one token."
        )
    return tokens[0]


# --- prompts ---------------------------------------------------------------------------------


class _Draw:
    """Seeded choices."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def of(self, words: Sequence[str], count: int) -> list[str]:
        order = torch.randperm(len(words), generator=self.generator)
        return [words[i] for i in order[:count].tolist()]


def _prompts(
    model: Any,
    n: int,
    seed: int,
    templates: Sequence[str],
    order: Order | None,
    middle: str,
    names: Sequence[str],
) -> list[Prompt]:
    draw = _Draw(seed)
    places, objects = (single_token_words(model, words) for words in (PLACES, OBJECTS))
    orders = ORDERS if order is None else (order,)
    prompts: list[Prompt] = []
    for pair in range((n + 1) // 2):
        template = templates[pair // len(orders) % len(templates)]
        one, other = draw.of(names, 2)
        (place,), (thing,) = draw.of(places, 1), draw.of(objects, 1)
        for io, s in ((one, other), (other, one)):
            prompts.append(
                Prompt(template, orders[pair % len(orders)], io, s, s, place, thing, middle)
            )
    return prompts[:n]


def _corrupted(prompt: Prompt, how: str, draw: _Draw, names: Sequence[str]) -> Prompt:
    new = draw.of([name for name in names if name not in (prompt.io, prompt.s)], 3)
    changes: dict[str, dict[str, Any]] = {
        "ABC": {"io": new[0], "s": new[1], "s2": new[2]},
        "swap_s2": {"s2": prompt.io},
        "new_s2": {"s2": new[2]},
        "swap_names": {"io": prompt.s, "s": prompt.io, "s2": prompt.io},
        "new_names": {"io": new[0], "s": new[1], "s2": new[1]},
        "swap_first": {"io": prompt.s, "s": prompt.io},
        "new_names_swap_s2": {"io": new[0], "s": new[1], "s2": new[0]},
    }
    return replace(prompt, **changes[how])


def _batch(
    model: Any, prompts: Sequence[Prompt], templates: Sequence[str], names: tuple[str, ...]
) -> IOIBatch:
    tokens, ends = _tokens(model, prompts)
    io, s = (
        torch.tensor([word_token(model, getattr(prompt, who)) for prompt in prompts])
        for who in ("io", "s")
    )
    numbers = [(templates.index(p.template), ORDERS.index(p.order)) for p in prompts]
    groups = torch.tensor([template * len(ORDERS) + order for template, order in numbers])
    return IOIBatch(
        tuple(prompts), tokens, io, s, _positions(tokens, io, s, ends), groups, model, names
    )


def _positions(tokens: Tensor, io: Tensor, s: Tensor, ends: Tensor) -> dict[str, Tensor]:
    """Where the names stand, by search; a template's own words are never names."""
    is_io, is_s = tokens == io[:, None], tokens == s[:, None]
    last = tokens.shape[1] - 1
    first_s = is_s.int().argmax(1)
    found = {
        "IO": is_io.int().argmax(1),
        "S1": first_s,
        "S1+1": first_s + 1,
        "S2": last - is_s.flip(1).int().argmax(1),
        "END": ends,
    }
    if (is_io.sum(1) > 1).all():
        found["IO2"] = last - is_io.flip(1).int().argmax(1)
    return found


# --- tokens ----------------------------------------------------------------------------------


def _encode(model: Any, text: str) -> list[int]:
    return model.tokenizer.encode(text, add_special_tokens=False)


def _tokens(
    model: Any, prompts: Sequence[Prompt], n_pos: int = 0
) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, " batch"]]:
    """Tokens, filled up on the right to the longest (or n_pos), and each prompt's last position."""
    rows = [[bos_token(model), *_encode(model, prompt.text)] for prompt in prompts]
    n_pos = max(n_pos, *map(len, rows))
    filler = model.tokenizer.eos_token_id
    tokens = torch.tensor([row + [filler] * (n_pos - len(row)) for row in rows])
    return tokens, torch.tensor([len(row) - 1 for row in rows])


# --- what does not fit -----------------------------------------------------------------------


def _require_words(model: Any) -> None:
    if getattr(model, "tokenizer", None) is None:
        raise CourseError(
            "This model has no words, so it cannot be asked for names; "
            'take load_model("auto") or another language model.'
        )


def _template(template: int | str) -> str:
    if isinstance(template, int):
        if not 0 <= template < len(TEMPLATES):
            raise CourseError(
                f"There is no template {template}; they are numbered 0 to {len(TEMPLATES) - 1}."
            )
        return TEMPLATES[template]
    try:
        fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise CourseError(f"Template {template!r} cannot be read: {error}.") from None
    return _require_fields(template, fields)


def _require_fields(template: str, fields: Sequence[str]) -> str:
    wanted = ("A", "B", "S", "place", "object", "middle")
    for field in wanted:
        if fields.count(field) != 1:
            often = "lacks" if field not in fields else "repeats"
            raise CourseError(f"Template {template!r} {often} {{{field}}}.")
    for field in fields:
        if field not in wanted:
            raise CourseError(f"Template {template!r} has an unknown field {{{field}}}.")
    _require_spaces(template)
    if fields.index("S") < max(fields.index("A"), fields.index("B")):
        raise CourseError(f"Template {template!r} needs {{A}} and {{B}} before {{S}}.")
    if template.endswith((" ", "}")) or set(_words(template)) & set(NAMES):
        raise CourseError(
            f"Template {template!r} must end with a word, and may hold no name of its own."
        )
    return template


def _require_spaces(template: str) -> None:
    for field in ("A", "B", "S", "place", "object"):
        if f" {{{field}}}" not in template:
            raise CourseError(
                f"Template {template!r} needs a space before {{{field}}}: words are looked up "
                "with one."
            )


def _words(template: str) -> Iterator[str]:
    texts = (text for text, *_ in Formatter().parse(template))
    return (word.strip(punctuation) for word in chain.from_iterable(map(str.split, texts)))


def _own_names(model: Any, names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        word_token(model, name)
    if len(set(names)) < 5:
        raise CourseError(f"At least five different names are needed, got {len(set(names))}.")
    return tuple(dict.fromkeys(names))
