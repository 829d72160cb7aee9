"""Console pages of proofs."""
