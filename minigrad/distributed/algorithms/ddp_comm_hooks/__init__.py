"""Communication hooks of DistributedDataParallel: what is sent instead of float32 gradients.

A hook is a function (state, bucket) -> Future of the tensor that replaces the bucket's buffer. All
communication of one bucket is one task of the group's lane, so that every rank does it in the same
order, however the hooks overlap with the backward.
"""
