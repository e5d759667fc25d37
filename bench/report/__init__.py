"""The report: it shows the record's evidence as Markdown, figures and JSON. It never imports torch."""
