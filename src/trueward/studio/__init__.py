"""The studio: where people compare and write, and where runs are watched. Nothing here loads torch."""
