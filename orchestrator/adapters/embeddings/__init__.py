"""Models of embeddings: at an OpenAI-compatible endpoint, or in this process."""
