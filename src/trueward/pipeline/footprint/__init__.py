"""What a run holds in memory and on disk, computed from shapes and settings before anything is loaded."""
