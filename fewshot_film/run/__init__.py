"""Shared by all training and all commands; imports no other room.

- ``command``: the registry behind both command lines; ``parsing``: dataclass, YAML and flags; ``help``: what it shows.
- ``settings``: ranges in types, the loop's settings; ``old_keys``: names that settings had before.
- ``loop``: ``train``, the one training loop; ``optimizer``: one step of it; ``runtime``: device, precision and the
  processes of a distributed run; ``workers``: jobs and batches computed by worker processes; ``seeding``: generators.
- ``files``: whole or not at all, and folders with one writer; ``checkpoint``; ``run_folder``: what a run leaves on the
  disk; ``model_folder``: what is shared; ``results``: result files.
- ``progress``: bars and log lines; ``report``, ``figures``: pages and charts; ``tables``: CSV and Markdown.

Import from these modules; this one imports nothing, and ``command`` and ``settings`` do without torch, so that a
command's ``--help`` is quick.
"""
