"""One module per command of ``clevr-film``, with its settings; importing it does not import torch."""
