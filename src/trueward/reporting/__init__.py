"""What people see of the numbers: pages, tables, sentences, charts."""
