"""Chapter 08, Logit lens: states read as predictions, writes read as logits, and a trained lens."""
