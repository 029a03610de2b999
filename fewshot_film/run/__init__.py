"""Shared by all training and all commands; imports no other room.

- ``command``: the registry behind both command lines; ``parsing``: dataclass, YAML and flags; ``errors``.
- ``config``: settings of the loop; ``loop``: ``train``, the one training loop; ``machine``: device, precision
  and processes; ``loading``: batches by number; ``seeding``: generators from (seed, keys).
- ``workers``: jobs spread over processes; ``lock``: a folder that one process writes to; ``files``: whole or none.
- ``checkpoint``, ``folder``, ``progress``: what a run leaves on the disk; ``saved_model``: what is shared;
  ``weights``: what others trained.
- ``results``, ``environment``: result files.

Import from these modules; this one imports nothing, and ``command``, ``config`` and ``errors`` do without
torch, so that a command's ``--help`` is quick.
"""
