"""Chapter 07, Activation patching: patches of places, heads and paths, estimates and ablations."""
