"""One module a command of ``clevr-film``: its settings, without torch, and what it does."""
