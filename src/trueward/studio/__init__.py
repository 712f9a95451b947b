"""The studio: the pages where people compare and write answers, and where runs are watched. Nothing here loads torch."""
