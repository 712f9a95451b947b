"""Programs that check whether an answer is right, one file a family. None of them imports torch."""
