"""Attempts to break the commands, counted: ``python -m benchmarks.reliability``, or ``make reliability``.

- ``soak``: every writing command killed at random moments, and started again;
- ``worker_failures``: a worker process, or one of two processes of a training, killed (``lost`` in the result file);
- ``resource_limits``: every command without data, in the wrong folder, on a full disk, with wrong settings, two at
  once (``hostile``);
- ``corruption``: checkpoints and saved models with a byte changed or cut short, and files that would run code
  (``damage``);
- ``fuzz``: the readers of texts and files on inputs that Hypothesis makes up;
- ``declared``: saved models whose settings and tensors were changed, with right checksums;
- ``attacks``: what other sites, and calls of no open page, ask of the page in the browser;
- ``absent``: every command without the packages that extras bring (``extras`` in the result file);
- ``process``, ``inputs``, ``content``: what these share; ``table``: the page's table.
"""
