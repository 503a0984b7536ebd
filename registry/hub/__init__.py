"""A hub of one's own: the APIs of Hugging Face and ModelScope over a registry.

commits.py repository.py   what a commit is: a tree of files, hashed; what is known of a repository
backends/                  what both are kept in: a folder, or a bucket
repositories.py            repositories, branches, tags
synchronisation.py exports.py   commits and the registry's revisions become each other
access.py scopes.py guard.py   who may do what: tokens, what they allow, signed addresses
sent.py                    which contents were sent for which repository
content.py uploads.py      files in and out, by ranges, whole or in parts
direct.py sinks.py         bodies from the socket to where they are kept
trees.py                   the files of commits, ready to be asked about
connections.py             how many connections there may be, how slow, with which heads
front.py                   proxies, pages of other sites, and the hub's own address
requests.py parsing.py bodies.py committing.py   what requests say, typed; reading it within limits
cleaning.py                freeing what nothing names
errors.py                  refusals, as each API tells them
huggingface*.py            the routes that huggingface_hub and transformers use
modelscope.py              the routes that modelscope uses
app.py server.py           all of that as an application, and the process that serves it
"""
