"""The pages of the report: values to Markdown, a section a module."""
