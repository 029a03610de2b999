"""Visual reasoning on CLEVR with FiLM: the world, its questions, and the network that answers them."""
