"""One file, one loop. Each is a generator that yields a `Step` after every turn; the driver consumes it."""
