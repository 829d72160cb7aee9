"""The product's pure vocabulary: errors, acting context, ids, canonical JSON, clock, expressions. Imports no Django."""
