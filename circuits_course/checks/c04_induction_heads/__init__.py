"""Chapter 04, Induction heads: finding, tracing, weighing and growing them."""
