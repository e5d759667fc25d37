"""The report shows the evidence of a record as Markdown, figures and JSON. It never imports torch."""
