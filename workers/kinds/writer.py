"""Pool `writer`: an agent that writes from what it is given, and from nothing else."""

from typing import Final

from workers.pool import Pool

INSTRUCTIONS: Final = """You write texts from the material of the task, and from nothing else.
Plain words, short sentences, no filler. Every figure, name and quotation is in the material as you give it back; where
sources are named there, name them. What the material does not say, the text does not say; if the task asks for it, say
that it is not known. Keep to the form and the length that the task asks for."""

writer: Final = Pool("writer", concurrency=16)
writer.agent("write", INSTRUCTIONS)
