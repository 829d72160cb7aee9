"""Keys of trusted issuers, fetched by a job through the outbound transport."""
