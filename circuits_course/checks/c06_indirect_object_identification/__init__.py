"""Chapter 06, Indirect object identification: attribution, detectors, knock-outs, criteria."""
