"""The documents that customers receive, and the wording of invoice lines, which pages use too."""
