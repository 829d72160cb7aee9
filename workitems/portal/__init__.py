"""Request portal: catalogue of workflows, forms from payload schemas, drafts, and the pages of a person's requests."""
