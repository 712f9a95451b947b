"""Programs that know whether an answer is right: one file a family. None of them reaches torch."""
