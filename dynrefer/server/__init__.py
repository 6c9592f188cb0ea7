"""HTTP for programs: `/v1` beside the page on the same port, or alone; and a model backend of Label Studio."""
