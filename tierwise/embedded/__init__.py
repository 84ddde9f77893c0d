"""NATS and PostgreSQL from wheels, as our own child processes: a fresh checkout needs no server of its own."""
