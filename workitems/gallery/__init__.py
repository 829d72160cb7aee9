"""The gallery: packs that come with the product, their installation, and sample requests."""
