"""Documents that customers receive, and the wording of invoice lines that pages share with them."""
