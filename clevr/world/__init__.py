"""CLEVR's world: its scenes, the rules they are made by, and images of them."""
