"""The machines of a run in a cloud: made, compared and removed by the Pulumi program `infra`, in a process of its own.

Nothing here imports Pulumi or a cloud's SDK.
"""
