"""The pool of the fleet whose answers are kept."""

from workers import Pool

desk = Pool("desk")
desk.agent("clerk", "You answer questions of customers.")
