"""What can be claimed: the algorithms and the roles of heads, in words.

Both lists hold more than any mystery uses, so that being listed says nothing.
"""

from __future__ import annotations

ALGORITHMS = {
    "previous token": "says again the symbol that stood one place back",
    "two back": "says again the symbol that stood two places back",
    "first token": "says again the symbol that came first",
    "second token": "says again the symbol that came second",
    "first if seen": "says the symbol that came first, once the current one has stood before",
    "last copy": "says again the current symbol",
    "induction": "says what followed the earlier copies of the current symbol",
    "duplicate detection": "one fixed symbol if the current one has stood before, another if not",
    "majority": "says the symbol that has come most often so far",
    "rarest": "says the symbol that has come least often so far",
    "balance": "symbols of two kinds are counted; a fixed symbol says which kind leads",
    "odd one out": "asked for a name, says the one that was not repeated",
    "skip-trigram": "says a symbol fixed by the current one and some earlier one",
}
"""Name -> what the model does."""

ROLES = {
    "previous token": "attends to the place before",
    "two back": "attends two places back",
    "first token": "attends to the first symbol after BOS",
    "second token": "attends to the second symbol after BOS",
    "duplicate token": "attends to earlier copies of the current symbol",
    "induction": "attends to the symbols that followed earlier copies of the current one",
    "counter": "spreads evenly over all symbols of some kind, wherever they stand",
    "inhibition": "attends to symbols that stand there for the second time or more",
    "mover": "attends to a symbol that stands nowhere else so far",
    "backup": "does nothing until another head is knocked out, then does its job",
}
"""Name -> what a detector looks for. Attention that rests on BOS does not count."""
