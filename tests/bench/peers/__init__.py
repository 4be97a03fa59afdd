"""The peers, each in a file of its own, in the order of the table. Holocron is one of them."""
