"""The studio's database: SQLite by default, PostgreSQL by URL."""
