"""The chapters of the course: their names, and how a short name finds one."""

from __future__ import annotations

from circuits_course.errors import UnknownName

CHAPTERS = {
    "00_start_here": "Start here",
    "01_attention_math": "Attention math",
    "02_attention_as_computation": "Attention as computation",
    "03_previous_token_heads": "Previous-token heads",
    "04_induction_heads": "Induction heads",
    "05_composition": "Composition",
    "06_indirect_object_identification": "Indirect object identification",
    "07_activation_patching": "Activation patching",
    "08_logit_lens": "Logit lens",
    "09_open_questions": "Open questions",
    "10_mystery_circuits": "Mystery circuits",
    "11_automatic_discovery": "Automatic discovery",
}


def chapter_name(name: str | int) -> str:
    """The full name of a chapter given whole ("04_induction_heads") or by number ("04", "4", 4).

    Raises UnknownName with the nearest names.
    """
    text = str(name).strip().removesuffix(".ipynb").removesuffix(".py")
    if text in CHAPTERS:
        return text
    for chapter in CHAPTERS:
        if text.isdigit() and int(text) == int(chapter[:2]):
            return chapter
    raise UnknownName("chapter", name, CHAPTERS)
