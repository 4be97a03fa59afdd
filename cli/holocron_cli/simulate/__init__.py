"""`holocron simulate`: a cluster of real processes, its leader killed, and the dead node resumed."""
