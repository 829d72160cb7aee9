"""Display of work items to people: titles, labels, ordered fields, and formats in the reader's locale."""
