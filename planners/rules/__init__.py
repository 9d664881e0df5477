"""The rules of a change: what a run, its plan and the resources of an infrastructure program keep to.

The policy pack of infra/ and `clusterctl review` ask the same rules.
"""
