"""Drawings of ideas, made of a few signs: `draw("induction_two_steps")`; `gallery.py` has all."""
