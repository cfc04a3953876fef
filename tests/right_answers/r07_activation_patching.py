"""Right answers to chapter 07, written in other ways than the reference."""

RIGHT = {}
