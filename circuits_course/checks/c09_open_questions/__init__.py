"""Chapter 09, Open questions: profiles of whole models, jobs of one head, families of heads."""
