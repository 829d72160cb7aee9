"""Proof of the product's promises with the configuration of one tenant, by synthetic cases that are rolled back."""
