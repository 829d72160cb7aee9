"""Operation of an instance: preparation, processes and supervision."""
