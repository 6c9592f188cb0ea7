"""The authors' released checkpoint: the names of its tensors, and its conversion into a checkpoint folder."""
