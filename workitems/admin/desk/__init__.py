"""Decision desk: the list of the steps that the reader can decide, and its pages."""
