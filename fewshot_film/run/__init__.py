"""Shared by all training and all commands: settings, command lines, seeding, the one training loop.

Nothing here is imported before it is asked for: ``command`` and ``config`` do without torch, so that a
command's ``--help`` is quick.
"""
