"""From sources to what ships: notebooks, copies for Colab, measured tables."""
