"""What the studio remembers: SQLite by default, PostgreSQL by URL."""
