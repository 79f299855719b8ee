"""What keeps people's data and other people's wishes out of where they do not belong."""
