"""trueward and its peers side by side: `make bench`. docs/speed.md says what is measured and how."""
