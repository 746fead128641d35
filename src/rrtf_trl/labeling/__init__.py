"""The web page where people rank answers, and what becomes of their rankings.

    a run, or a file ──▶ items ──▶ labels.jsonl ──▶ aggregate ──▶ feedback `human`, or training rows
    sources.py           page      label_file.py    agreement     formats/

The heart is a file of actions that is only ever added to (:mod:`.labels`). The page adds to it, an import adds to
it, and everything else is worked out from it.
"""
