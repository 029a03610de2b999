"""Shared by all training and all commands; imports no other room.

- ``command``: the registry behind both command lines; ``parsing``: dataclass, YAML and flags; ``help``.
- ``config``: settings of the loop; ``loop``: ``train``, the one training loop; ``optimizer``: one step of it;
  ``runtime``: precision and processes; ``device``: where to compute; ``loading``: batches by number;
  ``seeding``: generators by keys.
- ``workers``: jobs spread over processes; ``files``: whole or not at all, and folders with one writer.
- ``checkpoint``, ``folder``, ``progress``: what a run leaves on the disk, and shows; ``saved_model``: what is shared.
- ``results``: result files; ``report``, ``figures``: pages and charts; ``page``: what tabs in the browser share.

Import from these modules; this one imports nothing, and ``command`` and ``config`` do without
torch, so that a command's ``--help`` is quick.
"""
