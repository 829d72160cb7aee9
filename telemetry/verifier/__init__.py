"""The verifier that auditors download: one file, which the product ships and never imports. Imports no Django."""
