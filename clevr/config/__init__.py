"""Settings of CLEVR's rooms as frozen dataclasses: of the model, of fixed features, of the commands. No torch here."""
