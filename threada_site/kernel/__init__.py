"""Pure building blocks: errors, acting context, ids, canonical JSON, clock, expressions. Imports no Django."""
