"""Rules for text that people send."""

# PostgreSQL's text can't hold U+0000: a field with this pattern refuses it by name. `[^\x00]` takes line ends too.
NO_NUL = r"^[^\x00]*$"
