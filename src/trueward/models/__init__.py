"""Networks, in the form of the Hugging Face libraries: loading and saving them, their heads, their training state."""
