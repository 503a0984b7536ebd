"""A hub of one's own: the APIs of Hugging Face and ModelScope over a registry in a folder.

commits.py        what a commit is: a tree of files, hashed
repositories.py   repositories, branches, tags; kept beside the registry's artifacts, and in
                  step with them
access.py         who may do what: tokens, signed addresses
content.py        files in and out, by ranges
errors.py         refusals, as each API tells them
huggingface.py    the routes that huggingface_hub and transformers use
modelscope.py     the routes that modelscope uses
app.py server.py  all of that as an application, and the process that serves it
"""
