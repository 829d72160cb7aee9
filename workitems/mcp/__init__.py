"""MCP server at `/mcp` for agents. Each tool calls one view of the API, which authenticates, decides and records."""
