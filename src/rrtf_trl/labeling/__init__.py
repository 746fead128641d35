"""The web page where people rank candidates, and the uses of their rankings.

    a run, or a file ──▶ items ──▶ labels.jsonl ──▶ aggregate ──▶ feedback `human`, or training rows
    sources.py           page      label_file.py    agreement     formats/

The labels file is a list of actions that rows are only appended to (:mod:`.labels`), by the page and by an import.
Everything else is computed from it.
"""
