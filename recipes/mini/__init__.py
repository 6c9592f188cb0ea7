"""How the embedded model was made: its texts, tags, tokenizer and start. Not part of the package."""
