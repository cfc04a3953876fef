"""Sizes and options of the course's transformer, and the names of its tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, islice
from string import ascii_letters, digits

import torch

from circuits_course.errors import CourseError, UnknownName

BOS_SYMBOL = "BOS"


def default_vocabulary(d_vocab: int) -> tuple[str, ...]:
    """BOS as token 0, then symbols of one glyph: a-z, A-Z, 0-9, "-", then further letters."""
    more = (chr(code) for code in chain(range(0x100, 0x250), range(0x4E00, 0x9FFF)))
    return (BOS_SYMBOL, *islice(chain(ascii_letters, digits, "-", more), d_vocab - 1))


@dataclass
class CourseConfig:
    """Sizes and options of a `CourseTransformer`; the names are TransformerLens'.

    d_mlp=None leaves the MLP out; normalization_type is None or "LNPre" (centre, scale, no
    gain); smeared_keys lets each head mix a key with its left neighbour's. `vocabulary` names
    the tokens; token 0 is the beginning of the sequence.
    """

    n_layers: int = 2
    n_heads: int = 4
    d_model: int = 64
    d_head: int = 16
    d_vocab: int = 64
    n_ctx: int = 64
    d_mlp: int | None = None
    act_fn: str = "relu"
    normalization_type: str | None = None
    smeared_keys: bool = False
    eps: float = 1e-5
    init_std: float = 0.1
    seed: int = 0
    vocabulary: tuple[str, ...] = ()
    model_name: str = "course-transformer"

    # What TransformerLens' tools read or switch; not part of the architecture.
    use_attn_result: bool = field(default=False, compare=False)
    use_split_qkv_input: bool = field(default=False, compare=False)
    use_attn_in: bool = field(default=False, compare=False)
    use_hook_mlp_in: bool = field(default=False, compare=False)
    n_key_value_heads: None = None
    positional_embedding_type: str = "shortformer"
    default_prepend_bos: bool = True
    device: str = field(default="cpu", compare=False)
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        self.vocabulary = tuple(self.vocabulary) or default_vocabulary(self.d_vocab)
        if len(self.vocabulary) != self.d_vocab:
            raise CourseError(
                f"The vocabulary names {len(self.vocabulary)} tokens but d_vocab is "
                f"{self.d_vocab}; make them equal."
            )
        if self.normalization_type not in (None, "LNPre"):
            raise UnknownName("normalization type", self.normalization_type, ["None", "LNPre"])

    @property
    def attn_only(self) -> bool:
        return self.d_mlp is None

    @property
    def attn_scale(self) -> float:
        """Scores are divided by this: sqrt(d_head)."""
        return self.d_head**0.5

    @property
    def d_vocab_out(self) -> int:
        return self.d_vocab
