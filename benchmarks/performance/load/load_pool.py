"""What the service under load can do: one agent, whose model is the stand-in."""

from workers import Pool

chat = Pool("chat", concurrency=20_000)
chat.agent("chat", "Answer in one sentence.")
