"""The server: HTTP, WebSocket, MCP, metrics, and the page that is served with them."""
