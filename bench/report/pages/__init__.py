"""The pages of the report as Markdown. Each module writes one section."""
