"""Measures methods of automatic discovery where the circuit is known."""
