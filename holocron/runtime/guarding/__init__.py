"""The guardian: a companion process that releases leadership for a process that died while its host lives.

`companion` is the process's side of it, `process` the guardian's own, `words` what is said between them, `releasing`
what the guardian does at last. When and for whom it may is the protocol's business (`holocron.protocol.guarding`).
"""
