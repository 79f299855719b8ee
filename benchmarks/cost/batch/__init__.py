"""The batch lane under kill -9: what is answered, handed over and booked, and what was billed."""
