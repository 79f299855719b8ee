"""Tools of agents: typed functions, MCP servers, what they may reach, and the secrets they need."""

from workers.tools.access import Access, AllowedPath, AllowedUrl
from workers.tools.context import ToolContext
from workers.tools.function import FunctionTool, tool
from workers.tools.mcp import McpServer
from workers.tools.secrets import Secret, secret, use_secrets
from workers.tools.tool import Tool, ToolFailed, ToolSource

__all__ = [
    "Access",
    "AllowedPath",
    "AllowedUrl",
    "FunctionTool",
    "McpServer",
    "Secret",
    "Tool",
    "ToolContext",
    "ToolFailed",
    "ToolSource",
    "secret",
    "tool",
    "use_secrets",
]
