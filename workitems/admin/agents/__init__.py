"""Console pages of agents and services: what each may request, what it did, and the button that freezes it."""
