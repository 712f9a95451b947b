"""The measured tables and pictures of the docs: what makes each, and at which commit it was made (`make figures`)."""
