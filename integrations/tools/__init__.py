"""Tools of MCP servers: read by a job, pinned by digest, accepted by a person."""
