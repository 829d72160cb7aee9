"""Pure vocabulary of the product: errors, acting context, ids, canonical JSON, clock, expressions. Imports no Django."""
