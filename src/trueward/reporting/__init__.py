"""What readers see of the numbers: pages, tables, sentences, charts."""
