"""The batch lane: prompts that may wait are gathered and handed to a provider's cheaper service."""
