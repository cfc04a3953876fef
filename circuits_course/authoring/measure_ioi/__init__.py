"""The IOI circuit of a model, measured: `python -m circuits_course.authoring.measure_ioi MODEL`.

Heads are found on the prompts of four templates and four seeds, and everything is scored on four
other templates and four other seeds.
"""
