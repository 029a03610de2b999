"""CLEVR's tab of the page that ``fewshot-film app`` serves."""
