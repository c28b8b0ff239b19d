"""The `openai` backend: any server that speaks OpenAI's chat completions."""

from vlmbench.models.openai._backend import OpenAIBackend
from vlmbench.models.openai._journal import account, damage

__all__ = ["OpenAIBackend", "account", "damage"]
