"""What the resources of an infrastructure program cost: of a Pulumi preview, resource by resource, before and after."""
