"""The commands of ``fewshot-film``, one module each; their settings are in `fewshot_film.config.commands`."""
