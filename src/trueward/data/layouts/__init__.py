"""Layouts that other tools and well-known data sets have, as rows in the forms that trueward reads (docs/formats.md)."""
