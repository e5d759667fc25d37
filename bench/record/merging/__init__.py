"""Join the records of several people or machines into one: `merge` every file of a record, `merge_rows` its rows."""
